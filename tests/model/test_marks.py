"""Marks of charts: cells that mean the same place are one mark, ticks give them values, names take these."""

import numpy as np
import pytest
import torch

from omnie.inputs import LEGEND, NAME, SERIES, TICK
from omnie.model.reading.marks import Caption, Marks, Spot, Text, _rounded, _spots, captions
from omnie.model.reading.spelling import Speller
from omnie.model.reading.spelling import table as spelling
from omnie.model.reading.words import Reading, Told


def word(row: int, right: float, letters: bytes) -> Text:
    """Of letters of a fifth of a token."""
    return Text(row, right, right + len(letters) / 5, letters)


TICKS = [Spot(TICK, 1.5, 0.5, 0.4), Spot(TICK, 3.5, 0.5, 0.4), Spot(TICK, 5.5, 0.5, 0.4)]
NUMBERS = [word(1, 0.1, b"100"), word(3, 0.2, b"50"), word(5, 0.3, b"0")]
NAMES = [Spot(NAME, 6.5, 2.0, 0.5), Spot(NAME, 6.5, 4.0, 0.8)]
JAN, FEB = word(6, 1.6, b"Jan"), [word(6, 3.3, b"Feb"), word(6, 3.8, b"ruar")]


def bar(series: int, down: float, right: float) -> Spot:
    return Spot(SERIES + series, down, right, 0.0)


def said(spots: list[Spot], words: list[Text]) -> list[str]:
    """What stands behind the words of names, these as numbers; and what stands alone."""
    return [own.said if own.word is None else f"[{own.word}]{own.said}" for own in captions(spots, words)]


def test_values_stand_behind_the_names_of_their_categories():
    """By themselves how they go on, how many there are, and which is the lowest and the highest."""
    bars = [bar(0, 4.5, 2.0), bar(0, 2.5, 4.0)]
    found = said([*TICKS, *NAMES, *bars], [*NUMBERS, JAN, *FEB])
    assert found == ["[3]: 25", "[5]: 75", "/", "n = 2", "min: Jan", "max: Februar"]


def test_the_course_is_told_from_mark_to_mark():
    bars = [bar(0, down, right) for right, down in enumerate((4.5, 2.5, 2.6, 4.5))]
    assert said([*TICKS, *bars], NUMBERS)[-2:] == ["/ - \\", "n = 4"]
    both = [*bars, *(bar(1, down, right + 0.2) for right, down in enumerate((1.5, 3.5, 1.5, 1.5)))]
    assert said([*TICKS, *both], NUMBERS)[-2:] == ["/ - \\, \\ / -", "n = 4"]


def test_series_come_in_their_order():
    """By number where the legend is not read."""
    bars = [bar(1, 1.5, 2.2), bar(0, 4.5, 1.8)]
    assert said([*TICKS, NAMES[0], *bars], [*NUMBERS, JAN]) == ["[3]: 25, 100"]


def test_bars_side_by_side_are_series_though_they_look_alike():
    bars = [bar(0, 1.5, 2.2), bar(0, 4.5, 1.8), bar(0, 3.5, 3.8), bar(0, 5.5, 4.2)]
    assert said([*TICKS, *NAMES, *bars], [*NUMBERS, JAN, *FEB]) == [
        *("[3]: 25, 100", "[5]: 50, 0"),
        *("/, \\", "n = 2"),
    ]
    points = [bar(0, 1.5, 2.0), bar(0, 4.5, 2.05)]  # one above the other they are not
    assert said([*TICKS, *NAMES, *points], [*NUMBERS, JAN, *FEB])[0] == "[3]: 100, 25"


def test_series_are_named_by_the_legend():
    legend = [Spot(LEGEND, 0.5, 4.0, 0.4), Spot(LEGEND, 0.5, 2.0, 0.4)]
    words = [word(0, 1.7, b"A"), word(0, 3.7, b" B"), *NUMBERS, JAN, *FEB]
    bars = [bar(0, 4.5, 1.8), bar(1, 1.5, 2.2), bar(0, 2.5, 3.8), bar(1, 2.5, 4.2)]
    assert said([*TICKS, *NAMES, *bars, *legend], words) == [
        *("[5] | A: 25 | B: 100", "[7] | A: 75 | B: 75"),
        *("/, \\", "n = 2", "A min: Jan", "A max: Februar", "B min: Februar", "B max: Jan"),
    ]
    words[1] = word(0, 3.7, b"A")  # names that cannot be told apart say nothing
    assert said([*TICKS, *NAMES, *bars, *legend], words) == ["[5]: 25, 100", "[7]: 75, 75", "/, \\", "n = 2"]


