"""Letters to the vocabulary's words, inside the model: byte-pair merges by rank (Sennrich et al. 2016), as the tokenizer does
it.

A vocabulary of byte pairs is its own list of merges: of two neighbours that together are a token, those whose token has the
smallest number are merged first. The tokenizer splits words and digits before it merges, but no token reaches across such a
split, so merging alone comes to the same, but where several blanks stand in a row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

UNKNOWN = 1 << 30
LONGEST = 23
"""Bytes of the longest token that can be spelled."""


def table(texts: Sequence[bytes], first: int) -> Tensor:
    """What `words` needs to know of a vocabulary, to be kept among a model's weights.

    Args:
        texts: What each token says, by number.
        first: The first token that is no special one; those before it are never read.

    Returns:
        float32 [V, 1 + LONGEST]: the length, 0 where a token is not to be read, and the bytes. Floating point, as all that a
        model's file holds; a byte is exact in bfloat16 too.
    """
    found = torch.zeros(len(texts), 1 + LONGEST)
    for token, text in enumerate(texts):
        if token >= first and 0 < len(text) <= LONGEST:
            found[token, 0] = len(text)
            found[token, 1 : 1 + len(text)] = torch.tensor(list(text))
    return found


class Speller:
    """A vocabulary, for `words`; `tokens`: text -> token, `letters`: token -> text."""

    def __init__(self, rows: bytes):
        size = 1 + LONGEST
        texts = (rows[n : n + size] for n in range(0, len(rows), size))
        self.tokens: dict[bytes, int] = {}
        for token, row in enumerate(texts):
            if row[0]:
                self.tokens.setdefault(row[1 : 1 + row[0]], token)
        self.letters = {token: text for text, token in self.tokens.items()}
        self._piece = functools.lru_cache(1 << 14)(self._merged)

    @classmethod
    def of(cls, rows: Tensor) -> Speller:
        """From what `table` gave; equal ones share what they remember."""
        return _speller(rows.to(torch.uint8).cpu().numpy().tobytes())

    def words(self, letters: bytes) -> list[tuple[int, int]]:
        """The tokens of a text and the place of each one's first letter. Letters that no token says are left out."""
        found, begin = [], 0
        while begin < len(letters):
            end = letters.find(b" ", begin + 1)
            end = len(letters) if end < 0 else end
            found += [(token, begin + place) for token, place in self._piece(letters[begin:end])]
            begin = end
        return found

    def _merged(self, letters: bytes) -> tuple[tuple[int, int], ...]:
        parts = [letters[n : n + 1] for n in range(len(letters))]
        while len(parts) > 1:
            ranks = [self.tokens.get(a + b, UNKNOWN) for a, b in zip(parts, parts[1:])]
            best = min(range(len(ranks)), key=ranks.__getitem__)
            if parts[best] + parts[best + 1] not in self.tokens:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        found, place = [], 0
        for part in parts:
            if part in self.tokens:
                found.append((self.tokens[part], place))
            place += len(part)
        return tuple(found)


@functools.lru_cache(8)
def _speller(rows: bytes) -> Speller:
    return Speller(rows)
