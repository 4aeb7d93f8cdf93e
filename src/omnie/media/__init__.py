"""Bytes to arrays: pictures, sounds, clips, documents, tables and text, under one policy of limits. No network, no torch.

    media = load("chart.png")                  # Image, Audio, Video, Document, Table or str
    pending = start("clip.mp4"); ...; pending.result()   # decodes beside the caller

Importing this package is cheap: NumPy is imported with the first result, decoders only in the process that decodes.
"""

from typing import TYPE_CHECKING, Any

from omnie.media.limits import Limits
from omnie.media.pending import Pending, load, load_all, start, start_all
from omnie.media.source import Reference
from omnie.messages import Part

if TYPE_CHECKING:
    from omnie.media.types import SAMPLE_RATE, Audio, Document, Image, Page, Table, Video, Word

__all__ = [
    "SAMPLE_RATE",
    "Audio",
    "Document",
    "Image",
    "Limits",
    "Page",
    "Part",
    "Pending",
    "Reference",
    "Table",
    "Video",
    "Word",
    "as_part",
    "load",
    "load_all",
    "start",
    "start_all",
]


def as_part(media: Any) -> Part:
    """A message part whose kind is that of the media; a `str` becomes text.

    Raises:
        TypeError: `media` is nothing that `load` returns.
    """
    from omnie.media import types

    if isinstance(media, str):
        return Part("text", media)
    for kind, cls in (
        ("image", types.Image),
        ("audio", types.Audio),
        ("video", types.Video),
        ("document", types.Document),
        ("table", types.Table),
    ):
        if isinstance(media, cls):
            return Part(kind, media)
    raise TypeError(f"no media: {type(media).__name__}")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from omnie.media import types

    return getattr(types, name)
