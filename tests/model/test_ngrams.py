"""What is usually written: probabilities that follow counts, never nothing, and a table that survives being weights."""

import numpy as np
import pytest
import torch

from omnie.model.reading.ngrams import LETTERS, ORDER, START, LetterModel, table

TEXTS = [b"the house", b"the mouse", b"the house", b"a horse", "größer".encode()]


def model(texts=TEXTS, most: int = 200) -> LetterModel:
    found = LetterModel.of(table(texts, most))
    assert found is not None
    return found


@pytest.mark.parametrize("context", [START, b" hou", b"zzzz", b"zhou", "grö".encode()])
def test_probabilities_of_every_context_sum_to_one_and_none_is_zero(context) -> None:
    logs = np.array(model().behind(context))
    assert logs.shape == (LETTERS,) and np.isfinite(logs).all()
    assert np.exp(logs).sum() == pytest.approx(1)


def test_what_followed_more_often_is_likelier() -> None:
    after = model().behind
    assert after(START).index(max(after(START))) == ord("t")
    assert after(b" hou")[ord("s")] > np.log(0.5) > after(b" hou")[ord("r")]
    assert after(b"e ho")[ord("u")] > after(b"a ho")[ord("u")]  # a context counts
    assert after(b"\n\nho")[ord("u")] > after(b"\n\nho")[ord("x")]  # one that never came, by its end


def test_shares_are_those_of_witten_and_bell() -> None:
    found = model([b"ab", b"ab", b"ac"])
    unigram = {letter: (count + 3 / LETTERS) / (6 + 3) for letter, count in ((b"a", 3), (b"b", 2), (b"c", 1))}
    behind_a = {letter: (count + 2 * unigram[letter]) / (3 + 2) for letter, count in ((b"b", 2), (b"c", 1))}
    assert np.exp(found.behind(b"xxxa")[ord("b")]) == pytest.approx(behind_a[b"b"], rel=0.02)  # counts are kept to 3 %
    assert np.exp(found.behind(b"xxxa")[ord("c")]) == pytest.approx(behind_a[b"c"], rel=0.02)


def test_a_table_is_the_same_in_every_floating_point_type() -> None:
    rows = table(TEXTS, 60)
    assert rows.shape == (60, ORDER + 1) and rows.dtype == torch.float32
    kinds = [LetterModel.of(rows.to(kind)) for kind in (torch.float32, torch.float16, torch.bfloat16)]
    assert kinds[0] is kinds[1] is kinds[2]


def test_of_too_many_the_most_frequent_are_kept() -> None:
    rows = table([b"aaaa", *[b"bbbb"] * 9], 4)
    assert {bytes(row[:ORDER].to(torch.uint8).tolist())[-1:] for row in rows} == {b"b"}
    assert LetterModel.of(table([b"x"] * 100_000, 1)).behind(START)[ord("x")] > -0.001


def test_an_empty_table_is_no_model() -> None:
    assert LetterModel.of(table([], 8)) is None and LetterModel.of(torch.zeros(0, ORDER + 1)) is None
