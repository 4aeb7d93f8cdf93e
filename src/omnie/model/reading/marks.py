"""What a chart's marks say: where its bars end and its points lie, and what values the numbers beside the axis give them.

One map says of each quarter of a token whether a tick's number has its middle there, a category's name, or the mark of a
series, and where exactly: to a pixel, where a letter is read to a token. A line through the numbers at the ticks then tells
the value of every mark, and it is read behind the name of the mark's category: "_Jan: 12 | Feb: 15 | ^Mar: 18", with a sign
before the lowest and the highest; of several series "Jan | 2023: 12 | 2024: 14". To the decoder a chart is a table. How the
values go on is read too, as "/", "\\" or "-" from one to the next. That is how people read charts that have no numbers
beside the marks, and it is nothing that a decoder of this size would learn to calculate.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import LEGEND, NAME, SERIES, TICK
from omnie.inputs import MARK_CELLS as CELLS
from omnie.numerals import NUMBER, parse_number

INNER = 64
"""Width in which a cell's mark is chosen; the choice itself is the same map in all cells."""
NOTHING = 4.0
"""Bias of the last kind, which is none, in a fresh model: one that does not know charts finds no marks."""
FAINT, SURE = 0.15, 0.5
"""Probability from which a cell is looked at, and which the cells that mean the same place must have together."""
NEAR = 0.35
"""Marks of a kind closer than this are one, in tokens."""
ASTRAY = 0.3
"""How far a text may be read from where its mark lies, in tokens."""
OFF = 0.2
"""How far from where the line puts it a tick may lie, in tokens."""
FINE = 0.1
"""Values are said to a power of ten below this share of what a token spans."""
LEVEL = 0.03
"""A rise by less than this share of the axis looks level."""
BESIDE = 0.6
"""A mark that is further from the nearest name than this share of the distance between names belongs to none."""


class Spot(NamedTuple):
    """A mark: its kind, its middle, down and to the right in tokens, and half the width of a text."""

    kind: int
    down: float
    right: float
    half: float


class Text(NamedTuple):
    """A word that is read: in which row of tokens, how far to the right it begins, and its letters."""

    row: int
    right: float
    letters: bytes


class Caption(NamedTuple):
    """What is to be read before and behind some of the words, the first and the last of which are `words`; or, where it belongs
    to none, in a row of tokens beginning in a column."""

    behind: str
    before: str = ""
    words: tuple[int, int] | None = None
    row: int = 0
    right: float = 0.0


