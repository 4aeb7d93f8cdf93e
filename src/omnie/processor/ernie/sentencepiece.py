"""A SentencePiece model file (`tokenizer.model`) as a byte-pair encoder of the `tokenizers` library.

Only what such files say about BPE is read: pieces with scores and kinds, and two flags (Kudo and Richardson 2018; the messages
are those of the project's `sentencepiece_model.proto`). Unigram models are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from omnie.errors import CheckpointError

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
"""Kinds of pieces."""
BPE = 2
SPACE = "\u2581"
"""How a blank is written in a piece."""
LARGEST = 64 << 20
"""Bytes of a file that is read."""


@dataclass
class Model:
    """What a file says: pieces in the order of their ids, the learning algorithm, whether a text begins with a blank."""

    pieces: list[tuple[str, float, int]] = field(default_factory=list)
    algorithm: int = 1
    dummy_prefix: bool = True


def load(path: Path, prefix_space: bool | None = None) -> Backend:
    """The encoder of a model file.

    Args:
        prefix_space: Whether a blank is set before a text; None: as the file says.

    Raises:
        CheckpointError: the file is none, damaged, or learned by another algorithm.
    """
    if path.stat().st_size > LARGEST:
        raise CheckpointError("tokenizer is too large", value=path, allowed=f"at most {LARGEST >> 20} MiB")
    try:
        model = parse(path.read_bytes())
    except (ValueError, TypeError, AttributeError, struct.error, IndexError) as error:
        raise CheckpointError("tokenizer cannot be read", value=f"{path}: {error}", hint="copy it again") from None
    if model.algorithm != BPE or not model.pieces:
        raise CheckpointError("tokenizer is of another kind", value=path, allowed="a SentencePiece model of type BPE")
    return backend(model, model.dummy_prefix if prefix_space is None else prefix_space)


def backend(model: Model, prefix_space: bool) -> Backend:
    """The encoder; control and user-defined pieces are tokens that no merge makes."""
    ids = {piece: number for number, (piece, _, _) in enumerate(model.pieces)}
    unknown = next((piece for piece, _, kind in model.pieces if kind == UNKNOWN), None)
    result = Backend(models.BPE(vocab=ids, merges=merges(model, ids), fuse_unk=True, byte_fallback=True, unk_token=unknown))
    scheme = "first" if prefix_space else "never"
    result.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
    strip = [decoders.Strip(content=" ", left=1)] if prefix_space else []
    result.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    special = {UNKNOWN: True, CONTROL: True, USER_DEFINED: False}
    for piece, _, kind in model.pieces:
        if kind in special:
            result.add_tokens([AddedToken(piece, normalized=False, special=special[kind])])
    return result


def merges(model: Model, ids: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs of pieces that make up a piece, best score first; of equal ones, those of the lower ids first."""
    found = []
    for whole, score, kind in model.pieces:
        if kind in (UNKNOWN, CONTROL, USER_DEFINED):
            continue
        for cut in range(1, len(whole)):
            left, right = ids.get(whole[:cut]), ids.get(whole[cut:])
            if left is not None and right is not None:
                found.append((-score, ids[whole], left, right, cut))
    names = [piece for piece, _, _ in model.pieces]
    return [(names[left], names[right]) for _, _, left, right, _ in sorted(found)]


def parse(data: bytes) -> Model:
    """The model in a file's bytes; raises `ValueError` where they are none."""
    model = Model()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            model.pieces.append(_piece(value))
        elif number == 2 and isinstance(value, bytes):
            model.algorithm = int(dict(_fields(value)).get(3, model.algorithm))
        elif number == 3 and isinstance(value, bytes):
            model.dummy_prefix = bool(dict(_fields(value)).get(3, model.dummy_prefix))
    return model


def _piece(data: bytes) -> tuple[str, float, int]:
    values: dict[int, Any] = dict(_fields(data))
    score = struct.unpack("<f", values[2])[0] if 2 in values else 0.0
    return values.get(1, b"").decode("utf-8"), score, values.get(3, 1)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer message: an int, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"no SentencePiece model (wire type {wire})")
        if at + size > len(data):
            raise ValueError("the file ends early")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number has no end")
