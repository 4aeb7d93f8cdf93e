"""ERNIE 4.5's text models give the same logits on our code as on Transformers' own classes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from laws import assert_close, relative_rms
from omnie import checkpoint
from omnie.model.cache import KeyValueCache

from .published import CASES, USUAL, VOCABULARY, our_logits, places, their_logits, theirs, tokens, write

MAIN = ("dense", "experts")
FLOAT32, BFLOAT16 = 1e-5, 1e-2
"""Relative RMS error of the logits that each dtype is allowed."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {name: write(name, tmp_path_factory.mktemp(name)) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_logits_of_plain_text_are_equal(folders, name):
    ids = tokens()
    ours, other = checkpoint.load_model(folders[name]), theirs(folders[name])
    assert_close("logits", our_logits(ours, ids, places(ids)), their_logits(other, ids, places(ids)), FLOAT32)


IN_BFLOAT16 = ("dense", "experts", "experts-untied-none-shared")


def in_both_types(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of our model and of theirs in bfloat16, and of theirs in float32."""
    ids = tokens(4, 32)
    ours, other = (load(folder, dtype=torch.bfloat16) for load in (checkpoint.load_model, theirs))
    where = places(ids)
    return our_logits(ours, ids, where), their_logits(other, ids, where), their_logits(theirs(folder), ids, where)


@pytest.mark.parametrize("name", IN_BFLOAT16)
def test_logits_in_bfloat16_are_equal_within_its_rounding(name, tmp_path):
    """With weights of the published scale: ten times larger ones make both sides stray further from float32 than this."""
    ours, other, _ = in_both_types(write(name, tmp_path, USUAL))
    assert_close("logits", ours, other, BFLOAT16)


@pytest.mark.parametrize("name", IN_BFLOAT16)
def test_bfloat16_strays_no_further_from_float32_than_in_transformers(folders, name):
    """Large weights turn roundings into other choices of experts, on either side; ours must not be much the worse."""
    ours, other, exact = in_both_types(folders[name])
    assert relative_rms(ours, exact) <= 1.25 * relative_rms(other, exact) < 0.1


@pytest.mark.parametrize("name", MAIN)
def test_logits_far_into_the_context_are_equal(folders, name):
    ids = tokens()
    where = places(ids, start=100_000)
    got = our_logits(checkpoint.load_model(folders[name]), ids, where)
    assert_close("logits", got, their_logits(theirs(folders[name]), ids, where), FLOAT32)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", MAIN)
def test_logits_of_a_padded_batch_are_equal(folders, name, side):
    ids, mask = tokens(3), torch.ones(3, 21, dtype=torch.long)
    for row, padding in enumerate((0, 4, 13)):
        mask[row, slice(0, padding) if side == "left" else slice(21 - padding, 21)] = 0
    where = (mask.cumsum(1) - 1).clamp_min(0)
    ours, other = checkpoint.load_model(folders[name]), theirs(folders[name])
    got, want = our_logits(ours, ids, where, mask), their_logits(other, ids, where, mask)
    assert_close("logits", got[mask.bool()], want[mask.bool()], FLOAT32)


@pytest.mark.parametrize("name", MAIN)
def test_logits_token_by_token_with_a_cache_are_those_of_the_whole(folders, name):
    ids = tokens()
    ours, cache = checkpoint.load_model(folders[name]), KeyValueCache(21)
    steps = [our_logits(ours, ids[:, :8], places(ids)[:, :8], cache=cache)]
    for t in range(8, 21):
        steps.append(our_logits(ours, ids[:, t : t + 1], places(ids)[:, t : t + 1], cache=cache, past=t))
    assert_close("logits", torch.cat(steps, 1), their_logits(theirs(folders[name]), ids, places(ids)), FLOAT32)


@pytest.mark.parametrize("name", MAIN)
def test_greedy_answers_of_a_padded_batch_are_equal(folders, name):
    from omnie.model.hub import OmnieForConditionalGeneration

    ids, mask = tokens(), torch.ones(2, 21, dtype=torch.long)
    mask[1, :6] = 0
    ours = OmnieForConditionalGeneration.of(checkpoint.load_model(folders[name]))
    options = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    assert torch.equal(ours.generate(ids, **options), theirs(folders[name]).generate(ids, **options))


@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_in_the_published_format_is_the_same_model_in_transformers(folders, name, tmp_path):
    checkpoint.save_as_ernie(checkpoint.load_model(folders[name]), tmp_path, shard_bytes=40_000)
    before, after = theirs(folders[name]), theirs(tmp_path)
    assert type(before) is type(after) and before.config.tie_word_embeddings == after.config.tie_word_embeddings
    ids = tokens()
    assert ids.max() < VOCABULARY and len(list(tmp_path.glob("*.safetensors"))) > 1
    assert torch.equal(their_logits(after, ids, places(ids)), their_logits(before, ids, places(ids)))
