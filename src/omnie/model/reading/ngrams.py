"""How likely a letter is behind those before it: an n-gram language model, small enough to be kept among a model's weights.

An encoder sees each letter for itself, and at five pixels a letter "rn" looks as "m" does; which of the two makes a word is
known from what is usually written. Five letters tell that, whatever the font or voice, and counting them takes a minute, where
an encoder that is to know words must see each of them in many pictures. Probabilities of longer contexts are mixed with those
of shorter ones by how many different letters have followed (interpolated Witten-Bell smoothing; Witten and Bell 1991, method
C; Chen and Goodman 1996, section 2.6): a letter that never followed is unlikely, not impossible.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

ORDER = 5
"""Letters of an n-gram, the last of which is told by the others."""
START = b"\n" * (ORDER - 1)
"""What stands before a text."""
LETTERS = 256
"""Bytes."""
STEPS = 16
"""In so many steps a count doubles, where it is kept as a byte."""
CONTEXTS = 1 << 14
"""Contexts whose probabilities are remembered, 1 KiB each."""


def table(texts: Iterable[bytes], most: int) -> Tensor:
    """The n-grams of texts, the `most` frequent ones, to be kept among a model's weights.

    Returns:
        float32 [most, ORDER + 1]: the letters, and the binary logarithm of one more than the count, in steps of 1 / STEPS; rows
        of zeros where there are fewer. Floating point, as all that a model holds; a byte is exact in bfloat16 too.
    """
    counts: Counter[bytes] = Counter()
    for text in texts:
        padded = START + text
        counts.update(padded[n : n + ORDER] for n in range(len(text)))
    found = torch.zeros(most, ORDER + 1)
    kept = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    for row, (letters, count) in enumerate(sorted(kept)):
        found[row, :ORDER] = torch.tensor(list(letters))
        found[row, ORDER] = min(round(STEPS * math.log2(1 + count)), 255)
    return found


class LetterModel:
    """Log-probabilities of the letter behind a context."""

    def __init__(self, rows: bytes):
        found = np.frombuffer(rows, np.uint8).reshape(-1, ORDER + 1)
        found = found[found[:, ORDER] > 0]
        counts = 2.0 ** (found[:, ORDER] / STEPS) - 1
        self._keys: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        key = np.zeros(len(found), np.int64)
        for length in range(1, ORDER + 1):  # shorter n-grams are the ends of longer ones
            key = key | found[:, ORDER - length].astype(np.int64) << 8 * (length - 1)
            keys, own = np.unique(key, return_inverse=True)
            self._keys.append(keys)
            self._counts.append(np.bincount(own, counts, len(keys)))
        self.behind = functools.lru_cache(CONTEXTS)(self._behind)

    @classmethod
    def of(cls, rows: Tensor) -> LetterModel | None:
        """From what `table` gave, None of an empty one; equal ones share what they remember."""
        return _letter_model(rows.to(torch.uint8).cpu().numpy().tobytes())

    def _behind(self, context: bytes) -> array[float]:
        """Of each letter, the natural logarithm of its probability behind the `ORDER - 1` letters of a context."""
        shares = np.full(LETTERS, 1 / LETTERS)
        for length, (keys, counts) in enumerate(zip(self._keys, self._counts, strict=True)):
            first = int.from_bytes(context[len(context) - length :], "big") << 8
            begin, end = np.searchsorted(keys, (first, first + LETTERS))
            if begin == end:
                break
            own = counts[begin:end]
            shares *= end - begin
            shares[keys[begin:end] - first] += own
            shares /= own.sum() + (end - begin)
        return array("f", np.log(shares))


@functools.lru_cache(8)
def _letter_model(rows: bytes) -> LetterModel | None:
    return LetterModel(rows) if any(rows) else None
