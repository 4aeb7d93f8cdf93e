"""Scores of answers, and intervals of scores. Nothing here runs a model or prints.

`score` judges one prediction, in [0, 1]. Error rates over a corpus (edits over reference lengths, not the mean of rates) come
from `error_rate`. `interval` gives a mean with its 95 % interval.
"""

import json
import math
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from omnie.data.example import Example, Scoring
from omnie.numerals import NUMBER, numbers

TOLERANCE = 0.05
"""Relative error within which a number counts as read correctly."""
QUOTED = 12
"""Most words that may be quoted before the answer that stands at the quotation's end: more than what lies between a question's
words and the answer in any sentence of `writing/`, fewer than a passage has, so that reciting it is no answer."""
OPENING = " \"'“„("
"""What may stand right before an answer in a quotation."""
HALF_SECOND = 0.5
"""Error within which a time counts as right, in seconds."""
Z = 1.959963984540054
"""97.5 % quantile of the normal distribution: a two-sided 95 % interval."""

WORDS = re.compile(r"\w+", re.UNICODE)


def score(example: Example, prediction: str) -> float:
    """How well `prediction` answers `example`, from 0 to 1, by the example's scoring."""
    return SCORERS[example.scoring](example.answer, prediction)


def fold(answer: str) -> str:
    """An answer without case, surplus white space, quotes around it and final punctuation."""
    return " ".join(answer.casefold().split()).strip("\"'“”„ ").rstrip(".!?,;: ")


def exact(answer: str, prediction: str) -> float:
    """1 if both fold to the same text."""
    return float(fold(answer) == fold(prediction))


def number(answer: str, prediction: str) -> float:
    """1 if the first number of the prediction lies within 5 % of the answer's; for a wanted 0, if it is 0."""
    wanted, got = numbers(answer), numbers(prediction)
    if not wanted or not got:
        return exact(answer, prediction) if not wanted else 0.0
    return float(abs(got[0] - wanted[0]) <= TOLERANCE * abs(wanted[0]) + 1e-9)


def seconds(answer: str, prediction: str) -> float:
    """1 if the first number of the prediction lies within half a second of the answer's."""
    wanted, got = numbers(answer), numbers(prediction)
    return float(bool(wanted and got) and abs(got[0] - wanted[0]) <= HALF_SECOND + 1e-9)


def edit_distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> int:
    """Insertions, deletions and substitutions between two sequences (Levenshtein 1966; two rows of the table)."""
    row = list(range(len(hypothesis) + 1))
    for i, wanted in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, got in enumerate(hypothesis, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (wanted != got))
    return row[-1]


def characters(text: str) -> list[str]:
    """What a character error rate compares: the characters, white space squeezed, case kept."""
    return list(" ".join(text.split()))


def spoken(text: str) -> list[str]:
    """What a word error rate compares: the words without case and punctuation."""
    return WORDS.findall(text.casefold())


def error_rate(pairs: Iterable[tuple[str, str]], units: Callable[[str], list[str]] = characters) -> float:
    """Corpus-level error rate of (reference, hypothesis) pairs: all edits over all reference units; may exceed 1."""
    edits = total = 0
    for reference, hypothesis in pairs:
        edits += edit_distance(units(reference), units(hypothesis))
        total += len(units(reference))
    return edits / total if total else 0.0


def cer(answer: str, prediction: str) -> float:
    """1 - character error rate, not below 0."""
    return max(0.0, 1 - error_rate([(answer, prediction)], characters))


def wer(answer: str, prediction: str) -> float:
    """1 - word error rate, not below 0."""
    return max(0.0, 1 - error_rate([(answer, prediction)], spoken))


def json_fields(answer: str, prediction: str) -> float:
    """The share of right fields among all fields, wanted or given; 0 if the prediction is no JSON object."""
    wanted, got = json.loads(answer), parse_object(prediction)
    if not isinstance(wanted, dict):
        raise ValueError(f"a json-scored answer must be an object: {answer!r}")
    if got is None:
        return 0.0
    keys = wanted.keys() | got.keys()
    return sum(same(wanted.get(key), got.get(key)) for key in keys if key in wanted and key in got) / max(1, len(keys))


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, or None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def same(wanted: Any, got: Any) -> bool:
    """Equal as folded text, so that 12 and "12" agree."""
    return wanted == got or fold(str(wanted)) == fold(str(got))


def contains(answer: str, prediction: str) -> float:
    """1 if the answer's words appear in the prediction, side by side and in order."""
    wanted, got = spoken(answer), spoken(prediction)
    return float(any(got[i : i + len(wanted)] == wanted for i in range(len(got) - len(wanted) + 1)))


def quoted(answer: str, prediction: str) -> float:
    """1 if the prediction is the answer, or a quotation that ends with it: at most `QUOTED` words before it."""
    wanted, got = fold(answer), fold(prediction)
    before = got.removesuffix(wanted)
    said = got.endswith(wanted) and (not before or before[-1] in OPENING)
    return float(said and len(before.split()) <= QUOTED)


def cell(answer: str, prediction: str) -> float:
    """1 if the cell at the end of the prediction is the answer: what follows the last bar and the header's mark.

    A row may be read aloud up to the cell that is asked for: "Berlin | 2022: 12 | 2023 = 45" answers 45, and so does 45 alone.
    A number is judged as `number` does, other cells as `exact` does.
    """
    last = prediction.rpartition("|")[2].rpartition(": ")[2].rpartition(" = ")[2]
    return (number if NUMBER.fullmatch(answer.strip()) else exact)(answer, last)


def named(answer: str, prediction: str) -> float:
    """1 if the prediction is the answer as `exact` says, or says before it which one it is: "max: March" answers March."""
    return exact(answer, prediction.rpartition(": ")[2])


def call(answer: str, prediction: str) -> float:
    """1 if the prediction calls the answer's tool with just its arguments, equal as `same` says."""
    wanted, got = json.loads(answer), parse_object(prediction)
    if got is None or got.get("name") != wanted["name"]:
        return 0.0
    due, given = wanted["arguments"], got.get("arguments")
    fits = isinstance(given, dict) and due.keys() == given.keys()
    return float(fits and all(same(due[key], given[key]) for key in due))


SCORERS: dict[Scoring, Callable[[str, str], float]] = {
    "exact": exact,
    "number": number,
    "seconds": seconds,
    "cer": cer,
    "wer": wer,
    "json": json_fields,
    "contains": contains,
    "quoted": quoted,
    "cell": cell,
    "named": named,
    "call": call,
}


def interval(scores: Sequence[float]) -> tuple[float, float, float]:
    """Mean, low and high end of a 95 % interval, in [0, 1].

    Scores of only 0 and 1: Wilson's interval (Wilson 1927). Graded scores: 2000 bootstrap resamples with a fixed seed
    (Efron 1979). No scores: (nan, 0, 1).
    """
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        return math.nan, 0.0, 1.0
    if np.isin(values, (0.0, 1.0)).all():
        return wilson(int(values.sum()), len(values))
    draws = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def wilson(hits: int, n: int) -> tuple[float, float, float]:
    """Share of hits with Wilson's 95 % interval."""
    share = hits / n
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return share, max(0.0, centre - half), min(1.0, centre + half)