def test_bars_may_lie():
    """The axis runs to the right then, and names stand one below the other."""
    ticks = [Spot(TICK, 6.5, at, 0.3) for at in (1.0, 3.0, 5.0)]
    numbers = [word(6, at - 0.3, text) for at, text in ((1.0, b"0"), (3.0, b"1"), (5.0, b"2"))]
    names, words = [Spot(NAME, row + 0.5, 0.5, 0.4) for row in (1, 3)], [word(1, 0.1, b"A"), word(3, 0.1, b"B")]
    found = said([*ticks, *names, bar(0, 1.5, 2.0), bar(0, 3.5, 4.0)], [*words, *numbers])
    assert found == ["[0]: 0.5", "[1]: 1.5", "n = 2", "min: A", "max: B"]


def test_a_tick_that_is_misread_is_outvoted():
    ticks = [*TICKS, Spot(TICK, 4.5, 0.5, 0.4)]
    shown = [NAMES[0], bar(0, 2.5, 2.0)]
    assert said([*ticks, *shown], [*NUMBERS[:2], word(4, 0.2, b"26"), word(5, 0.3, b"9"), JAN]) == ["[4]: 75"]
    assert said([*TICKS, *shown], [*NUMBERS[:2], word(5, 0.3, b"30"), JAN]) == ["[3]: 75"]


def test_two_of_three_ticks_decide_only_on_a_usual_axis():
    """Steps of 50 are usual, of 37 they are not."""
    shown = [*TICKS, NAMES[0], bar(0, 2.5, 2.0)]
    assert said(shown, [*NUMBERS[:2], word(5, 0.3, b"30"), JAN]) == ["[3]: 75"]
    assert said(shown, [word(1, 0.1, b"87"), *NUMBERS[1:2], word(5, 0.3, b"30"), JAN]) == []


@pytest.mark.parametrize(("texts", "value"), [("1.000€ 500€ 0€", "750"), ("1.0k 500 0", "750"), ("1,5 1,0 0,5", "1.25")])
def test_numbers_as_axes_have_them(texts: str, value: str):
    words = [word(row, 0.2, text.encode()) for row, text in zip((1, 3, 5), texts.split(), strict=True)]
    assert said([*TICKS, NAMES[0], bar(0, 2.5, 2.0)], [*words, JAN]) == [f"[3]: {value}"]


def test_values_are_as_fine_as_pixels():
    assert [_rounded(value, 0.13) for value in (12.3456, 12.04, -0.04)] == ["12.3", "12", "0"]
    assert [_rounded(value, 13.0) for value in (1234.5, -96.0)] == ["1230", "-100"]


def test_nonsense_beside_an_axis_is_no_axis():
    """Digits read over and over, and ticks side by side: nothing is said, and nothing breaks."""
    shown = [NAMES[0], bar(0, 2.5, 2.0)]
    assert said([*TICKS, *shown], [word(row, 0.1, b"9" * 400) for row in (1, 3, 5)] + [JAN]) == []
    level = [Spot(TICK, 1.5, right, 0.1) for right in (0.5, 0.5, 0.5, 2.5)]
    assert said([*level, *shown], [word(1, 0.4, b"3"), word(1, 2.4, b"9"), JAN]) == []


def test_marks_without_a_name_stand_alone():
    """Names may be slanted, and scatter plots have none."""
    found = captions([*TICKS, bar(0, 4.5, 5.0), bar(0, 2.5, 2.0)], NUMBERS)
    alone = [Caption("75", row=4, right=2.0), Caption("25", row=4, right=5.0)]
    assert found == [*alone, Caption("\\", row=2, right=2.0), Caption("n = 2", row=3, right=2.0)]


def test_without_an_axis_no_values_are_said():
    """But which is higher, and how they go on."""
    assert said([*NAMES, bar(0, 4.5, 2.0), bar(0, 2.5, 4.0)], [JAN, *FEB]) == ["/", "n = 2", "min: Jan", "max: Februar"]
    assert captions([NAMES[0], bar(0, 2.5, 2.0)], [JAN]) == []
    assert captions(TICKS, []) == [] and captions(TICKS, NUMBERS) == [] and captions([], []) == []


def test_neighbours_in_a_row_are_parted_at_the_widest_gap():
    """Where a word begins is known to a token only: the S of the second name is read a little early."""
    names = [Spot(NAME, 6.5, 2.0, 0.6), Spot(NAME, 6.5, 4.0, 0.6)]
    words = [word(6, 1.4, b"Tele"), word(6, 2.2, b"x"), word(6, 3.0, b"S"), word(6, 3.2, b"egeln")]
    bars = [bar(0, 4.5, 2.0), bar(0, 2.5, 4.0)]
    assert said([*TICKS, *names, *bars], [*NUMBERS, *words])[-2:] == ["min: Telex", "max: Segeln"]


