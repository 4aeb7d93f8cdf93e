"""Two reports of `omnie eval skills` about the same cases: what one model does better than another, and whether that is chance.

The same questions were put to both, so their scores are compared case by case (a paired bootstrap; Efron 1979, fixed seed):
such a difference is known far better than the two scores are.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnie.data.skills import group_of
from omnie.errors import InputError

RESAMPLES = 2000
SAME = ("split", "shuffled", "guided")
"""What two reports have to agree on. Typed questions are about the same cases: the difference is what typing costs."""


def read(path: Path) -> dict[str, Any]:
    """A report with the score of each case.

    Raises:
        InputError: the file is none.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
        details = report["detail"].values()
        scored = bool(details) and all("scores" in row for row in details)
        for row in details if scored else ():
            row["scores"] = [float(score) for score in row["scores"].split()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("report cannot be read", value=path, allowed="a file of omnie eval skills", hint=str(error)) from None
    if not scored:
        raise InputError(
            "report has no scores of single cases", value=path, hint="ask again with this version: omnie eval skills"
        )
    return report


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Group or skill -> mean scores `before` and `after`, their `difference`, its 95 % interval `low` to `high`, and `n`; a
    group stands before its skills. Skills that only one report has are left out.

    Raises:
        InputError: the reports are about other cases.
    """
    for name in SAME:
        if before.get(name) != after.get(name):
            raise InputError("reports are about other cases", value=f"{name}: {before.get(name)}, {after.get(name)}")
    pairs: dict[str, list[np.ndarray]] = defaultdict(list)
    shared = [name for name in before["detail"] if name in after["detail"]]
    if not shared:
        raise InputError("reports share no skill", value=", ".join(before["detail"]), allowed=", ".join(after["detail"]))
    for name in shared:
        scores = [report["detail"][name]["scores"] for report in (before, after)]
        if len(scores[0]) != len(scores[1]):
            counts = f"{name}: {len(scores[0])} and {len(scores[1])} cases"
            raise InputError("reports are about other cases", value=counts, allowed="the same --cases")
        pairs[group_of(name)].append(np.array(scores, dtype=np.float64))
        pairs[name].append(pairs[group_of(name)][-1])
    groups = {group_of(name): [other for other in shared if group_of(other) == group_of(name)] for name in shared}
    order = [name for group, members in groups.items() for name in (group, *members)]
    return {name: _row(np.concatenate(pairs[name], axis=1)) for name in order}


def _row(scores_2N: np.ndarray) -> dict[str, Any]:
    gains, n = scores_2N[1] - scores_2N[0], scores_2N.shape[1]
    draws = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    low, high = np.quantile(gains[draws].mean(axis=1), (0.025, 0.975))
    means = scores_2N.mean(axis=1)
    numbers = {"before": means[0], "after": means[1], "difference": gains.mean(), "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in numbers.items()} | {"n": n}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The comparison as lines; a star marks a difference that is no chance."""
    lines = [f"{'':22}{'before':>8}{'after':>8}{'change':>8}{'95 % interval':>18}{'n':>6}"]
    for name, row in rows.items():
        star = " *" if row["low"] > 0 or row["high"] < 0 else ""
        between = f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}"
        head = f"{'  ' if '.' in name else ''}{name}"
        figures: Sequence[float] = [100 * row[key] for key in ("before", "after", "difference")]
        lines.append(f"{head:22}{figures[0]:8.1f}{figures[1]:8.1f}{figures[2]:+8.1f}{between:>18}{row['n']:6}{star}")
    return "\n".join(lines)
