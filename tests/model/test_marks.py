"""Marks of charts: cells that mean the same place are one mark, ticks give them values, names take these."""

import numpy as np
import pytest
import torch

from omnie.inputs import NAME, SERIES, TICK
from omnie.model.reading.marks import Caption, Marks, Spot, Text, _rounded, _spots, captions
from omnie.model.reading.spelling import Speller
from omnie.model.reading.spelling import table as spelling
from omnie.model.reading.words import Reading

TICKS = [Spot(TICK, 1.5, 0.5, 0.4), Spot(TICK, 3.5, 0.5, 0.4), Spot(TICK, 5.5, 0.5, 0.4)]
NUMBERS = [Text(1, 0.1, b"100"), Text(3, 0.2, b"50"), Text(5, 0.3, b"0")]
NAMES = [Spot(NAME, 6.5, 2.0, 0.5), Spot(NAME, 6.5, 4.0, 0.8)]
JAN, FEB = Text(6, 1.6, b"Jan"), [Text(6, 3.3, b"Feb"), Text(6, 3.8, b"ruar")]


def said(spots: list[Spot], words: list[Text]) -> list[tuple[str, int | None]]:
    return [(caption.letters.decode(), caption.after) for caption in captions(spots, words)]


def test_values_stand_behind_the_names_of_their_categories():
    bars = [Spot(SERIES, 4.5, 2.0, 0.0), Spot(SERIES, 2.5, 4.0, 0.0)]
    assert said([*TICKS, *NAMES, *bars], [*NUMBERS, JAN, *FEB]) == [(": 25", 3), (": 75", 5)]


def test_series_come_in_their_order():
    bars = [Spot(SERIES + 1, 1.5, 2.2, 0.0), Spot(SERIES, 4.5, 1.8, 0.0)]
    assert said([*TICKS, NAMES[0], *bars], [*NUMBERS, JAN]) == [(": 25, 100", 3)]


def test_bars_may_lie():
    """The axis runs to the right then, and names stand one below the other."""
    ticks = [Spot(TICK, 6.5, at, 0.3) for at in (1.0, 3.0, 5.0)]
    numbers = [Text(6, at - 0.3, text) for at, text in ((1.0, b"0"), (3.0, b"1"), (5.0, b"2"))]
    names, words = [Spot(NAME, row + 0.5, 0.5, 0.4) for row in (1, 3)], [Text(1, 0.1, b"A"), Text(3, 0.1, b"B")]
    bars = [Spot(SERIES, 1.5, 2.0, 0.0), Spot(SERIES, 3.5, 4.0, 0.0)]
    assert said([*ticks, *names, *bars], [*words, *numbers]) == [(": 0.5", 0), (": 1.5", 1)]


def test_a_tick_that_is_misread_is_outvoted():
    ticks = [*TICKS, Spot(TICK, 4.5, 0.5, 0.4)]
    bar = Spot(SERIES, 2.5, 2.0, 0.0)
    assert said([*ticks, NAMES[0], bar], [*NUMBERS[:2], Text(4, 0.2, b"26"), Text(5, 0.3, b"9"), JAN]) == [(": 75", 4)]
    assert said([*TICKS, NAMES[0], bar], [*NUMBERS[:2], Text(5, 0.3, b"30"), JAN]) == []  # two of three do not decide


@pytest.mark.parametrize(("texts", "value"), [("1.000 € 500 € 0 €", "750"), ("1.0k 500 0", "750"), ("1,5 1,0 0,5", "1.25")])
def test_numbers_as_axes_have_them(texts: str, value: str):
    marks = texts.replace(" €", "€").split()
    words = [Text(row, 0.2, text.encode()) for row, text in zip((1, 3, 5), marks, strict=True)]
    assert said([*TICKS, NAMES[0], Spot(SERIES, 2.5, 2.0, 0.0)], [*words, JAN])[0][0] == f": {value}"