def test_where_a_text_is_known_to_begin_neighbours_are_parted():
    """Though the gap is wider elsewhere."""
    names = [Spot(NAME, 6.5, 2.0, 0.6), Spot(NAME, 6.5, 4.0, 0.6)]
    words = [word(6, 1.4, b"Telex"), word(6, 2.5, b"H")._replace(first=True), word(6, 3.2, b"andball")]
    bars = [bar(0, 4.5, 2.0), bar(0, 2.5, 4.0)]
    assert said([*TICKS, *names, *bars], [*NUMBERS, *words])[-2:] == ["min: Telex", "max: Handball"]
    words[1] = words[1]._replace(first=False)
    assert said([*TICKS, *names, *bars], [*NUMBERS, *words])[-2:] == ["min: TelexH", "max: andball"]


def test_a_text_at_the_edge_of_a_row_may_be_read_in_the_next():
    ticks = [Spot(TICK, down, 0.5, 0.4) for down in (2.05, 4.05, 6.05)]
    assert said([*ticks, bar(0, 3.05, 2.0)], NUMBERS) == ["75"]


def text(row: int, right: float, letters: bytes) -> Text:
    return word(row, right, letters)._replace(first=True)


PIE = [text(1, 1.0, b"Tea"), text(2, 3.0, b"60 %"), text(2, 6.0, b"40%"), text(3, 8.0, b"Milk")]


def test_shares_of_a_pie_stand_behind_the_names_nearest_to_them():
    """A title is too far away; what does not make about a hundred is no pie."""
    assert said([], PIE) == ["[0]: 60", "[3]: 40", "n = 2", "min: Milk", "max: Tea"]
    titled = [text(0, 20.0, b"Drinks"), *PIE]
    assert said([], titled) == ["[1]: 60", "[4]: 40", "n = 2", "min: Milk", "max: Tea"]
    assert said([], [*PIE[:2], text(2, 6.0, b"4%"), PIE[3]]) == [] and said([], [PIE[0]]) == said([], []) == []


def test_names_in_a_legend_get_no_shares():
    """Unless these stand there too."""
    column = [text(row, 9.0, name) for row, name in ((1, b"Tea"), (2, b"Milk"), (3, b"Water"))]
    shares = [text(1, 3.0, b"50%"), text(2, 5.0, b"30%"), text(4, 4.0, b"20%")]
    assert said([], [*column, *shares]) == ["n = 3"]
    listed = [text(row, 9.0, name) for row, name in ((1, b"Tea 50 %"), (2, b"Milk 30 %"), (3, b"Water 20 %"))]
    assert said([], listed) == ["n = 3", "min: Water", "max: Tea"]


def test_a_column_of_a_table_is_no_pie():
    """Shares below each other have to make a hundred more exactly."""
    names = [text(row, 1.0, name) for row, name in ((1, b"Tea"), (2, b"Milk"))]
    assert said([], [*names, text(1, 5.0, b"50 %"), text(2, 5.0, b"30 %")]) == []


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
    shares = np.tile(np.float32([0, 0, 0, 0, 1]), (2, 4, 1))
    shares[0, 1] = shares[1, 0] = [0, 0, 0, 0.4, 0.6]
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
    found = np.array([[vocabulary.index(text.encode()), step, 1, step] for step, text in letters.items()])
    ticks = [Spot(TICK, row + 0.5, 0.5, 0.4) for row in (1, 3, 5)]
    names = [Spot(NAME, 6.5, right, 0.4) for right in (2.3, 3.3)]
    bars = [bar(0, 1.5, 2.3), bar(0, 2.5, 3.3)]
    more = reading._captioned(found, [[*ticks, *names, *bars]], [(1, 7, 4)], speller)
    assert b"".join(vocabulary[word] for word in more[:, 0]).decode() == "9\\n = 2min: bmax: a51a: 9b: 7"
    assert (np.diff(more[:, 1]) >= 0).all()
    assert [vocabulary[word] for word in more[more[:, 2] > 0, 0]] == [b"9", b"\\", b"n", b"m", b"m", b"5", b"1", b"a", b"b"]


def test_told_marks_are_read_in_place_of_found_ones():
    vocabulary = [b"", *(bytes([n]) for n in range(32, 127)), b"\n", b" |"]
    speller = Speller.of(spelling(vocabulary, 1))
    reading = Reading(4, 2, flat=True, marks=1).eval()
    at, words = torch.tensor([2, 10, 18]), torch.tensor([vocabulary.index(text) for text in (b"9", b"5", b"1")])
    spots = [Spot(TICK, row + 0.5, 0.9, 0.4) for row in (0, 1, 2)] + [bar(0, 1.0, 3.0)]
    told = Told(torch.ones(24, dtype=torch.bool), at, words, torch.ones(3, dtype=torch.bool), (spots,))
    with torch.no_grad():
        seen = reading.seen(torch.randn(12, 4), [(1, 3, 4)], speller, told, True)
    assert b"".join(vocabulary[word] for word in seen.words.words).decode() == "9\n5 |7\n1"
