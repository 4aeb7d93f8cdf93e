"""The likeliest text of what an encoder spells, where the likeliest letters may make none.

CTC gives each step's letters by themselves. Here the texts that many paths of letters and blanks lead to are followed, the
likeliest few of them, and what a `LetterModel` says of a letter behind those before it counts too (prefix beam search with
shallow fusion; Graves and Jaitly 2014; Hannun et al. 2014, arXiv 1408.2873, algorithm 1). A letter more costs a text some of
its probability, so that short texts would win; a bonus makes up for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from torch import Tensor

from omnie.inputs import TAB
from omnie.model.reading.ngrams import LETTERS, ORDER, START, LetterModel

WIDTH = 12
"""Texts that are followed."""
CHOICES = 6
"""Letters that may be read at a step."""
BEHIND = 10.0
"""A text so much less likely than the likeliest one is dropped, in natural logarithms."""
LEAST = -7.0
"""Log-probability from which a letter may be read at all."""
SURE = -0.02
"""Log-probability from which a blank, or a letter, is not doubted."""
REACH = 2
"""Letters that are doubted belong to a stretch within so many times the gap that ends one: print may be large."""
BLANK, PARTING = ord(" "), ord(TAB)
NEVER = -math.inf


@dataclass(frozen=True)
class Weights:
    """How much a `LetterModel` counts beside what is seen, and what a letter more is worth."""

    model: float
    letter: float


class Transcript(NamedTuple):
    """Letters, and int64 [L], the step at which each is read."""

    letters: bytes
    steps: np.ndarray


def transcribe(
    scores: Iterable[Tensor],
    line_S: np.ndarray,
    quiet_S: np.ndarray | None,
    gap: int,
    model: LetterModel | None,
    weights: Weights,
    apart: bool,
) -> Transcript:
    """What an encoder spells: of stretches in which all is sure, or without a model, the likeliest letters; else the likeliest
    text.

    Args:
        scores: Log-probabilities of some steps after the other, [S, LETTERS + 1], the last one the blank's.
        line_S: Which line each step belongs to; a text ends with its line.
        quiet_S: bool, at which steps nothing is read, if at any.
        gap: Most steps without a letter within a stretch.
        apart: Whether stretches are texts by themselves, but for those that begin with a blank; others go on where the one
            before them in their line ends.
    """
    best: list[np.ndarray] = []
    awake: list[np.ndarray] = []
    doubted: list[np.ndarray] = []
    begin = 0
    for chunk in scores:
        best.append(chunk.argmax(-1).cpu().numpy())
        if model is not None:
            where = (chunk[:, LETTERS] < SURE).nonzero()[:, 0]
            awake.append(where.cpu().numpy() + begin)
            doubted.append(chunk.index_select(0, where).cpu().numpy())
        begin += len(chunk)
    best_S = np.concatenate(best) if best else np.empty(0, np.int64)
    best_S = best_S if quiet_S is None else np.where(quiet_S, LETTERS, best_S)
    read_A = np.flatnonzero(best_S != LETTERS)
    new_A = np.ones(len(read_A), bool)  # of equal letters side by side the first one counts
    new_A[1:] = (best_S[read_A[1:]] != best_S[read_A[:-1]]) | (np.diff(read_A) > 1) | (np.diff(line_S[read_A]) != 0)
    if model is None or not len(read_A):
        return Transcript(best_S[read_A[new_A]].astype(np.uint8).tobytes(), read_A[new_A])
    far_A, other_A = np.diff(read_A) > gap, np.diff(line_S[read_A]) != 0
    stretch_A = np.concatenate([[0], np.cumsum(far_A | other_A)])
    scores_KL, awake_K = np.concatenate(doubted), np.concatenate(awake)
    stretch_K = _stretches(awake_K, read_A, stretch_A, line_S, REACH * gap)
    stretch_K = stretch_K if quiet_S is None else np.where(quiet_S[awake_K], -1, stretch_K)
    unsure = np.bincount(stretch_K[stretch_K >= 0], scores_KL[stretch_K >= 0].max(1) < SURE) > 0
    letters, steps, context, line = b"", [], START, -1
    for stretch, doubt in enumerate(unsure.tolist()):
        mine_A = stretch_A == stretch
        first = read_A[mine_A][0]
        own_line, new = int(line_S[first]), apart and best_S[first] != BLANK
        context = START if new or own_line != line else context
        if doubt:
            mine_K = stretch_K == stretch
            found, at = likeliest(scores_KL[mine_K], awake_K[mine_K], model, weights, context)
        else:
            at = read_A[mine_A & new_A].tolist()
            found = best_S[at].astype(np.uint8).tobytes()
        letters, context, line = letters + found, (context + found)[1 - ORDER :], own_line
        steps += at
    return Transcript(letters, np.array(steps, np.int64))


def _stretches(awake_K: np.ndarray, read_A: np.ndarray, stretch_A: np.ndarray, line_S: np.ndarray, reach: int) -> np.ndarray:
    """The stretch of each step at which something may be read: that of the nearest letter in its line; -1: none is near."""
    behind_K = np.searchsorted(read_A, awake_K, side="right")
    near_2K = np.stack([np.maximum(behind_K - 1, 0), np.minimum(behind_K, len(read_A) - 1)])
    off_2K = np.abs(read_A[near_2K] - awake_K)
    off_2K = np.where(line_S[read_A[near_2K]] == line_S[awake_K], off_2K, reach + 1)
    nearest_K = off_2K.argmin(0)
    columns = np.arange(len(awake_K))
    return np.where(off_2K[nearest_K, columns] <= reach, stretch_A[near_2K[nearest_K, columns]], -1)


@dataclass
class _Texts:
    """Texts as a tree of letters. A node's text is its parent's and one letter more; the root's is empty."""

    parent: list[int] = field(default_factory=lambda: [-1])
    letter: list[int] = field(default_factory=lambda: [-1])
    context: list[bytes] = field(default_factory=list)
    usual: list[float] = field(default_factory=lambda: [0.0])
    step: list[int] = field(default_factory=lambda: [-1])
    clearest: list[float] = field(default_factory=lambda: [NEVER])
    children: dict[tuple[int, int], int] = field(default_factory=dict)

    def child(self, node: int, letter: int, model: LetterModel, weights: Weights) -> int:
        key = node, letter
        if key not in self.children:
            self.children[key] = len(self.parent)
            context, usual = self.context[node], self.usual[node]
            if (letter, context) != (PARTING, START):  # a text's left neighbour may have been read in a stretch before
                usual += weights.model * model.behind(context)[letter] + weights.letter
            self.usual.append(usual)
            self.context.append(START if letter == PARTING else (context + bytes((letter,)))[1 - ORDER :])
            self.parent.append(node)
            self.letter.append(letter)
            self.step.append(-1)
            self.clearest.append(NEVER)
        return self.children[key]

    def said(self, node: int) -> tuple[bytes, list[int]]:
        letters, steps = [], []
        while node:
            letters.append(self.letter[node])
            steps.append(self.step[node])
            node = self.parent[node]
        return bytes(letters[::-1]), steps[::-1]


