"""How Transformers users write things, translated: chat dictionaries to messages, arrays and pictures to media types, and texts
with placeholders to segments. Files are opened by `omnie.media`; nothing here computes features.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from PIL import Image as Pillow

from omnie.errors import InputError
from omnie.media.types import SAMPLE_RATE, Audio, Document, Image, Table, Video
from omnie.messages import ROLES, Kind, Message, Part, Tool, ToolCall, text
from omnie.processor import chat, tokens
from omnie.processor.chat import LayOut, Segment, mark
from omnie.processor.tools import read

TYPES: dict[str, Kind] = {
    "image": "image", "image_url": "image", "audio": "audio", "input_audio": "audio", "audio_url": "audio", "video": "video",
    "video_url": "video", "document": "document", "file": "document", "table": "table",
}  # fmt: skip
"""`type` of a content entry -> kind of part."""
KEYS = ("url", "path", "base64", "data", "file", "file_data")
"""Where an entry keeps its reference, besides under its own type or kind."""


def messages(conversation: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Chat dictionaries (`role`, `content` as a string or a list of entries, `tool_calls`) as messages, media opened."""
    return [_message(entry) for entry in conversation]


def tools(given: Iterable[Any]) -> list[Tool]:
    """Tools as Transformers users give them: functions with type hints and docstrings, or JSON objects.

    Raises:
        InputError: one is neither.
    """
    return read(_declared(tool) if callable(tool) else tool for tool in given)


def _declared(function: Callable[..., Any]) -> dict[str, Any]:
    from transformers.utils import get_json_schema

    try:
        return cast(dict[str, Any], get_json_schema(function))
    except Exception as error:  # the library raises several kinds of its own
        hint = "write type hints and a docstring with an Args: section"
        raise InputError(
            "function cannot be described as a tool", value=getattr(function, "__name__", function), hint=f"{hint}: {error}"
        ) from None


def question(prompt: str, given: Mapping[str, Any]) -> Message:
    """A user's turn: what is given, in the order of `GIVEN`, then the question.

    Args:
        given: Names of `GIVEN` -> one item or a list: texts as strings, else what `media` takes.
    """
    unknown = sorted(set(given) - set(GIVEN))
    if unknown:
        raise InputError("unknown kind of input", value=", ".join(unknown), allowed=", ".join(GIVEN))
    parts = []
    for name, kind in GIVEN.items():
        value = given.get(name)
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is not None:
                parts.append(text(f"{item}\n") if kind == "text" else Part(kind, media(kind, item)))
    return Message("user", (*parts, text(prompt)))


GIVEN: dict[str, Kind] = {
    "text": "text", "texts": "text", "image": "image", "images": "image", "table": "table", "tables": "table",
    "document": "document", "documents": "document", "audio": "audio", "audios": "audio", "video": "video", "videos": "video",
}  # fmt: skip
"""Name of an input -> kind of its parts."""


def media(kind: Kind, value: Any, *, fps: float | None = None) -> Any:
    """Anything that stands for a picture, a sound, a clip, a document or a table, as a media object of that kind.

    Taken are media objects; PIL pictures; arrays (uint8 [H, W, 3], float [samples] at 16 kHz, uint8 [F, H, W, 3] with
    `fps`); `{"array": ..., "sampling_rate": ...}`; and whatever `omnie.media.load` opens.
    """
    if isinstance(value, Image | Audio | Video | Document | Table):
        return value
    if isinstance(value, Pillow.Image):
        return Image(np.asarray(value.convert("RGB")))
    if isinstance(value, Mapping) and "array" in value:
        return Audio(_samples(value["array"], value.get("sampling_rate", SAMPLE_RATE)))
    if hasattr(value, "__array__") or isinstance(value, list):
        return _of_array(kind, np.asarray(value), fps)
    return _opened(kind, value)


def fill(rendered: str, items: Mapping[Kind, Iterator[Any]], lay_out: LayOut) -> list[Segment]:
    """A rendered string with the next item of its kind at each placeholder.

    An item stands as one placeholder, or as its start token, anything (one placeholder; the whole run), and its end token.
    """
    result: list[Segment] = []
    segments = iter([*chat.of_text(rendered), Segment("")])
    segment = next(segments)
    while segment.value:
        kind = _begins(segment)
        if kind is None:
            result.append(segment)
            segment = next(segments)
        else:
            result += lay_out(Part(kind, next_item(kind, items)))
            segment = _after(segment, segments)
    return result


