"""How decoded media pass from the child process to its parent: arrays as raw bytes, everything else as JSON. No pickle.

The file holds the arrays one after the other, then the JSON, then the JSON's length in 8 bytes (little endian). The parent
believes none of it: a position, shape or type that does not fit the file is an error, so that even a child that was taken over
by its input can only lie about the content of the media.
"""

import json
import mmap
import os
from typing import Any

import numpy as np

from omnie.errors import MediaError
from omnie.media.source import write_all
from omnie.media.types import Audio, Document, Image, Page, Table, Video, Word

Media = Image | Audio | Video | Document | Table | str

_DTYPES = {"uint8": np.uint8, "float32": np.float32, "float64": np.float64}
_ALIGN = 64


class Writer:
    """Writes media into an empty file; `finish` makes it readable."""

    def __init__(self, descriptor: int):
        self.descriptor, self.end = descriptor, 0
        self.results: list[dict[str, Any]] = []

    def add(self, media: Media) -> None:
        self.results.append(self._pack(media))

    def fail(self, error: MediaError) -> None:
        beats = {"what": error.what, "value": _text(error.value), "allowed": error.allowed, "hint": error.hint}
        self.results.append({"type": "error", **beats})

    def finish(self) -> None:
        data = json.dumps(self.results).encode()
        self._write(data)
        self._write(len(data).to_bytes(8, "little"))

    def _pack(self, media: Media) -> dict[str, Any]:
        match media:
            case str():
                return {"type": "text", "text": media}
            case Table():
                return {"type": "table", "name": media.name, "rows": media.rows}
            case Image():
                return {"type": "image", "pixels": self._array(media.pixels)}
            case Audio():
                return {"type": "audio", "samples": self._array(media.samples)}
            case Document():
                return {"type": "document", "pages": [self._page(page) for page in media.pages]}
            case Video():
                return {
                    "type": "video",
                    "frames": self._array(media.frames),
                    "times": self._array(media.times),
                    "seconds": media.seconds,
                    "audio": self._pack(media.audio) if media.audio else None,
                }
        raise TypeError(f"no media: {type(media).__name__}")

    def _page(self, page: Page) -> dict[str, Any]:
        words = [[word.text, *word.box] for word in page.words]
        return {"number": page.number, "pixels": self._array(page.image.pixels), "words": words}

    def _array(self, array: np.ndarray) -> list[Any]:
        self._write(b"\0" * (-self.end % _ALIGN))
        start = self.end
        self._write(np.ascontiguousarray(array).data)
        return [start, array.dtype.name, list(array.shape)]

    def _write(self, data: Any) -> None:
        write_all(self.descriptor, memoryview(data))
        self.end += memoryview(data).nbytes


class Reader:
    """Reads what a `Writer` wrote. The arrays share one private mapping of the file, which lives as long as they do."""

    def __init__(self, descriptor: int):
        size = os.fstat(descriptor).st_size
        if size < 8:
            raise ValueError("the file is not finished")
        # Private: the arrays may be written to, as any array may, and nobody else sees it.
        self.memory = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
        length = int.from_bytes(self.memory[size - 8 :], "little")
        self.arrays_end = size - 8 - length
        if self.arrays_end < 0:
            raise ValueError("the file is not finished")
        self.results = json.loads(self.memory[self.arrays_end : size - 8])

    def result(self, index: int) -> Media | MediaError:
        """The media or the error at `index`.

        Raises:
            ValueError, KeyError, TypeError, IndexError: The content does not hold together.
        """
        return self._unpack(self.results[index])

    def _unpack(self, item: dict[str, Any]) -> Media | MediaError:
        match item["type"]:
            case "error":
                return MediaError(
                    str(item["what"]), value=_text(item["value"]), allowed=_text(item["allowed"]), hint=_text(item["hint"])
                )
            case "text":
                return str(item["text"])
            case "table":
                return Table(str(item["name"]), tuple(tuple(map(str, row)) for row in item["rows"]))
            case "image":
                return self._image(item)
            case "audio":
                return Audio(self._array(item["samples"], "float32", 1))
            case "document":
                return Document(tuple(self._page(page) for page in item["pages"]))
            case "video":
                sound = self._unpack(item["audio"]) if item["audio"] else None
                frames, times = self._array(item["frames"], "uint8", 4), self._array(item["times"], "float64", 1)
                if not isinstance(sound, Audio | None) or len(frames) != len(times):
                    raise ValueError("the clip's parts do not fit")
                return Video(frames, times, float(item["seconds"]), sound)
        raise ValueError("unknown type")

    def _image(self, item: dict[str, Any]) -> Image:
        return Image(self._array(item["pixels"], "uint8", 3))

    def _page(self, item: dict[str, Any]) -> Page:
        words = tuple(Word(str(text), (float(a), float(b), float(c), float(d))) for text, a, b, c, d in item["words"])
        return Page(int(item["number"]), self._image(item), words)

    def _array(self, place: list[Any], dtype: str, axes: int) -> np.ndarray:
        start, stated, shape = place
        if stated != dtype or len(shape) != axes or not all(isinstance(side, int) and side >= 0 for side in [start, *shape]):
            raise ValueError("the array is not of the expected kind")
        count = int(np.prod(shape, dtype=object))
        if start + count * np.dtype(dtype).itemsize > self.arrays_end:
            raise ValueError("the array lies outside of the file")
        return np.frombuffer(self.memory, _DTYPES[dtype], count, start).reshape(shape)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
