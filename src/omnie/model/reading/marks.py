"""What a chart's marks say: where its bars end and its points lie, and what values the numbers beside the axis give them.

One map says of each quarter of a token whether a tick's number has its middle there, a category's name, or the mark of a
series, and where exactly: to a pixel, where a letter is read to a token. A line through the numbers at the ticks then tells
the value of every mark, and it is read behind the name of the mark's category: "Jan: 12 | Feb: 15 | Mar: 18"; of
several series "Jan | 2023: 12 | 2024: 14". To the decoder a chart is a table. What is read besides is how the values go on, as
"/", "\\" or "-" from one to the next, how many there are ("n = 3"), and which is the lowest and the highest ("min: Jan", of
several series "2023 min: Jan"). That is how people read charts that have no numbers beside the marks, and it is nothing that a
decoder of this size would learn to calculate; answers say it in the same words, so that saying it is copying.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
ASTRAY = 1.0
"""How far a text may be read from where its mark lies, in tokens."""
BETWEEN = 0.25
"""How far above or below a row of tokens the middle of what is read in it may be said to lie."""
OFF = 0.2
"""How far from where the line puts it a tick may lie, in tokens."""
USUAL = 0.06
"""How far a step of an axis may be from one that people choose, as a share."""
LARGEST = 1e15
"""What stands at a tick is no number beyond it, but digits read over and over."""
FINE = 0.1
"""Values are said to a power of ten below this share of what a token spans."""
LEVEL = 0.03
"""A rise by less than this share of the axis looks level."""
ABREAST = 0.15
"""Bars side by side are further apart than this, in tokens."""
PLOT = 8.0
"""Height of a plot whose ticks are not read, in tokens."""
SHARE = re.compile(r"(?:(.*\S) +)?\(?(\d{1,2}) ?%\)?")
"""What stands at a wedge: a share in per cent, its name before it or not."""
MISREAD, LISTED = 30.0, 10.0
"""What the shares of a pie may lack of a hundred, or have too much, because one is misread; of such that stand in a list."""
FAR = 2.0
"""How many times the usual distance a share and its name may be apart."""
ALIGNED = 0.5
"""Texts that begin this close below each other stand in a list, in tokens."""
BESIDE = 0.6
"""A mark that is further from the nearest name than this share of the distance between names belongs to none; of a lone name's,
further than so many tokens."""


class Spot(NamedTuple):
    """A mark: its kind, its middle, down and to the right in tokens, and half the width of a text."""

    kind: int
    down: float
    right: float
    half: float


class Text(NamedTuple):
    """A word that is read: in which row of tokens, how far to the right it begins and ends, its letters, and whether a text is
    known to begin with it."""

    row: int
    right: float
    end: float
    letters: bytes
    first: bool = False


class Caption(NamedTuple):
    """What is to be read behind the word of a number; or, where it belongs to none, in a row of tokens, from a column on."""

    said: str
    word: int | None = None
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
    """The values of a chart's marks, each category's behind its name; which is the highest and the lowest, how they go on, and
    how many there are. Where the ticks do not agree on an axis, the values are left out.

    Args:
        spots: Its marks.
        words: What is read in its picture, in order.
    """
    if not any(spot.kind == TICK or spot.kind >= SERIES for spot in spots):
        return _shares(words)
    named = _named(spots, words)
    names = [spot for spot in spots if spot.kind == NAME]
    axis = _axis([(spot, _text(named[spot], words)) for spot in spots if spot.kind == TICK]) or _unknown(names)
    shown = sorted((spot for spot in spots if spot.kind >= SERIES), key=axis.along)
    where = np.array([axis.along(spot) for spot in names])
    reach = BESIDE * float(np.median(np.diff(np.sort(where)))) if len(names) > 1 else BESIDE
    of: dict[int | None, list[Spot]] = {}
    for spot in shown:
        off = np.abs(where - axis.along(spot))
        of.setdefault(int(off.argmin()) if len(off) and off.min() <= reach else None, []).append(spot)
    alone = of.pop(None, [])
    of = _told_apart(of, axis)
    shown = sorted((spot for own in (alone, *of.values()) for spot in own), key=axis.along)
    legend = [(spot, _text(named[spot], words)) for spot in spots if spot.kind == LEGEND]
    series = _series(legend, sorted({spot.kind for spot in shown}))
    found, named_as = [], {}
    for index, own in of.items():
        said = named[names[index or 0]]
        if said:
            own = sorted(own, key=lambda spot: spot.kind)
            behind = "".join(f" | {series[spot.kind]}: {axis.said(spot)}" for spot in own) if series else ""
            behind = (behind or ": " + ", ".join(axis.said(spot) for spot in own)) if axis.known else ""
            found += [Caption(behind, said[-1])] if behind else []
            named_as |= dict.fromkeys(own, _text(said, words))
        else:
            alone += own
    lowest = int(max((spot.down for spot in alone), default=0))
    alone = sorted(alone if axis.known else (), key=lambda spot: spot.right)
    found += [Caption(axis.said(spot), row=lowest, right=spot.right) for spot in alone]
    facts = [_course(shown, axis) if axis.upright else "", _count(shown, names), *_ends(shown, axis, series, named_as)]
    places = shown or names or [Spot(NAME, 0.0, 0.0, 0.0)]
    row, last = (int(end(spot.down for spot in places)) for end in (min, max))
    said_facts = enumerate(filter(None, facts))
    return found + [Caption(fact, row=min(row + n, last), right=places[0].right) for n, fact in said_facts]


def _told_apart(of: dict[int | None, list[Spot]], axis: Axis) -> dict[int | None, list[Spot]]:
    """Marks of equal kinds that belong to one name are bars side by side: of as many series, in their order."""
    most = max(map(len, of.values()), default=0)
    if all(len({spot.kind for spot in own}) == len(own) for own in of.values()):
        return of
    beside = {
        name: len(own) == most and all(b - a > ABREAST for a, b in itertools.pairwise(sorted(map(axis.along, own))))
        for name, own in of.items()
    }
    if not any(beside.values()):
        return of
    return {
        name: [spot._replace(kind=SERIES + n) for n, spot in enumerate(sorted(own, key=axis.along))] if beside[name] else own
        for name, own in of.items()
    }


def _shares(words: Sequence[Text]) -> list[Caption]:
    """The shares of a pie, which make a hundred, each behind the name that stands nearest; which is the smallest and the
    largest, and how many there are. Names in a legend, where only colours say what they mean, get none."""
    begins = [n for n, word in enumerate(words) if not n or word.first or word.row != words[n - 1].row]
    texts = [range(n, end) for n, end in itertools.pairwise([*begins, len(words)])]
    said = [_text(text, words) for text in texts]
    matches = {n: match for n, it in enumerate(said) if (match := SHARE.fullmatch(it))}
    astray = abs(sum(float(match[2]) for match in matches.values()) - 100)
    listed = _aligned([words[texts[n][0]] for n in matches]) > len(matches) / 2  # in a legend, or a table
    if len(matches) < 2 or astray > (LISTED if listed else MISREAD):
        return []
    known = [(match[1], float(match[2])) for match in matches.values() if match[1]]
    shares = [n for n, match in matches.items() if not match[1]]
    names = [n for n, it in enumerate(said) if n not in matches and not NUMBER.fullmatch(it)]
    found = []
    for share, name in _nearest([[words[n] for n in text] for text in texts], shares, names):
        found.append(Caption(f": {matches[share][2]}", texts[name][-1]))
        known.append((said[name], float(matches[share][2])))
    facts = [f"n = {len(matches)}"]
    if len(known) == len(matches):
        known.sort(key=lambda it: it[1])
        facts += [f"min: {known[0][0]}", f"max: {known[-1][0]}"]
    first = words[texts[min(matches)][0]]
    return found + [Caption(fact, row=first.row, right=first.right) for fact in facts]


def _nearest(texts: Sequence[Sequence[Text]], shares: Sequence[int], names: Sequence[int]) -> list[tuple[int, int]]:
    """Which name belongs to each share: the nearest pairs first."""
    if len(shares) < 2 or _legend([texts[name] for name in names], {texts[share][0].row for share in shares}):
        return []
    middles = np.array([(text[0].row, (text[0].right + text[-1].end) / 2) for text in texts])
    apart = sorted((float(np.hypot(*(middles[share] - middles[name]))), share, name) for share in shares for name in names)
    found: dict[int, tuple[int, float]] = {}
    for off, share, name in apart:
        if share not in found and all(name != other for other, _ in found.values()):
            found[share] = name, off
    usual = float(np.median([off for _, off in found.values()])) if found else 0.0
    return [(share, name) for share, (name, off) in found.items() if off <= FAR * usual]


def _legend(names: Sequence[Sequence[Text]], rows: set[int]) -> bool:
    """Whether most names stand in a column, or in a row without shares."""
    own = [name[0].row for name in names]
    most = max((own.count(row) for row in set(own) - rows), default=0)
    return max(_aligned([name[0] for name in names]), most) > max(len(names) / 2, 1)


def _aligned(words: Sequence[Text]) -> int:
    """How many of these begin below each other."""
    return max((sum(abs(word.right - other.right) < ALIGNED for other in words) for word in words), default=0)


def _text(found: Sequence[int], words: Sequence[Text]) -> str:
    return b"".join(words[n].letters for n in found).decode(errors="replace").strip()


def _series(legend: Sequence[tuple[Spot, str]], kinds: Sequence[int]) -> dict[int, str]:
    """Kind -> name of each series, in the legend's order; none where only one is shown, or names are not read apart."""
    if len(kinds) < 2 or not legend:
        return {}
    places = np.array([(spot.down, spot.right) for spot, _ in legend])
    order = places[:, int(np.ptp(places[:, 1]) > np.ptp(places[:, 0]))].argsort()
    found = {SERIES + n: legend[index][1] for n, index in enumerate(order) if legend[index][1]}
    return found if all(kind in found for kind in kinds) and len(set(found.values())) == len(found) else {}


