"""Scores of an answer table that was worked out by hand."""

import numpy as np
import pytest

from omnie.data.example import Example
from omnie.data.scoring import wilson
from omnie.evaluation.summary import FEWEST, chance, confidence, hardest, judge, summary
from omnie.messages import text


def judged(scoring, *pairs, skill="a.b"):
    return [judge(Example(skill, (text("?"),), answer, scoring), given) for answer, given in pairs]


@pytest.mark.parametrize(
    ("scoring", "pairs", "score"),
    [
        ("exact", [("red", "Red."), ("blue", "red"), ("no", "no"), ("two", "")], 0.5),
        ("number", [("100", "104"), ("100", "106")], 0.5),
        ("seconds", [("2.0", "2.5"), ("2.0", "1.4"), ("0.5", "0.0"), ("1.5", "soon")], 0.5),
        ("json", [('{"a": 1, "b": 2}', '{"a": 1, "b": 3}'), ('{"a": 1}', '{"a": 1}')], 0.75),
        ("contains", [("red ball", "A red ball rolls."), ("beep", "nothing")], 0.5),
    ],
)
def test_mean_scores(scoring, pairs, score):
    row = summary(judged(scoring, *pairs))
    assert (row["score"], row["n"]) == (score, len(pairs))
    assert 0 <= row["low"] < score < row["high"] <= 1 and set(row) - {"valid"} == {"score", "n", "low", "high"}
    assert row.get("valid") == (1.0 if scoring == "json" else None)


def test_right_and_wrong_have_wilsons_interval():
    row = summary(judged("exact", *[("a", "a")] * 7, *[("a", "b")] * 3))
    assert (row["low"], row["high"]) == tuple(round(end, 4) for end in wilson(7, 10)[1:]) == (0.3968, 0.8922)


def test_characters_are_counted_over_the_corpus_not_averaged():
    row = summary(judged("cer", ("abcdefgh", "abcdefgh"), ("ab", "xb")))
    assert row["cer"] == 0.1 and row["score"] == 0.9  # 1 edit in 10 characters; the mean of rates would be 0.25
    assert (row["low"], row["high"]) == (0.5, 1.0)  # a resample holds only the second line, or only the first


def test_words_and_the_groups_other_cases():
    heard = judged("wer", ("one two three four", "One, two three five"), ("six seven", "six seven eight"))
    row = summary(heard + judged("exact", ("12", "12"), ("yes", "no"), ("de", "en")))
    assert row["wer"] == round(2 / 6, 4) and row["score"] == round(1 - 2 / 6, 4) and row["n"] == 2
    assert row["exact"]["score"] == 0.3333 and row["exact"]["n"] == 3


def test_more_edits_than_characters_score_zero_but_show():
    row = summary(judged("cer", ("ab", "xxxxxx"), ("abcd", "abcx")))
    assert row["score"] == 0 and row["cer"] == round(7 / 6, 4) and row["low"] == 0


@pytest.mark.parametrize("scoring", ["cer", "json"])
def test_a_lone_graded_case_says_nothing_about_others(scoring):
    row = summary(judged(scoring, ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}')))
    assert 0 < row["score"] < 1 and (row["low"], row["high"]) == (0, 1)


@pytest.mark.parametrize(("given", "score"), [("ab", 1.0), ("", 0.0)], ids=["all right", "all wrong"])
def test_a_few_equal_cases_are_no_certainty(given, score):
    row = summary(judged("cer", *[("ab", given)] * 5))
    assert row["score"] == score and row["high"] - row["low"] > 0.4


def test_chance_is_what_the_best_single_answer_scores_in_each_skill():
    """Whatever the predictions are; a number that is near enough fits several cases; a text that is read aloud fits none."""
    trends = judged("exact", ("up", "no"), ("up", "no"), ("down", "down"), ("level", "level"), skill="a.trend")
    values = judged("number", ("100", ""), ("104", ""), ("96", ""), ("50", ""), skill="a.value")
    texts = judged("cer", ("abc", "abc"), ("abc", "abc"), skill="a.text")
    assert chance(trends) == 0.5 and chance(values) == 0.75
    assert chance([*trends, *values, *texts]) == 0.5


def test_hardest_are_the_families_that_do_worse_than_the_skill():
    """Font A is never read, B and C always; D is too rare to tell, and what all cases share says nothing."""
    fonts = [*"A" * 8, *"B" * 20, *"C" * 20, *"D" * (FEWEST - 1)]
    wordings = ["one+two" if n % 2 else "two" for n in range(len(fonts))]
    cases = [
        judge(Example("a.b", (text("?"),), "x", families={"font": font, "wording": wording}), "y" if font in "AD" else "x")
        for font, wording in zip(fonts, wordings, strict=True)
    ]
    found = hardest(cases)
    assert [(row["kind"], row["name"], row["n"], row["score"]) for row in found] == [("font", "A", 8, 0.0)]
    assert found[0]["high"] < np.mean([case.score for case in cases])
    assert hardest([case for case in cases if case.score]) == []


def sure(*given: tuple[str, float | None]):
    return [judge(Example("a.b", (text("?"),), "yes", "exact"), said, probability) for said, probability in given]


def test_confidence_tells_right_from_wrong_answers():
    cases = sure(("yes", 0.9), ("no", 0.5), ("yes", 0.8), ("no", 0.85), ("yes", 0.5))
    # of 3 x 2 pairs the right answer is surer in 3, as sure in 1; the four surest are yes, no, yes, and the first of 0.5
    assert confidence(cases) == {"confidence": {"auroc": round(3.5 / 6, 4), "surest": 0.5}}


@pytest.mark.parametrize(
    "given", [[("yes", 0.9)], [("no", 0.9)], [("yes", None), ("no", 0.3)]], ids=["right", "wrong", "not known"]
)
def test_confidence_needs_right_and_wrong_answers(given):
    assert confidence(sure(*given)) == {}
