"""Cached generation equals the full forward, whatever the prompt holds and however it is cut."""

import pytest
import torch

from laws import assert_close, relative_rms
from omnie.model.cache import KeyValueCache

from .cases import CONVERSATIONS, PER_TOKEN, cached_logits, conversation, length, media_of, toy

TAIL = 10
"""Text tokens at the end of every conversation."""
CUTS = {
    "token-by-token": lambda T: range(T - TAIL, T),
    "blocks": lambda T: [T - TAIL, T - TAIL + 4, T - 1],
    "one-token-before": lambda T: [1, T - 3],
}


@pytest.fixture(scope="module")
def model():
    return toy()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_cached_equals_full(model, name, cut):
    inputs = conversation(*CONVERSATIONS[name])
    full = model(**inputs).logits
    assert_close(f"{name}, {cut}", cached_logits(model, inputs, CUTS[cut](length(inputs))), full)


@pytest.mark.parametrize("window", [1, 3, 8, 200])
@pytest.mark.parametrize("cut", CUTS)
def test_cached_equals_full_with_a_sliding_window(window, cut):
    model = toy(num_hidden_layers=3, sliding_window=window, global_layer_every=3)
    inputs = conversation(*CONVERSATIONS["image"])
    assert_close(cut, cached_logits(model, inputs, CUTS[cut](length(inputs))), model(**inputs).logits)


@pytest.mark.parametrize("name", [name for name in CONVERSATIONS if name != "text"])
def test_media_reach_the_logits(model, name):
    """Without this the laws above could hold for a model that never looks."""
    inputs = conversation(*CONVERSATIONS[name])
    full = model(**inputs).logits[:, -1]
    for key in set(inputs) & {"pixel_values", "pixel_values_videos", "input_features"}:
        other = model(**inputs | {key: inputs[key].flip(0)}).logits[:, -1]
        assert relative_rms(other, full) > 1e-2, key


def test_kept_logits_are_the_last_ones(model):
    inputs = conversation(9)
    full = model(**inputs).logits
    assert_close("last three", model(**inputs, logits_to_keep=3).logits, full[:, -3:])


def test_a_block_without_modalities_is_text(model):
    inputs = conversation(9)
    types = inputs.pop("mm_token_type_ids")
    assert torch.equal(model(**inputs).logits, model(**inputs, mm_token_type_ids=types).logits)


def test_cached_batch_with_padding_equals_full(model):
    """Two text sequences, the shorter padded on the left, prefill and decode side by side."""
    rows = [conversation(20, seed=1), conversation(13, seed=2)]
    pad = [20 - length(row) for row in rows]
    batch = {
        name: torch.cat([torch.nn.functional.pad(row[name].movedim(1, -1), (n, 0)).movedim(-1, 1) for row, n in zip(rows, pad)])
        for name in PER_TOKEN
    }
    mask = torch.arange(20) >= torch.tensor(pad)[:, None]
    cache, outputs = KeyValueCache(20), []
    for start, end in [(0, 15), (15, 16), (16, 20)]:
        block = {name: tensor[:, start:end] for name, tensor in batch.items()}
        outputs.append(model(**block, attention_mask=mask[:, :end].long(), cache=cache, past=start).logits.detach())
    got = torch.cat(outputs, 1)
    for row, inputs in enumerate(rows):
        assert_close(f"row {row}", got[row, pad[row] :], model(**inputs, **media_of([])).logits[0])