class Marks(nn.Module):
    """Finds the marks of charts in the tokens of pictures.

    Args:
        hidden: Of the tokens.
        series: How many series are told apart.
    """

    def __init__(self, hidden: int, series: int):
        super().__init__()
        self.cell_head = nn.Linear(hidden, CELLS * CELLS * INNER)
        self.kind_head = nn.Linear(INNER, SERIES + series + 1)
        self.spot_head = nn.Linear(INNER, 3)
        self.cell_head.init_std = hidden**-0.5
        self.kind_head.init_std = self.spot_head.init_std = INNER**-0.5
        self.kind_head.init_last_bias = NOTHING

    def logits(self, tokens_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Of each cell of each token, row by row: the kind of its mark, [T, 4, kinds + 1], and where it lies, [T, 4, 3]: how
        far down and to the right of the cell's middle, in cells, and half the width of its text in tokens. The tokens' length
        does not matter."""
        x_TD = F.rms_norm(tokens_TD, tokens_TD.shape[-1:]).to(self.cell_head.weight.dtype)
        cells_TCI = F.gelu(self.cell_head(x_TD).unflatten(-1, (CELLS * CELLS, INNER)))
        return self.kind_head(cells_TCI), self.spot_head(cells_TCI)

    @torch.no_grad()
    def read(self, tokens_TD: Tensor, sizes: Sequence[tuple[int, int, int]]) -> list[list[Spot]]:
        """The marks of each frame of each picture.

        Args:
            sizes: Of each picture: frames, rows and columns of its tokens.
        """
        kinds_TCK, spots_TC3 = self.logits(tokens_TD)
        said_TCX = torch.cat([kinds_TCK.float().softmax(-1), spots_TC3.float()], dim=-1).cpu().numpy()  # one wait for a GPU
        found, begin = [], 0
        for frames, rows, columns in sizes:
            for _ in range(frames):
                own_TCX = said_TCX[begin : begin + rows * columns]
                found.append(list(_spots(own_TCX[..., :-3], own_TCX[..., -3:], columns)))
                begin += rows * columns
        return found


def _spots(shares_TCK: np.ndarray, places_TC3: np.ndarray, columns: int) -> Iterator[Spot]:
    """Marks in the cells of a picture, those of cells that mean the same place together."""
    weight_TC = 1 - shares_TCK[..., -1]
    tokens_N, cells_N = np.nonzero(weight_TC > FAINT)
    weights_N = weight_TC[tokens_N, cells_N]
    kinds_N = shares_TCK[tokens_N, cells_N, :-1].argmax(-1)
    within_N2 = (np.stack(np.divmod(cells_N, CELLS), axis=1) + 0.5 + places_TC3[tokens_N, cells_N, :2]) / CELLS
    middle_N2 = np.stack(np.divmod(tokens_N, columns), axis=1) + within_N2
    free_N = np.ones(len(tokens_N), bool)
    for best in np.argsort(-weights_N, kind="stable"):
        if not free_N[best]:
            continue
        near = free_N & (kinds_N == kinds_N[best]) & (np.abs(middle_N2 - middle_N2[best]).max(1) < NEAR)
        free_N[near] = False
        if weights_N[near].sum() >= SURE:
            down, right = np.average(middle_N2[near], axis=0, weights=weights_N[near])
            yield Spot(int(kinds_N[best]), float(down), float(right), float(places_TC3[tokens_N[best], cells_N[best], 2]))


def captions(spots: Sequence[Spot], words: Sequence[Text]) -> list[Caption]:
    """The values of a chart's marks, each category's behind its name; none where the ticks do not agree on an axis.

    Args:
        spots: Its marks.
        words: What is read in its picture, in order.
    """
    axis = _axis([spot for spot in spots if spot.kind == TICK], words)
    if axis is None:
        return []
    shown = sorted((spot for spot in spots if spot.kind >= SERIES), key=axis.along)
    names = [spot for spot in spots if spot.kind == NAME]
    where = np.array([axis.along(spot) for spot in names])
    reach = BESIDE * float(np.median(np.diff(np.sort(where)))) if len(names) > 1 else math.inf
    of: dict[int | None, list[Spot]] = {}
    for spot in shown:
        off = np.abs(where - axis.along(spot))
        of.setdefault(int(off.argmin()) if len(off) and off.min() <= reach else None, []).append(spot)
    alone = of.pop(None, [])
    series = _series([spot for spot in spots if spot.kind == LEGEND], shown, words)
    signs = _signs(shown, axis, series)
    found = []
    for index, own in of.items():
        said = _words_of(names[index or 0], words)
        if said:
            own = sorted(own, key=lambda spot: spot.kind)
            behind = "".join(f" | {series[spot.kind]}: {axis.said(spot)}" for spot in own) if series else ""
            behind = behind or ": " + ", ".join(axis.said(spot) for spot in own)
            found.append(Caption(behind, "".join(signs.get(spot, "") for spot in own), (said[0], said[-1])))
        else:
            alone += own
    lowest = int(max((spot.down for spot in alone), default=0))
    found += [Caption(axis.said(spot), row=lowest, right=spot.right) for spot in sorted(alone, key=lambda spot: spot.right)]
    if axis.upright and (course := _course(shown, axis)):
        found.append(Caption(course, row=int(min(spot.down for spot in shown)), right=shown[0].right))
    return found


def _series(legend: Sequence[Spot], shown: Sequence[Spot], words: Sequence[Text]) -> dict[int, str]:
    """Kind -> name of each series, in the legend's order; none where only one is shown, or names are not read apart."""
    kinds = sorted({spot.kind for spot in shown})
    if len(kinds) < 2 or not legend:
        return {}
    places = np.array([(spot.down, spot.right) for spot in legend])
    order = places[:, int(np.ptp(places[:, 1]) > np.ptp(places[:, 0]))].argsort()
    said = [b"".join(words[n].letters for n in _words_of(legend[n], words)).decode(errors="replace").strip() for n in order]
    found = {SERIES + n: name for n, name in enumerate(said) if name}
    return found if all(kind in found for kind in kinds) and len(set(found.values())) == len(found) else {}


def _signs(shown: Sequence[Spot], axis: Axis, series: dict[int, str]) -> dict[Spot, str]:
    """What stands before the names of the highest and the lowest values: of several series with the series' name."""
    found: dict[Spot, str] = {}
    for kind in sorted({spot.kind for spot in shown}):
        own = sorted((spot for spot in shown if spot.kind == kind), key=axis.value)
        if len(own) > 1 and (series or all(spot.kind == kind for spot in shown)):
            name = f"{series[kind]}: " if series else ""
            found |= {own[0]: f"_{name}", own[-1]: f"^{name}"}
    return found


def _course(shown: Sequence[Spot], axis: Axis) -> str:
    """How the values of each series go on, from one to the next."""
    found = []
    for kind in sorted({spot.kind for spot in shown}):
        values = [axis.value(spot) for spot in shown if spot.kind == kind]
        rises = [(after - before) / axis.span for before, after in itertools.pairwise(values)]
        found.append(" ".join("-" if abs(rise) < LEVEL else "/" if rise > 0 else "\\" for rise in rises))
    return ", ".join(filter(None, found))


def _words_of(spot: Spot, words: Sequence[Text]) -> list[int]:
    """Which words stand where a name or a number is marked; of two rows that may be meant the nearer one."""
    row = int(spot.down)
    share = spot.down - row
    rows = [row, *([row - 1] if share < ASTRAY else [row + 1] if share > 1 - ASTRAY else [])]
    begin, end = spot.right - spot.half - ASTRAY, spot.right + spot.half
    for row in rows:
        found = [n for n, word in enumerate(words) if word.row == row and begin <= word.right <= max(end, begin + 2 * ASTRAY)]
        if found:
            return found
    return []


@dataclass(frozen=True)
class Axis:
    """A line that says what values lie where.

    Attributes:
        upright: Whether values run upwards, not to the right.
        slope, start: Of the line: value per token, and the value at 0.
        span: Between the lowest and the highest tick.
    """

    upright: bool
    slope: float
    start: float
    span: float

    def along(self, spot: Spot) -> float:
        """How far along the other axis, that of the categories."""
        return spot.right if self.upright else spot.down

    def value(self, spot: Spot) -> float:
        return self.slope * (spot.down if self.upright else spot.right) + self.start

    def said(self, spot: Spot) -> str:
        """Its value in digits, as many as can be told."""
        return _rounded(self.value(spot), abs(self.slope) * FINE)


def _axis(ticks: Sequence[Spot], words: Sequence[Text]) -> Axis | None:
    """The line through two ticks that most ticks agree with (RANSAC; Fischler and Bolles 1981), fitted to these. Two are enough
    only where there are no more."""
    read = [(tick, number) for tick in ticks if (number := _number(tick, words)) is not None]
    if len(read) < 2:
        return None
    places = np.array([(tick.down, tick.right) for tick, _ in read])
    upright = bool(np.ptp(places[:, 0]) >= np.ptp(places[:, 1]))
    at, values = places[:, 0 if upright else 1], np.array([number for _, number in read])
    best = np.zeros(len(read), bool)
    for i, j in itertools.combinations(range(len(read)), 2):
        if abs(at[i] - at[j]) < ASTRAY:
            continue
        slope = (values[j] - values[i]) / (at[j] - at[i])
        if (slope < 0) == upright and slope:
            agree = np.abs(values[i] + slope * (at - at[i]) - values) <= abs(slope) * OFF
            best = agree if agree.sum() > best.sum() else best
    if best.sum() < min(len(read), 3):
        return None
    slope, start = np.polyfit(at[best], values[best], 1)
    return Axis(upright, float(slope), float(start), float(np.ptp(values[best])))


def _number(tick: Spot, words: Sequence[Text]) -> float | None:
    text = b"".join(words[n].letters for n in _words_of(tick, words)).decode(errors="replace")
    match = NUMBER.search(text)
    value = parse_number(match.group()) if match else None
    return value * 1000 if value is not None and text.rstrip().endswith(("k", "K")) else value


def _rounded(value: float, step: float) -> str:
    """A value to the power of ten below `step`, without zeros at its end."""
    digits = max(-math.floor(math.log10(max(step, 1e-9))), -9)
    said = f"{round(value, digits) + 0.0:.{max(digits, 0)}f}"  # no "-0"
    return said.rstrip("0").rstrip(".") if "." in said else said