def likeliest(
    scores_SL: np.ndarray, steps_S: np.ndarray, model: LetterModel, weights: Weights, context: bytes
) -> tuple[bytes, list[int]]:
    """The likeliest text and the step at which each of its letters is read.

    Args:
        scores_SL: [S, LETTERS + 1], log-probabilities of the letters and, last, of the blank.
        steps_S: int [S], ascending: which steps these are; at those between them nothing is read.
        context: The `ORDER - 1` letters before the text.
    """
    choices_SC = np.argpartition(-scores_SL[:, :LETTERS], CHOICES, axis=1)[:, :CHOICES]
    texts = _Texts(context=[context])
    beams = {0: (0.0, NEVER)}  # a text's log-probability where a blank is read last, and where its last letter is
    before = None
    for step, scores, choices in zip(steps_S.tolist(), scores_SL.tolist(), choices_SC.tolist(), strict=True):
        if before is not None and step > before + 1:
            beams = {node: (_sum(blank, letter), NEVER) for node, (blank, letter) in beams.items()}
        before = step
        found: dict[int, tuple[float, float]] = {}
        letters = [letter for letter in choices if scores[letter] > LEAST]
        for node, (blank, again) in beams.items():
            either, last = _sum(blank, again), texts.letter[node]
            own_blank, own_letter = found.get(node, (NEVER, NEVER))
            stays = again + scores[last] if last >= 0 else NEVER
            found[node] = _sum(own_blank, either + scores[LETTERS]), _sum(own_letter, stays)
            for letter in letters:
                score = (blank if letter == last else either) + scores[letter]
                if score == NEVER:
                    continue
                child = texts.child(node, letter, model, weights)
                own_blank, own_letter = found.get(child, (NEVER, NEVER))
                found[child] = own_blank, _sum(own_letter, score)
                if score > texts.clearest[child]:
                    texts.clearest[child], texts.step[child] = score, step
        ranked = sorted(((_sum(*own) + texts.usual[node], node) for node, own in found.items()), reverse=True)[:WIDTH]
        beams = {node: found[node] for score, node in ranked if score > ranked[0][0] - BEHIND}
    return texts.said(max(beams, key=lambda node: _sum(*beams[node]) + texts.usual[node]))


def _sum(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))