def _ends(shown: Sequence[Spot], axis: Axis, series: Mapping[int, str], names: Mapping[Spot, str]) -> list[str]:
    """Which categories are the lowest and the highest, of each series with its name; none of several without names."""
    kinds = sorted({spot.kind for spot in shown})
    found = []
    for kind in kinds if series or len(kinds) == 1 else ():
        own = sorted((spot for spot in shown if spot.kind == kind), key=axis.value)
        ends = (("min", own[0]), ("max", own[-1])) if len(own) > 1 else ()
        found += [f"{series.get(kind, '')} {end}: {names[spot]}".lstrip() for end, spot in ends if names.get(spot)]
    return found


def _count(shown: Sequence[Spot], names: Sequence[Spot]) -> str:
    """How many categories there are: as many as have a name, or a mark of the same kind."""
    kinds = [spot.kind for spot in shown]
    most = max([len(names), *(kinds.count(kind) for kind in set(kinds))])
    return f"n = {most}" if most > 1 else ""


def _course(shown: Sequence[Spot], axis: Axis) -> str:
    """How the values of each series go on, from one to the next."""
    found = []
    for kind in sorted({spot.kind for spot in shown}):
        values = [axis.value(spot) for spot in shown if spot.kind == kind]
        rises = [(after - before) / axis.span for before, after in itertools.pairwise(values)]
        found.append(" ".join("-" if abs(rise) < LEVEL else "/" if rise > 0 else "\\" for rise in rises))
    return ", ".join(filter(None, found))


