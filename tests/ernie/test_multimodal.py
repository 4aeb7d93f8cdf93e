"""ERNIE 4.5's models for images and video give the same logits on our code as on Transformers' own class."""

from pathlib import Path

import pytest
import torch

from laws import assert_close, relative_rms
from omnie import checkpoint
from omnie.model.cache import KeyValueCache
from omnie.model.hub import OmnieForConditionalGeneration

from .multimodal import CASES, CONVERSATIONS, Conversation, batch, our_logits, positions, their_logits, theirs, write
from .published import USUAL

FLOAT32, BFLOAT16 = 1e-5, 1e-2
"""Relative RMS error of the logits that each dtype is allowed."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {name: write(name, tmp_path_factory.mktemp(name)) for name in CASES}


@pytest.mark.parametrize("what", CONVERSATIONS)
@pytest.mark.parametrize("name", CASES)
def test_logits_are_equal(folders, name, what):
    inputs = batch([Conversation(CONVERSATIONS[what])])
    ours, other = checkpoint.load_model(folders[name]), theirs(folders[name])
    assert_close("logits", our_logits(ours, inputs), their_logits(other, inputs), FLOAT32)


@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_of_a_padded_batch_are_equal(folders, side):
    inputs = batch([Conversation(items, seed) for seed, items in enumerate(CONVERSATIONS.values())], side)
    real = inputs["attention_mask"].bool()
    got = our_logits(checkpoint.load_model(folders["usual"]), inputs)[real]
    assert_close("logits", got, their_logits(theirs(folders["usual"]), inputs)[real], FLOAT32)


@pytest.mark.parametrize("what", ["image", "video"])
def test_logits_in_bfloat16_are_equal_within_its_rounding(what, tmp_path):
    folder = write("usual", tmp_path, USUAL)
    inputs = batch([Conversation(CONVERSATIONS[what])])
    ours, other = (load(folder, dtype=torch.bfloat16) for load in (checkpoint.load_model, theirs))
    assert_close("logits", our_logits(ours, inputs), their_logits(other, inputs), BFLOAT16)


@pytest.mark.parametrize("what", ["image", "video"])
def test_bfloat16_strays_no_further_from_float32_than_in_transformers(folders, what):
    inputs = batch([Conversation(CONVERSATIONS[what])])
    ours, other = (load(folders["usual"], dtype=torch.bfloat16) for load in (checkpoint.load_model, theirs))
    exact = their_logits(theirs(folders["usual"]), inputs)
    strays = relative_rms(their_logits(other, inputs), exact)
    assert relative_rms(our_logits(ours, inputs), exact) <= 1.25 * strays < 0.2


@pytest.mark.parametrize("what", ["images-of-many-sizes", "long-video"])
def test_logits_token_by_token_with_a_cache_are_those_of_the_whole(folders, what):
    inputs = batch([Conversation([*CONVERSATIONS[what], 6])])
    whole = their_logits(theirs(folders["usual"]), inputs)
    ours, length = checkpoint.load_model(folders["usual"]), inputs["input_ids"].shape[1]
    cache, where, names = KeyValueCache(length), positions(inputs), ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids")
    media = {name: value for name, value in inputs.items() if name not in (*names, "attention_mask")}
    steps = []
    with torch.inference_mode():
        for start, end in [(0, length - 5), *((t, t + 1) for t in range(length - 5, length))]:
            new = {name: inputs[name][:, start:end] for name in names} | ({} if start else media)
            steps.append(ours(**new, position_ids=where[:, start:end], cache=cache, past=start).logits)
    assert_close("logits", torch.cat(steps, 1), whole, FLOAT32)


@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_in_the_published_format_is_the_same_model_in_transformers(folders, name, tmp_path):
    checkpoint.save_as_ernie(checkpoint.load_model(folders[name]), tmp_path, shard_bytes=40_000)
    inputs = batch([Conversation(CONVERSATIONS["image-and-videos"])])
    before, after = theirs(folders[name]), theirs(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert torch.equal(their_logits(after, inputs), their_logits(before, inputs))


@pytest.mark.parametrize("use_cache", [True, False], ids=["cache", "no-cache"])
def test_greedy_answers_of_a_padded_batch_are_equal(folders, use_cache):
    inputs = batch([Conversation(CONVERSATIONS[what]) for what in ("image-and-videos", "text", "long-video")])
    ours = OmnieForConditionalGeneration.of(checkpoint.load_model(folders["usual"]))
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    got = ours.generate(**inputs, use_cache=use_cache, **options)
    assert torch.equal(got, theirs(folders["usual"]).generate(**inputs, **options))
