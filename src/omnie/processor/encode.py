"""One conversation to the arrays of `omnie.inputs`, and back to text. NumPy only: neither torch nor Transformers is imported.

First everything is counted from sizes alone and held against the context; only then are pixels and samples touched.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from omnie import inputs
from omnie.errors import InputError, OptionError
from omnie.media.types import Audio, Document, Image, Table, Video
from omnie.messages import Message, Part, Tool
from omnie.processor import chat, documents, image, tokens, video
from omnie.processor.audio import log_mel, mel_frames
from omnie.processor.chat import Segment, mark
from omnie.processor.looks import Looks
from omnie.processor.settings import FILE, ProcessorSettings
from omnie.processor.tokenizer import Tokenizer
from omnie.processor.tools import offered

IGNORE = -100
_TYPES = np.zeros(tokens.COUNT, dtype=np.int64)
_TYPES[[tokens.ID[tokens.IMAGE], tokens.ID[tokens.VIDEO], tokens.ID[tokens.AUDIO]]] = inputs.IMAGE, inputs.VIDEO, inputs.AUDIO
CLASSES = {"image": Image, "audio": Audio, "video": Video, "document": Document, "table": Table}


def types_of(ids: np.ndarray) -> np.ndarray:
    """Modality of each token: 0 text, 1 image, 2 video, 3 audio."""
    return _TYPES[np.minimum(ids, tokens.COUNT - 1)]


@dataclass
class Layout:
    """Where the media of one conversation stand, and what is still to be computed for them."""

    settings: ProcessorSettings
    images: list[tuple[Image, tuple[int, int, int]]] = field(default_factory=list)
    clips: list[tuple[Video, list[video.Piece]]] = field(default_factory=list)
    sounds: list[Audio] = field(default_factory=list)

    def add(self, part: Part) -> list[Segment]:
        """The segments of a part that is not text."""
        if not isinstance(part.value, CLASSES[part.kind]):
            raise InputError(
                f"{part.kind} part is not decoded", value=type(part.value).__name__, hint="open files with omnie.media.load"
            )
        return getattr(self, f"_{part.kind}")(part.value)

    def _image(self, value: Image) -> list[Segment]:
        return self._picture(value, self.settings.image_max_pixels)

    def _picture(self, value: Image, max_pixels: int) -> list[Segment]:
        height, width = image.check(value.pixels).shape[:2]
        grid = image.grid_of_picture(height, width, self.settings, max_pixels)
        self.images.append((value, grid))
        return [mark(tokens.IMAGE_START), mark(tokens.IMAGE, inputs.image_tokens(grid)), mark(tokens.IMAGE_END)]

    def _audio(self, value: Audio) -> list[Segment]:
        if len(value.samples) == 0:
            raise InputError("sound is empty", value="0 samples", allowed="at least one")
        self.sounds.append(value)
        count = inputs.audio_tokens(mel_frames(len(value.samples)))
        return [mark(tokens.AUDIO_START), mark(tokens.AUDIO, count), mark(tokens.AUDIO_END)]

    def _video(self, value: Video) -> list[Segment]:
        pieces = video.plan(value, self.settings)
        self.clips.append((value, pieces))
        if value.audio is not None and len(value.audio.samples):
            self.sounds.append(value.audio)
        inside = [segment for piece in pieces for segment in _piece(piece)]
        return [mark(tokens.VIDEO_START), *inside, mark(tokens.VIDEO_END)]

    def _document(self, value: Document) -> list[Segment]:
        if not value.pages:
            raise InputError("document has no pages")
        result, layers = [], [documents.page_text(page.words) for page in value.pages]
        scanned = self.settings.scan_pixels(layers.count("") or 1)
        for page, layer in zip(value.pages, layers, strict=True):
            seen = self._image(page.image) if layer else self._picture(page.image, scanned)
            body = [Segment(str(page.number)), *seen, *([Segment(layer)] if layer else [])]
            result += [mark(tokens.PAGE_START), *body, mark(tokens.PAGE_END)]
        return result

    def _table(self, value: Table) -> list[Segment]:
        content = documents.table_records(value)
        return [mark(tokens.TABLE_START), *([Segment(content)] if content else []), mark(tokens.TABLE_END)]

    def arrays(self) -> dict[str, np.ndarray]:
        """The features: only the keys of the media that are there."""
        result: dict[str, np.ndarray] = {}
        patch = self.settings.patch
        if self.images:
            cut = [image.patches(item.pixels, rows, columns, patch) for item, (_, rows, columns) in self.images]
            result["pixel_values"] = np.concatenate(cut)
            result["image_grid_thw"] = np.array([grid for _, grid in self.images], dtype=np.int64)
        if self.clips:
            result["pixel_values_videos"] = np.concatenate([video.patches(clip, pieces, patch) for clip, pieces in self.clips])
            result["video_grid_thw"] = np.array([piece.grid for _, pieces in self.clips for piece in pieces], dtype=np.int64)
        if self.sounds:
            heard = [log_mel(sound.samples, self.settings) for sound in self.sounds]
            result["input_features"] = np.concatenate(heard)
            result["audio_lengths"] = np.array([len(frames) for frames in heard], dtype=np.int64)
        return result


def _piece(piece: video.Piece) -> list[Segment]:
    stamp = [mark(tokens.TIME_START), Segment(f"{piece.time:.1f}"), mark(tokens.TIME_END)]
    sound = [mark(tokens.AUDIO, piece.audio)] if piece.audio else []
    return [*stamp, mark(tokens.VIDEO, inputs.video_tokens(piece.grid)), *sound]


class Encoder:
    """Messages to arrays. `settings` and `tokenizer` are what a model folder keeps; see `load`.

    `stop`: ids of the tokens with which the assistant ends its turn.
    """

    stop = frozenset({tokens.ID[tokens.END]})

    def __init__(self, tokenizer: Tokenizer, settings: ProcessorSettings):
        self.tokenizer, self.settings = tokenizer, settings

    @classmethod
    def load(cls, folder: str | Path) -> "Encoder":
        """From a folder with `tokenizer.json` and `processor_config.json`."""
        return cls(Tokenizer.load(folder), ProcessorSettings.load(folder))

    def with_context(self, tokens: int) -> "Encoder":
        """The encoder with another limit on a conversation's length."""
        return type(self)(self.tokenizer, replace(self.settings, context=tokens))

    def with_thinking(self, thinking: bool | None) -> "Encoder":
        """The encoder with thinking switched on or off; None leaves it alone.

        Raises:
            OptionError: our own chat template has no such switch.
        """
        if thinking is not None:
            raise OptionError("the model has no switch for thinking", value=f"thinking={thinking}", allowed="no such option")
        return self

    def with_looks(self, looks: int | None) -> "Encoder":
        """The encoder with another number of looks at media; None leaves it alone.

        Raises:
            OptionError: the number is out of range.
        """
        return self if looks is None else type(self)(self.tokenizer, replace(self.settings, looks=looks))

    def looks(self, arrays: Mapping[str, np.ndarray]) -> Sequence[Mapping[str, np.ndarray]]:
        """Further looks at the media in what `encode` gave, as many as the settings say; none where there are none."""
        return Looks(arrays, self.settings.looks, self.settings.patch)

    def offer(self, tools: Sequence[Tool]) -> list[Message]:
        """The turn, before all others, that offers tools; none where there are none."""
        return offered(tools)

    def save(self, folder: str | Path) -> None:
        """Writes what `load` reads."""
        self.tokenizer.save(Path(folder) / "tokenizer.json")
        self.settings.save(Path(folder) / FILE)

    def encode(
        self, messages: Iterable[Message], generation_prompt: bool = True, continue_final: bool = False
    ) -> dict[str, np.ndarray]:
        """One conversation as arrays (names, axes and types: `omnie.inputs`, without the batch axis).

        Args:
            messages: The turns, media decoded.
            generation_prompt: End with the assistant's role token, for the model to speak.
            continue_final: Leave the last turn open, for the model to go on with it.

        Raises:
            InputError: A part cannot be used, or the conversation is longer than `settings.context`; the message says which
                part takes how many tokens.
        """
        layout = Layout(self.settings)
        segments = chat.render(messages, layout.add, generation_prompt=generation_prompt, continue_final=continue_final)
        return self.encode_segments(segments, layout)

    def encode_segments(self, segments: Sequence[Segment], layout: Layout) -> dict[str, np.ndarray]:
        """Segments that were laid out with `layout`, as arrays."""
        result = self._tokens(segments)
        grids = [grid for _, grid in layout.images]
        pieces = [piece.grid for _, clip in layout.clips for piece in clip]
        result["position_ids"] = inputs.positions(result["mm_token_type_ids"], grids, pieces)
        return result | layout.arrays()

    def render(self, messages: Iterable[Message], generation_prompt: bool = True, continue_final: bool = False) -> str:
        """The conversation as a string, text escaped and media as runs of their placeholders."""
        layout = Layout(self.settings)
        return chat.to_text(
            chat.render(messages, layout.add, generation_prompt=generation_prompt, continue_final=continue_final)
        )

    def parse(self, source: str | Sequence[int]) -> list[Message]:
        """Messages of a rendered string or of ids; see `chat.parse`."""
        return chat.parse(source, self.tokenizer)

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Text of ids; special tokens are left out unless asked for."""
        return self.tokenizer.decode((int(number) for number in ids), special=special)

    def _tokens(self, segments: Sequence[Segment]) -> dict[str, np.ndarray]:
        runs = [self._run(segment) for segment in segments]
        self._check_context(segments, runs)
        ids = np.concatenate([np.asarray(run, dtype=np.int64) for run in runs])
        learn = np.repeat([segment.learn for segment in segments], [len(run) for run in runs])
        return {"input_ids": ids, "mm_token_type_ids": types_of(ids), "labels": np.where(learn, ids, IGNORE)}

    def _run(self, segment: Segment) -> list[int]:
        if segment.special:
            return [tokens.ID[segment.value]] * segment.count
        return self.tokenizer.encode(segment.value)

    def _check_context(self, segments: Sequence[Segment], runs: Sequence[list[int]]) -> None:
        total = sum(map(len, runs))
        if total <= self.settings.context:
            return
        counts: Counter[str] = Counter()
        for segment, run in zip(segments, runs, strict=True):
            counts[segment.source] += len(run)
        raise InputError(
            "conversation is too long",
            value=f"{total} tokens ({', '.join(f'{name}: {count}' for name, count in counts.most_common(5))})",
            allowed=f"at most {self.settings.context} tokens",
            hint="shorten the largest part",
        )


PADDING = {"input_ids": tokens.ID[tokens.PAD], "mm_token_type_ids": inputs.TEXT, "position_ids": 0, "labels": IGNORE}
"""Array with a token axis -> what stands where there is no token."""


def collate(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Encoded conversations as one batch: token axes padded on the left, features one row's after the other's. Arrays with a
    token axis that the rows lack are left out.
    """
    if not rows:
        raise InputError("batch is empty", allowed="at least one conversation")
    length = max(len(row["input_ids"]) for row in rows)
    padded = {name: fill for name, fill in PADDING.items() if name in rows[0]}
    result = {name: np.stack([_padded(row[name], length, fill) for row in rows]) for name, fill in padded.items()}
    result["attention_mask"] = np.stack([_padded(np.ones_like(row["input_ids"]), length, 0) for row in rows])
    for name in dict.fromkeys(name for row in rows for name in row if name not in PADDING):
        result[name] = np.concatenate([row[name] for row in rows if name in row])
    return result


def _padded(array: np.ndarray, length: int, fill: int) -> np.ndarray:
    padding = [(length - len(array), 0)] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, padding, constant_values=fill)
