"""What media files become: plain arrays with a name for every axis. NumPy only; decoding lives in the neighbouring files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000
"""Samples per second of every decoded sound (Hz, mono)."""


@dataclass(frozen=True, eq=False)
class Image:
    """A picture. `pixels`: uint8 [height, width, 3], RGB."""

    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound. `samples`: float32 [samples], mono, 16 kHz, finite, in [-1, 1]."""

    samples: np.ndarray

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class Video:
    """A clip. `frames`: uint8 [frames, height, width, 3]; `times`: float64 [frames], seconds from the start.

    `audio` is the whole sound track, or None when the clip has none or the caller asked for none.
    """

    frames: np.ndarray
    times: np.ndarray
    seconds: float
    audio: Audio | None = None


@dataclass(frozen=True)
class Word:
    """A word of a page's text layer. `box`: left, top, right, bottom as shares (0 to 1) of the page's width and height."""

    text: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Page:
    """A page as it looks (`image`) and as it reads (`words`, in reading order; empty for a scanned page)."""

    number: int
    image: Image
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, eq=False)
class Document:
    """A document's pages, in order."""

    pages: tuple[Page, ...]


@dataclass(frozen=True)
class Table:
    """A sheet of cells, as text. `rows` includes the header row if the file has one; all rows have equal length."""

    name: str
    rows: tuple[tuple[str, ...], ...]


CELLS = " | "
"""What parts cells where a row is text."""


def record(header: Sequence[str], row: Sequence[str]) -> list[str]:
    """A row as a reader says it, who names every column but the first: "Berlin", "2022: 12", "2023: 45".

    A column without a header is not named; breaks inside a cell become spaces.
    """
    names, cells = ([" ".join(cell.split()) for cell in line] for line in (header, row))
    named = zip(names[1:] + [""] * len(cells), cells[1:], strict=False)
    return cells[:1] + [f"{name}: {cell}".rstrip() if name else cell for name, cell in named]