def _named(spots: Sequence[Spot], words: Sequence[Text]) -> dict[Spot, list[int]]:
    """Which words stand at ticks, names and legends.

    Letters are read somewhere in the tokens that see them, so where a word stands is known to a token only, and of neighbours
    in a row the words between their middles are parted where a text begins, or else where the gap is widest.
    """
    texts = [spot for spot in spots if spot.kind < SERIES]
    found: dict[Spot, list[int]] = {spot: [] for spot in texts}
    rows = [_row(spot, words) for spot in texts]
    for row in set(rows):
        own = sorted((spot for spot, where in zip(texts, rows, strict=True) if where == row), key=lambda spot: spot.right)
        here = [n for n, word in enumerate(words) if word.row == row]
        begin = 0
        for spot, following in zip(own, [*own[1:], None], strict=True):
            end = len(here) if following is None else _parting(spot.right, following.right, [words[n] for n in here])
            low, high = spot.right - spot.half - ASTRAY, spot.right + spot.half + ASTRAY
            found[spot] = [n for n in here[begin:end] if low <= words[n].right <= high]
            begin = end
    return found


def _row(spot: Spot, words: Sequence[Text]) -> int:
    """The row of tokens in which a text is read: that of its middle, or one next to it if there alone anything is read."""
    row, share = int(spot.down), spot.down % 1
    rows = [row, *([row - 1] if share < BETWEEN else [row + 1] if share > 1 - BETWEEN else [])]
    near = {word.row for word in words if abs(word.right - spot.right) <= spot.half + ASTRAY}
    return next((where for where in rows if where in near), row)


