"""Sampling: what each option promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnie.engine.request import SamplingOptions
from omnie.engine.sampler import Sampler, nucleus, penalised
from omnie.errors import OptionError

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -4.0])


def draws(count: int = 200, prompt: tuple[int, ...] = (), **options) -> list[int]:
    sampler = Sampler(SamplingOptions(**options), prompt)
    return [sampler(LOGITS) for _ in range(count)]


def test_greedy_takes_the_largest():
    assert set(draws(temperature=0.0)) == {0}


def test_equal_seeds_give_equal_tokens():
    assert draws(temperature=1.0, seed=7) == draws(temperature=1.0, seed=7)
    assert draws(temperature=1.0, seed=7) != draws(temperature=1.0, seed=8)


def test_no_seed_is_not_a_fixed_seed():
    assert draws(temperature=2.0) != draws(temperature=2.0)


def test_draws_follow_the_softmax():
    tokens = torch.tensor(draws(4000, temperature=1.0, seed=0))
    shares = torch.bincount(tokens, minlength=5) / len(tokens)
    assert (shares - LOGITS.softmax(0)).abs().max() < 0.03


def test_temperature_sharpens_and_flattens():
    cold, hot = (draws(temperature=temperature, seed=1).count(0) for temperature in (0.2, 5.0))
    assert cold > 190 and hot < 100


@pytest.mark.parametrize(("top_p", "kept"), [(0.01, {0}), (0.5, {0}), (0.8, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3, 4})])
def test_top_p_keeps_the_smallest_sufficient_set(top_p, kept):
    probabilities = nucleus(LOGITS.softmax(0), top_p)
    assert set(probabilities.nonzero().flatten().tolist()) == kept
    assert set(draws(top_p=top_p, temperature=1.0, seed=3)) <= kept


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_the_nucleus_reaches_top_p_and_keeps_the_best(values, top_p):
    probabilities = torch.tensor(values).softmax(0)
    kept = nucleus(probabilities, top_p)
    assert kept.sum() >= top_p - 1e-4
    assert kept[probabilities.argmax()] > 0


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits():
    assert penalised(LOGITS, {0, 3}, 2.0).tolist() == [1.0, 1.0, 0.0, -2.0, -4.0]


def test_repetition_penalty_counts_the_prompt_and_the_answer():
    logits = torch.tensor([2.0, 1.9, 0.3])
    sampler = Sampler(SamplingOptions(repetition_penalty=10.0), prompt=[1])
    assert [sampler(logits) for _ in range(3)] == [0, 2, 0]
    assert draws(3, prompt=(1,)) == [0, 0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"repetition_penalty": 0.0},
        {"seed": -1},
        {"seed": 2**63},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_with_the_range(options):
    with pytest.raises(OptionError, match="allowed: "):
        SamplingOptions(**options)