def test_values_are_as_fine_as_pixels():
    assert [_rounded(value, 0.13) for value in (12.3456, 12.04, -0.04)] == ["12.3", "12", "0"]
    assert [_rounded(value, 13.0) for value in (1234.5, -96.0)] == ["1230", "-100"]


def test_marks_without_a_name_stand_alone():
    """Names may be slanted, and scatter plots have none."""
    points = [Spot(SERIES, 4.5, 5.0, 0.0), Spot(SERIES, 2.5, 2.0, 0.0)]
    found = captions([*TICKS, *points], NUMBERS)
    assert found == [Caption(b"75", None, 4, 2.0), Caption(b"25", None, 4, 5.0)]


def test_without_an_axis_nothing_is_said():
    assert captions([NAMES[0], Spot(SERIES, 2.5, 2.0, 0.0)], [JAN]) == []
    assert captions(TICKS, []) == []


def made(kinds: list[int]) -> Marks:
    """Of which each channel says that the first cell of a token has a mark of that kind, in the middle of the token."""
    marks = Marks(len(kinds), 2)
    with torch.no_grad():
        marks.cell_head.weight.zero_()
        marks.cell_head.bias.zero_()
        marks.kind_head.weight.zero_()
        marks.spot_head.weight.zero_()
        for channel, kind in enumerate(kinds):
            marks.cell_head.weight[channel, channel] = 9.0
            marks.kind_head.weight[kind, channel] = 1.0
        marks.kind_head.bias.zero_()
        marks.kind_head.bias[-1] = 2.0
        marks.spot_head.bias.copy_(torch.tensor([0.5, 0.5, 0.4]))
    return marks


def test_marks_are_found_where_cells_say():
    tokens = torch.tensor([[0.0, -1], [1, 0], [-1, 0], [0, 1]])
    (frame,) = made([TICK, SERIES]).read(tokens, [(1, 2, 2)])
    assert [(spot.kind, round(spot.down, 3), round(spot.right, 3), round(spot.half, 3)) for spot in frame] == [
        (TICK, 0.5, 1.5, 0.4),
        (SERIES, 1.5, 1.5, 0.4),
    ]


def test_cells_that_mean_the_same_place_are_one_mark():
    shares = np.tile(np.float32([0, 0, 0, 1]), (2, 4, 1))
    shares[0, 1] = shares[1, 0] = [0, 0, 0.4, 0.6]
    places = np.zeros((2, 4, 3), np.float32)
    places[0, 1, 1], places[1, 0, 1] = 0.5, -0.5  # both mean the border between the two tokens
    assert [(spot.kind, spot.down, spot.right) for spot in _spots(shares, places, 2)] == [(SERIES, 0.25, 1.0)]
    places[1, 0, 1] = 0.5
    assert list(_spots(shares, places, 2)) == []  # neither is sure enough alone


def test_a_reading_says_them():
    """In the words that the decoder gets, in the tokens of the names."""
    vocabulary = [b"", *(bytes([n]) for n in range(32, 127)), b"\n", b" |"]
    speller = Speller.of(spelling(vocabulary, 1))
    reading = Reading(4, 2, flat=True, marks=1)
    letters = {1 * 8: "9", 3 * 8: "5", 5 * 8: "1", 6 * 8 + 4: "a", 6 * 8 + 6: "b"}  # four tokens a row, two steps a token
    found = np.array([[vocabulary.index(text.encode()), step, 1] for step, text in letters.items()])
    ticks = [Spot(TICK, row + 0.5, 0.5, 0.4) for row in (1, 3, 5)]
    names = [Spot(NAME, 6.5, right, 0.4) for right in (2.3, 3.3)]
    bars = [Spot(SERIES, 1.5, 2.3, 0.0), Spot(SERIES, 2.5, 3.3, 0.0)]
    more = reading._captioned(found, [[*ticks, *names, *bars]], [(1, 7, 4)], speller)
    assert b"".join(vocabulary[word] for word in more[:, 0]).decode() == "951a: 9b: 7"
    assert (np.diff(more[:, 1]) >= 0).all() and more[:, 2].sum() == 5
