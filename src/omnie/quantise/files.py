"""Tensors in and out of safetensors files, one at a time, so that memory never holds a whole file.

`safetensors` itself writes from tensors that are all in memory, and its memory maps count as ours while they last. The format:
8 bytes (little-endian length of the header), a JSON header (name -> dtype, shape, [begin, end)), then the data in that order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from omnie.checkpoint.stored import header_of

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I8": torch.int8, "U8": torch.uint8,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
PIECE = 16 << 20
"""Bytes that are copied at once."""

Layout = dict[str, tuple[list[int], torch.dtype]]
"""Tensor -> shape and dtype, in the order of the data."""


class Place(NamedTuple):
    """Where a tensor lies: bytes [begin, end) of a file."""

    file: Path
    begin: int
    end: int
    shape: list[int]
    kind: str


def places(file: Path) -> dict[str, Place]:
    """Every tensor of a file, in the order of the data.

    Raises:
        CheckpointError: the file is damaged.
    """
    header, start = header_of(file)
    found = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        found[name] = Place(file, begin, end, entry["shape"], entry["dtype"])
    return dict(sorted(found.items(), key=lambda item: item[1].begin))


def read(place: Place) -> Tensor:
    """One tensor, copied out of its file."""
    data = bytearray(place.end - place.begin)
    with place.file.open("rb") as opened:
        opened.seek(place.begin)
        opened.readinto(data)
    if not data:
        return torch.empty(place.shape, dtype=DTYPES[place.kind])
    return torch.frombuffer(data, dtype=DTYPES[place.kind]).view(place.shape)


def pieces(place: Place) -> Iterator[Tensor]:
    """A tensor's values, flat, a few at a time."""
    dtype = DTYPES[place.kind]
    for begin in range(place.begin, place.end, PIECE):
        end = min(begin + PIECE, place.end)
        yield read(Place(place.file, begin, end, [(end - begin) // dtype.itemsize], place.kind))


def size(shape: list[int], dtype: torch.dtype) -> int:
    """Bytes of a tensor."""
    return math.prod(shape) * dtype.itemsize


def write(file: Path, layout: Layout, data: Iterable[Tensor]) -> None:
    """A new file. `data` gives the tensors' values in the order of the layout, in pieces of any shape."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (shape, dtype) in layout.items():
        begin, end = end, end + size(shape, dtype)
        header[name] = {"dtype": NAMES[dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    with file.open("xb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        written = sum(opened.write(memoryview(piece.contiguous().view(-1).view(torch.uint8).numpy())) for piece in data)
    assert written == end, f"{file.name}: {written} bytes of {end}"
