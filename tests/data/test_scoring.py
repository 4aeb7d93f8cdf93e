"""Scores against values worked out by hand, and intervals against published ones."""

import math

import pytest

from omnie.data.example import Example
from omnie.data.scoring import (
    cer,
    contains,
    edit_distance,
    error_rate,
    exact,
    interval,
    number,
    quoted,
    score,
    spoken,
    wer,
)
from omnie.messages import text
from omnie.numerals import parse_number


def judge(scoring, answer, prediction):
    return score(Example("a.b", (text("?"),), answer, scoring), prediction)


@pytest.mark.parametrize(
    ("answer", "prediction", "expected"),
    [
        ("Berlin", "berlin.", 1),
        ("Berlin", "  Berlin \n", 1),
        ("12 March", "12  march!", 1),
        ("I cannot tell from this.", "I cannot tell from this", 1),
        ("Straße", "STRASSE", 1),
        ("Berlin", "Bern", 0),
        ("Berlin", "in Berlin", 0),
        ("3.5", "35", 0),
        ("Berlin", "", 0),
    ],
)
def test_exact(answer, prediction, expected):
    assert exact(answer, prediction) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("3,5", 3.5),
        ("3.5", 3.5),
        ("1,240", 1240),
        ("1.240", 1240),
        ("0.125", 0.125),
        ("1.240,5", 1240.5),
        ("1,240.5", 1240.5),
        ("12 000", 12000),
        ("1.234.567", 1234567),
        ("1234.567", 1234.567),
        ("\u22127", -7),
        ("7.", 7),
        ("x", None),
    ],
)
def test_parse_number(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    ("answer", "prediction", "expected"),
    [
        ("100", "105", 1),
        ("100", "105.1", 0),
        ("100", "95 %", 1),
        ("100", "94", 0),
        ("12,5", "12.5 euros", 1),
        ("about 40", "40", 1),
        ("-10", "10", 0),
        ("0", "0", 1),
        ("0", "0.1", 0),
        ("42", "no idea", 0),
        ("I cannot tell", "i cannot tell.", 1),
    ],
)
def test_number(answer, prediction, expected):
    assert number(answer, prediction) == expected


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("abc", "", 3), ("", "ab", 2), ("ab", "ba", 2)],
)
def test_edit_distance(a, b, distance):
    assert edit_distance(a, b) == edit_distance(b, a) == distance


def test_error_rates_are_of_the_corpus_not_the_mean_of_rates():
    assert error_rate([("aaaaaaaaaa", "aaaaaaaaaa"), ("b", "c")]) == pytest.approx(1 / 11)
    assert error_rate([("the cat sat", "the Cat, sat!"), ("on", "off on")], spoken) == pytest.approx(1 / 4)
    assert error_rate([("a", "bcd")]) == 3


def test_graded_scores_are_clipped():
    assert cer("abcd", "abcx") == 0.75
    assert cer("a", "xyz") == 0
    assert wer("drei mal vier", "Drei mal vier.") == 1
    assert wer("one two three four", "one two") == 0.5


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ('{"name": "Anna", "total": "12"}', 1),
        ('{"total": 12, "name": "anna"}', 1),
        ('{"name": "Anna"}', 0.5),
        ('{"name": "Anna", "total": "13"}', 0.5),
        ('{"name": "Anna", "total": "12", "more": "x", "and": "y"}', 0.5),
        ('["Anna"]', 0),
        ("name: Anna", 0),
        ("", 0),
        ("[" * 100_000, 0),
    ],
    ids=["same", "folded", "missing", "wrong", "surplus", "list", "text", "empty", "deep"],
)
def test_json(prediction, expected):
    assert judge("json", '{"name": "Anna", "total": "12"}', prediction) == expected


def test_contains_asks_for_whole_words_in_order():
    assert contains("red circle", "It is a Red circle.") == 1
    assert contains("red circle", "a circle, red") == 0
    assert contains("red", "It was bored") == 0


@pytest.mark.parametrize(
    ("answer", "prediction", "expected"),
    [("2.0", "2,5 s", 1), ("2.0", "at 1.5", 1), ("2.0", "2.6", 0), ("0.5", "0", 1), ("0.5", "soon", 0), ("2.0", "", 0)],
)
def test_times_count_within_half_a_second(answer, prediction, expected):
    assert judge("seconds", answer, prediction) == expected


@pytest.mark.parametrize("scoring", ["exact", "number", "seconds", "cer", "wer", "contains", "quoted", "cell", "named"])
def test_the_answer_itself_scores_one_and_nothing_scores_zero(scoring):
    assert judge(scoring, "12 apples", "12 apples") == 1
    assert judge(scoring, "12 apples", "") == 0


def test_wilson_interval_has_the_published_values():
    """Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    table = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    for hits, n, low, high in table:
        mean, got_low, got_high = interval([1.0] * hits + [0.0] * (n - hits))
        assert mean == pytest.approx(hits / n)
        assert (got_low, got_high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_bootstrap_interval_agrees_with_the_normal_one():
    scores = [0.2, 0.5, 0.9] * 100
    mean, low, high = interval(scores)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in scores) / len(scores) / len(scores))
    assert mean == pytest.approx(1.6 / 3)
    assert low == pytest.approx(mean - 1.96 * deviation, abs=0.005)
    assert high == pytest.approx(mean + 1.96 * deviation, abs=0.005)


def test_no_scores_say_nothing():
    mean, low, high = interval([])
    assert math.isnan(mean) and (low, high) == (0, 1)


@pytest.mark.parametrize(
    ("prediction", "right"),
    [
        ("NB-1", 1), ("Invoice number: NB-1", 1), ("invoice number: nb-1.", 1), ("XNB-1", 0), ("NB-1 of May", 0), ("NB-12", 0),
        ("one two three four five NB-1", 1), (" ".join(13 * ["word"]) + " NB-1", 0), ('The code is "NB-1', 1), ("", 0),
    ],
    ids=str,
)  # fmt: skip
def test_a_quotation_ends_with_the_answer(prediction, right):
    assert quoted("NB-1", prediction) == right


@pytest.mark.parametrize(
    ("answer", "prediction", "right"),
    [
        ("45", "45", 1), ("45", "Berlin | 2022: 12 | 2023 = 45", 1), ("45", "Berlin | 2022: 45 | 2023: 12", 0),
        ("45", "46 %", 1),
        ("1240.5", "Berlin | Umsatz 2023: 1.240,5 €", 1), ("45", "Berlin | 2023:", 0), ("45", "", 0), ("45", "Berlin | 45", 1),
        ("Bus", "Anna | Vehicle: bus.", 1), ("Bus", "bus", 1), ("Bus", "Anna | Vehicle: Bus | City: Rome", 0),
        ("Bus", "a bus", 0),
    ],
    ids=str,
)  # fmt: skip
def test_a_row_is_read_aloud_up_to_the_cell(answer, prediction, right):
    assert judge("cell", answer, prediction) == right


@pytest.mark.parametrize(
    ("prediction", "right"),
    [("March", 1), ("max: March", 1), ("Tea min: march.", 1), ("max: May", 0), ("March: max", 0), ("max March", 0), ("", 0)],
)
def test_a_name_may_stand_behind_what_says_which_one_it_is(prediction, right):
    assert judge("named", "March", prediction) == right


def test_a_name_of_digits_is_no_number():
    """Years lie within 5 % of each other."""
    assert judge("named", "1990", "max: 1990") == 1 and judge("named", "1990", "max: 1991") == 0
