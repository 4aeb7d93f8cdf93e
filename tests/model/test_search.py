"""The likeliest text: that of all paths together, with what is usually written, and the steps at which its letters stand."""

import itertools
import math

import numpy as np
import pytest
import torch

from omnie.model.reading import search
from omnie.model.reading.ngrams import LETTERS, ORDER, START, LetterModel, table
from omnie.model.reading.search import Transcript, Weights, likeliest, transcribe

GAP = 4
USUAL = LetterModel.of(table([b"the house", b"the mouse", b"a horse"] * 20, 100))
WEIGHTS = Weights(0.5, 0.5)


def scores(*steps: dict[str, float]) -> torch.Tensor:
    """Log-probabilities [S, LETTERS + 1]; `_` is the blank, and what is left over is shared by all."""
    found = torch.full((len(steps), LETTERS + 1), 1e-9)
    for row, known in zip(found, steps, strict=True):
        for letter, share in known.items():
            row[LETTERS if letter == "_" else ord(letter)] = share
    return (found / found.sum(-1, keepdim=True)).log()


def sure(text: str) -> list[dict[str, float]]:
    """One step a letter, each without doubt."""
    return [{letter: 1.0} for letter in text]


def spell(found: torch.Tensor, model: LetterModel | None = USUAL, lines=None, quiet=None, apart: bool = True) -> Transcript:
    line_S = np.zeros(len(found), np.int64) if lines is None else np.array(lines)
    return transcribe([found], line_S, quiet, GAP, model, WEIGHTS, apart)


def test_a_doubted_letter_is_the_usual_one_and_a_sure_one_stays() -> None:
    doubted = scores(*sure("the "), {"m": 0.5, "n": 0.5}, *sure("ouse"))
    assert spell(doubted).letters == b"the mouse"
    assert spell(scores(*sure("the "), {"m": 0.3, "n": 0.7}, *sure("ouse"))).letters == b"the mouse"
    assert spell(scores(*sure("the nouse"))).letters == b"the nouse"
    assert spell(scores(*sure("the "), {"m": 0.3, "n": 0.7}, *sure("ouse")), None).letters == b"the nouse"


def test_letters_stand_at_the_steps_at_which_they_are_read() -> None:
    found = spell(scores(*sure("_t_h_ee"), {"_": 0.6, " ": 0.4}, {" ": 0.6, "_": 0.4}, *sure("m_")))
    assert found.letters == b"the m" and found.steps.tolist()[:3] == [1, 3, 5] and found.steps.tolist()[-1] == 9
    assert found.steps.tolist()[3] in (7, 8)


def exhaustive(found: torch.Tensor, letters: str, weights: Weights) -> bytes:
    """The likeliest text by adding up every path."""
    logs, shares = found.tolist(), {}
    for path in itertools.product([*map(ord, letters), LETTERS], repeat=len(logs)):
        text = bytes(c for at, c in enumerate(path) if c != LETTERS and (at == 0 or path[at - 1] != c))
        shares[text] = shares.get(text, 0.0) + math.exp(sum(logs[at][c] for at, c in enumerate(path)))

    def usual(text: bytes) -> float:
        padded = START + text
        behind = (USUAL.behind(padded[at : at + ORDER - 1])[letter] for at, letter in enumerate(text))
        return sum(weights.model * one + weights.letter for one in behind)

    return max(shares, key=lambda text: math.log(shares[text]) + usual(text) if shares[text] else -math.inf)


@pytest.mark.parametrize("seed", range(12))
def test_the_text_is_the_one_that_all_paths_together_make_likeliest(seed, monkeypatch) -> None:
    monkeypatch.setattr(search, "WIDTH", 1000)
    monkeypatch.setattr(search, "BEHIND", 1000.0)
    monkeypatch.setattr(search, "LEAST", -1000.0)
    rng = np.random.default_rng(seed)
    found = scores(*({letter: float(share) for letter, share in zip("thm_", rng.dirichlet(np.ones(4)))} for _ in range(6)))
    weights = Weights(float(rng.uniform(0, 1)), float(rng.uniform(0, 2)))
    assert likeliest(found.numpy(), np.arange(6), USUAL, weights, START)[0] == exhaustive(found, "thm", weights)


def test_equal_letters_need_a_blank_between_them_also_one_that_is_left_out() -> None:
    steps = scores({"o": 0.9, "_": 0.1}, {"o": 0.9, "_": 0.1}).numpy()
    assert likeliest(steps, np.array([3, 4]), USUAL, Weights(0, 0), START)[0] == b"o"
    assert likeliest(steps, np.array([3, 5]), USUAL, Weights(0, 0), START) == (b"oo", [3, 5])


def test_a_text_ends_with_its_line_and_another_begins_behind_a_gap() -> None:
    usual = LetterModel.of(table([b"xab"] * 20 + [b"c"] * 20 + [b"xa c"] * 5, 100))
    doubt = {"b": 0.5, "c": 0.5}
    assert spell(scores(*sure("xa"), doubt), usual).letters == b"xab"
    assert spell(scores(*sure("xa"), doubt), usual, lines=[0, 0, 1]).letters == b"xac"
    assert spell(scores(*sure("xa"), *sure("_" * GAP), doubt), usual).letters == b"xac"
    assert spell(scores(*sure("xa"), *sure("_" * GAP), doubt), usual, apart=False).letters == b"xab"
    blank = {" ": 0.6, "_": 0.4}  # none ever begins a text
    assert spell(scores(*sure("xa"), *sure("_" * GAP), blank, *sure("c")), usual).letters == b"xa c"


def test_behind_a_tab_another_text_begins() -> None:
    usual = LetterModel.of(table([b"xa\t", b"c\t"] * 20, 100))
    parted = {"\t": 0.4, "_": 0.6}
    assert spell(scores(*sure("xa"), parted, *sure("c")), usual).letters == b"xa\tc"  # no "c" ever came behind "xa"
    assert spell(scores({"\t": 0.9, "_": 0.1}, *sure("c")), usual).letters == b"\tc"
    assert spell(scores(*sure("xa\t"), {"c": 0.5, "d": 0.5}), usual).letters == b"xa\tc"


def test_nothing_is_read_where_it_is_to_be_quiet() -> None:
    quiet = np.zeros(9, bool)
    quiet[4:6] = True
    for model in (USUAL, None):
        found = spell(scores(*sure("the "), {"m": 0.5, "_": 0.5}, *sure("ouse")), model, quiet=quiet)
        assert found.letters == b"the use" and found.steps.tolist() == [0, 1, 2, 3, 6, 7, 8]


def test_silence_and_no_steps_at_all_say_nothing() -> None:
    for model in (USUAL, None):
        assert spell(scores(*sure("____")), model).letters == b""
        empty = transcribe([], np.empty(0, np.int64), None, GAP, model, WEIGHTS, True)
        assert empty.letters == b"" and not len(empty.steps)


def test_without_doubt_the_search_says_what_the_likeliest_letters_say() -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("abc_ "), 200))
    lines = np.repeat(np.arange(8), 25)
    with_model, without = (spell(scores(*sure(text)), model, lines) for model in (USUAL, None))
    assert with_model.letters == without.letters and with_model.steps.tolist() == without.steps.tolist()
