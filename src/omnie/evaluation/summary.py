"""From judged answers to a score with its 95 % interval. One answer is judged in `omnie.data.scoring`."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from omnie.data.example import Example, Scoring
from omnie.data.scoring import SCORERS, characters, edit_distance, interval, parse_object, score, spoken, wilson

UNITS: dict[Scoring, Callable[[str], list[str]]] = {"cer": characters, "wer": spoken}
"""Scorings that are reported as an error rate of the corpus, and what they count."""
RESAMPLES = 2000
FEWEST = 5
"""Cases of a family that say something about it."""
SUREST = 0.8
"""The share of the answers that are taken where `confidence` takes the surest ones only."""


@dataclass(frozen=True)
class Judged:
    """An answer next to what was wanted; `score` is that of the single case, from 0 to 1; `families` are the example's;
    `sure` is the probability that the model gave its answer, where that is known."""

    skill: str
    scoring: Scoring
    answer: str
    prediction: str
    score: float
    families: dict[str, str] = field(default_factory=dict)
    sure: float | None = None


def judge(example: Example, prediction: str, sure: float | None = None) -> Judged:
    """A prediction, judged by the example's scoring."""
    right = score(example, prediction)
    return Judged(example.skill, example.scoring, example.answer, prediction, right, example.families, sure)


def summary(cases: Sequence[Judged]) -> dict[str, Any]:
    """`score`, `n`, `low`, `high` of some cases.

    Where texts are read or written down, the score is 1 - the corpus error rate (not below 0) of just these cases; the rate
    itself stands beside it (`cer` or `wer`), and the summary of the group's other cases as `exact`. Else it is the mean score;
    where JSON is wanted, `valid` beside it is the share of the answers that are some.
    """
    scoring = next((case.scoring for case in cases if case.scoring in UNITS), None)
    if scoring is None:
        row = _row(*interval([case.score for case in cases]), len(cases))
        return row | ({"valid": valid(cases)} if all(case.scoring == "json" for case in cases) else {})
    rated, others = ([case for case in cases if (case.scoring == scoring) is wanted] for wanted in (True, False))
    return by_rate(rated, scoring) | ({"exact": summary(others)} if others else {})


def confidence(cases: Sequence[Judged]) -> dict[str, Any]:
    """How well the model's own probabilities tell its right answers from its wrong ones, under `confidence`; empty where they
    are not known or all answers are right or all wrong.

    `auroc`: how often the surer of a right and a wrong answer is the right one (area under the ROC curve; Hanley and McNeil
    1982). `surest`: the mean score of the `SUREST` share of the answers.
    """
    if any(case.sure is None for case in cases):
        return {}
    right_N = np.array([case.score == 1.0 for case in cases])
    sure_N = np.array([case.sure for case in cases])
    if right_N.all() or not right_N.any():
        return {}
    difference = np.sign(sure_N[right_N][:, None] - sure_N[~right_N][None])
    surest_N = np.argsort(-sure_N, kind="stable")[: max(1, round(SUREST * len(cases)))]
    surest = np.mean([cases[n].score for n in surest_N])
    return {"confidence": {"auroc": round(float(difference.mean() / 2 + 0.5), 4), "surest": round(float(surest), 4)}}


def valid(cases: Sequence[Judged]) -> float:
    """The share of the answers that are JSON objects."""
    return round(sum(parse_object(case.prediction) is not None for case in cases) / len(cases), 4)


def scores(cases: Sequence[Judged]) -> str:
    """The scores of single cases, in a line: what `compare` reads."""
    return " ".join(f"{case.score:.3g}" for case in cases)


def chance(cases: Sequence[Judged]) -> float:
    """What the one answer that fits most cases would score if it were given to all of them, skill by skill: as much as can be
    had without looking or listening, where the question does not name the answers. Of texts that are read or written down 0.
    """
    best = 0.0
    for skill in {case.skill for case in cases}:
        mine = [case for case in cases if case.skill == skill and case.scoring not in UNITS]
        given = {case.answer for case in mine}
        best += max((sum(SCORERS[case.scoring](case.answer, said) for case in mine) for said in given), default=0.0)
    return round(best / len(cases), 4)


def by_rate(cases: Sequence[Judged], scoring: Scoring) -> dict[str, Any]:
    """The summary of cases that share an error rate. The interval resamples whole cases (Efron 1979, fixed seed)."""
    split = UNITS[scoring]
    edits = np.array([edit_distance(split(case.answer), split(case.prediction)) for case in cases])
    units = np.array([len(split(case.answer)) for case in cases])
    rate = float(edits.sum() / units.sum())
    if all(case.score in (0.0, 1.0) for case in cases):
        # Resampling equal cases gives an interval of no width; counting cases as right or wrong is wider and says so.
        _, low, high = wilson(sum(case.score == 1.0 for case in cases), len(cases))
    else:
        draws = np.random.default_rng(0).integers(0, len(cases), (RESAMPLES, len(cases)))
        rates = edits[draws].sum(axis=1) / units[draws].sum(axis=1)
        low, high = np.clip(np.quantile(1 - rates, (0.025, 0.975)), 0, 1)
    return _row(max(0.0, 1 - rate), float(low), float(high), len(cases)) | {str(scoring): round(rate, 4)}


def hardest(cases: Sequence[Judged]) -> list[dict[str, Any]]:
    """The families (a font, a voice, a wording) that a skill's cases of `FEWEST` or more do worse with than with the rest: the
    interval of their mean lies below the skill's. The worst first: what training should show more of, or of more kinds."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for case in cases:
        for kind, names in case.families.items():
            for name in names.split("+"):
                found[kind, name].append(case.score)
    mean, rows = float(np.mean([case.score for case in cases])), []
    for (kind, name), scores in found.items():
        low, high = interval(scores)[1:]
        if FEWEST <= len(scores) < len(cases) and high < mean:
            rows.append({"kind": kind, "name": name} | _row(float(np.mean(scores)), low, high, len(scores)))
    return sorted(rows, key=lambda row: row["high"])


def _row(score: float, low: float, high: float, n: int) -> dict[str, Any]:
    if n == 1 and low == high:
        low, high = 0.0, 1.0  # resampling a lone graded case shows no spread, which is not the same as none
    return {"score": round(score, 4), "n": n, "low": round(low, 4), "high": round(high, 4)}