def _parting(left: float, right: float, words: Sequence[Text]) -> int:
    """How many of a row's words stand left of the widest gap between two places: before a text begins, if any does there."""
    begin, end = (sum(word.right <= place for word in words) for place in (left, right))
    starts, ends = [*(word.right for word in words), right], [left, *(word.end for word in words)]
    cuts = range(begin, end + 1)
    return max([n for n in cuts if n < len(words) and words[n].first] or cuts, key=lambda n: min(starts[n], right) - ends[n])


@dataclass(frozen=True)
class Axis:
    """A line that says what values lie where.

    Attributes:
        upright: Whether values run upwards, not to the right.
        slope, start: Of the line: value per token, and the value at 0.
        span: Between the lowest and the highest tick.
        known: Whether values are; else a token is one.
    """

    upright: bool
    slope: float
    start: float
    span: float
    known: bool = True

    def along(self, spot: Spot) -> float:
        """How far along the other axis, that of the categories."""
        return spot.right if self.upright else spot.down

    def value(self, spot: Spot) -> float:
        return self.slope * (spot.down if self.upright else spot.right) + self.start

    def said(self, spot: Spot) -> str:
        """Its value in digits, as many as can be told."""
        return _rounded(self.value(spot), abs(self.slope) * FINE)


def _axis(ticks: Sequence[tuple[Spot, str]]) -> Axis | None:
    """The line through two ticks that most ticks agree with (RANSAC; Fischler and Bolles 1981), fitted to these.

    Two are enough where there are no more, or where the line goes up in steps that people choose.
    """
    read = [(tick, number) for tick, said in ticks if (number := _number(said)) is not None]
    if len(read) < 2:
        return None
    everywhere = np.array([(tick.down, tick.right) for tick, _ in ticks])
    upright = bool(np.ptp(everywhere[:, 0]) >= np.ptp(everywhere[:, 1]))
    along = 0 if upright else 1
    apart = float(np.median(np.diff(np.sort(everywhere[:, along]))))
    at, values = (np.array(column) for column in zip(*((tick[1 + along], number) for tick, number in read), strict=True))
    best, most = np.zeros(len(read), bool), 0.0
    for i, j in itertools.combinations(range(len(read)), 2):
        if abs(at[i] - at[j]) < NEAR:
            continue
        slope = (values[j] - values[i]) / (at[j] - at[i])
        if (slope < 0) == upright and slope:
            agree = np.abs(values[i] + slope * (at - at[i]) - values) <= abs(slope) * OFF
            votes = agree.sum() + 0.5 * _usual(abs(slope) * apart, values[i])
            best, most = (agree, votes) if votes > most else (best, most)
    if most < min(len(read), 2.5):
        return None
    slope, start = np.polyfit(at[best], values[best], 1)
    return Axis(upright, float(slope), float(start), float(np.ptp(values[best])))


def _usual(step: float, value: float) -> bool:
    """Whether an axis is likely to have ticks so far apart, one of them at a value: 1, 2, 2.5 or 5 times a power of ten."""
    if step <= 0:  # ticks beside each other
        return False
    usual = min((1, 2, 2.5, 5, 10), key=lambda factor: abs(step / 10 ** math.floor(math.log10(step)) / factor - 1))
    step_there = usual * 10 ** math.floor(math.log10(step))
    return abs(step / step_there - 1) < USUAL and abs(value / step_there - round(value / step_there)) < USUAL


def _unknown(names: Sequence[Spot]) -> Axis:
    """An axis whose ticks are not read; it lies where names stand one below the other."""
    places = np.array([(spot.down, spot.right) for spot in names]).reshape(-1, 2)
    lying = len(names) > 1 and np.ptp(places[:, 0]) > np.ptp(places[:, 1])
    return Axis(False, 1.0, 0.0, PLOT, False) if lying else Axis(True, -1.0, 0.0, PLOT, False)


def _number(said: str) -> float | None:
    match = NUMBER.search(said)
    value = parse_number(match.group()) if match else None
    if value is not None and abs(value) > LARGEST:
        return None
    return value * 1000 if value is not None and said.endswith(("k", "K")) else value


def _rounded(value: float, step: float) -> str:
    """A value to the power of ten below `step`, without zeros at its end."""
    digits = max(-math.floor(math.log10(max(step, 1e-9))), -9)
    said = f"{round(value, digits) + 0.0:.{max(digits, 0)}f}"  # no "-0"
    return said.rstrip("0").rstrip(".") if "." in said else said
