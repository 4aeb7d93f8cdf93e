"""Bytes to arrays: pictures, sounds, clips, documents, tables and text, under one policy of limits. No network, no torch.

    media = load("chart.png")                  # Image, Audio, Video, Document, Table or str
    pending = start("clip.mp4"); ...; pending.result()   # decodes beside the caller

Importing this package costs nothing: NumPy is imported with the first result, decoders only in the process that decodes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnie.media.limits import Limits
    from omnie.media.pending import Media, Pending, as_part, load, load_all, start, start_all
    from omnie.media.source import Reference
    from omnie.media.types import SAMPLE_RATE, Audio, Document, Image, Page, Table, Video, Word

__all__ = [
    "SAMPLE_RATE",
    "Audio",
    "Document",
    "Image",
    "Limits",
    "Media",
    "Page",
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

_HOME = {
    "limits": ("Limits",),
    "pending": ("Media", "Pending", "as_part", "load", "load_all", "start", "start_all"),
    "source": ("Reference",),
    "types": ("SAMPLE_RATE", "Audio", "Document", "Image", "Page", "Table", "Video", "Word"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"omnie.media.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