_PLACEHOLDERS: dict[str, Kind] = {tokens.IMAGE: "image", tokens.AUDIO: "audio", tokens.VIDEO: "video"}
_OPENING: dict[str, tuple[Kind, str]] = {
    start: chat.MEDIA[start] for start in (tokens.IMAGE_START, tokens.AUDIO_START, tokens.VIDEO_START)
}


def _begins(segment: Segment) -> Kind | None:
    if not segment.special:
        return None
    return _PLACEHOLDERS.get(segment.value) or _OPENING.get(segment.value, (None,))[0]


def _after(segment: Segment, segments: Iterator[Segment]) -> Segment:
    """The segment behind an item: behind its end token if it is wrapped, else behind its one placeholder."""
    if segment.value in _OPENING:
        closing = mark(_OPENING[segment.value][1])
        if closing not in segments:  # reads up to it
            raise InputError("placeholder is not closed", value=segment.value, allowed=f"... {closing.value}")
    return next(segments)


def next_item(kind: Kind, items: Mapping[Kind, Iterator[Any]]) -> Any:
    """The next item of a kind; raises `InputError` when there is none."""
    for item in items.get(kind, iter(())):
        return item
    raise InputError(f"text has a placeholder without {kind}", hint=f"pass as many {kind} items as the text has placeholders")


def _message(entry: Mapping[str, Any]) -> Message:
    role, content = entry.get("role"), entry.get("content")
    if role not in ROLES:
        raise InputError("unknown role", value=role, allowed=", ".join(ROLES))
    items = [{"type": "text", "text": content or ""}] if content is None or isinstance(content, str) else content
    parts = tuple(_part(item) for item in items)
    return Message(role, parts, tuple(_call(call) for call in entry.get("tool_calls") or ()))


def _part(item: Mapping[str, Any]) -> Part:
    name = item.get("type")
    if name == "text":
        return text(item.get("text", ""))
    if name not in TYPES:
        raise InputError("unknown type of content", value=name, allowed=", ".join(["text", *TYPES]))
    kind = TYPES[name]
    for key in (name, kind, *KEYS):
        if item.get(key) is not None:
            return Part(kind, media(kind, _inner(item[key]), fps=item.get("fps")))
    raise InputError(f"{name} entry holds nothing", value=", ".join(item), allowed=", ".join((kind, *KEYS)))


def _inner(value: Any) -> Any:
    """The reference inside `{"url": ...}` (OpenAI's image_url and input_audio), as a data URL where it is bare base64."""
    if not isinstance(value, Mapping) or "array" in value:
        return value
    if "data" in value:
        return f"data:application/octet-stream;base64,{value['data']}"
    for key in KEYS:
        if key in value:
            return value[key]
    raise InputError("content entry holds nothing", value=", ".join(value), allowed=", ".join(KEYS))


def _call(call: Mapping[str, Any]) -> ToolCall:
    call = call.get("function", call)
    arguments = call.get("arguments") or {}
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        return ToolCall(call["name"], dict(arguments))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("tool call cannot be read", value=error, allowed='{"name": ..., "arguments": {...}}') from None


def _of_array(kind: Kind, array: np.ndarray, fps: float | None) -> Any:
    if kind == "image":
        return Image(array)
    if kind == "audio":
        return Audio(_samples(array, SAMPLE_RATE))
    if kind == "video" and array.ndim == 4 and fps:
        return Video(array, np.arange(len(array)) / fps, len(array) / fps)
    raise InputError(f"{kind} array cannot be read", value=array.shape, allowed="[frames, H, W, 3] with fps for a clip")


def _samples(array: Any, rate: float) -> np.ndarray:
    samples = np.asarray(array, dtype=np.float32)
    if rate != SAMPLE_RATE:
        raise InputError(
            "sound has another rate", value=f"{rate} Hz", allowed=f"{SAMPLE_RATE} Hz", hint="pass the file instead"
        )
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise InputError("sound cannot be read", value=f"axes {samples.shape}", allowed="finite samples, one channel")
    return samples


def _opened(kind: Kind, reference: Any) -> Any:
    from omnie.media import as_part, load

    part = as_part(load(reference))
    if part.kind != kind:
        raise InputError(f"file is no {kind}", value=part.kind, hint=f"give it as type {part.kind!r}")
    return part.value
