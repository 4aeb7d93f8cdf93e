"""The decoder's masks as 0/1 pictures: a row is a query, a column a key."""

import pytest
import torch

from laws import relative_rms
from omnie.model.masks import decoder_mask, packed_mask
from omnie.ops.flashmask import ColumnMask

from .cases import config, conversation, toy

CPU = torch.device("cpu")


def picture(mask: ColumnMask, row: int = 0) -> list[str]:
    return mask.picture(row).split()


@pytest.mark.parametrize(
    ("queries", "past", "window"), [(5, 0, None), (1, 9, None), (1, 0, None), (5, 0, 5), (1, 4, 5), (5, 0, 9)]
)
def test_plain_causal_attention_needs_no_mask(queries, past, window):
    assert decoder_mask(queries, past, CPU, window=window) is None
    ones = torch.ones(2, past + queries, dtype=torch.long)
    assert decoder_mask(queries, past, CPU, window=window, attention_mask=ones) is None


def test_a_block_over_a_cache():
    assert picture(decoder_mask(3, 2, CPU)) == ["11100", "11110", "11111"]


def test_a_sliding_window():
    assert picture(decoder_mask(5, 0, CPU, window=2)) == ["10000", "11000", "01100", "00110", "00011"]
    assert picture(decoder_mask(2, 3, CPU, window=3)) == ["01110", "00111"]
    assert picture(decoder_mask(1, 4, CPU, window=2)) == ["00011"]
    assert picture(decoder_mask(3, 0, CPU, window=1)) == ["100", "010", "001"]


def test_padding_is_seen_by_none_and_sees_nothing_before_the_first_token():
    real = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    mask = decoder_mask(4, 0, CPU, attention_mask=real)
    assert picture(mask, 0) == ["0000", "0000", "0010", "0011"]
    assert picture(mask, 1) == ["1000", "1100", "1110", "1110"]


def test_padding_over_a_cache_and_a_window():
    real = torch.tensor([[0, 1, 1, 1, 1]])
    assert picture(decoder_mask(2, 3, CPU, attention_mask=real)) == ["01110", "01111"]
    assert picture(decoder_mask(2, 3, CPU, attention_mask=real, window=3)) == ["01110", "00111"]
    assert picture(decoder_mask(1, 4, CPU, attention_mask=real)) == ["01111"]


def test_windows_hold_inside_packed_segments():
    segments = torch.tensor([[1, 1, 1, 2, 2, 0]])
    window = decoder_mask(6, 0, CPU, window=2)
    assert picture(packed_mask(window, segments)) == ["100000", "110000", "011000", "000100", "000110", "000000"]
    assert picture(packed_mask(None, segments)) == ["100000", "110000", "111000", "000100", "000110", "000000"]


def test_which_layers_slide():
    four = config(num_hidden_layers=6, sliding_window=4, global_layer_every=3)
    assert [four.is_sliding(layer) for layer in range(6)] == [True, True, False, True, True, False]
    assert not any(config(num_hidden_layers=6).is_sliding(layer) for layer in range(6))
    layers = toy(sliding_window=4, global_layer_every=2).model.language_model.layers
    assert [layer.is_sliding for layer in layers] == [True, False]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_sliding_layer_sees_only_its_window(layers):
    """Which tokens' logits change with token 3: a window of four and two convolutions over two tokens reach five further."""
    model = toy(num_hidden_layers=layers, sliding_window=4, global_layer_every=100, short_convolution=2, trail_layer=None)
    inputs = conversation(14)
    other = inputs["input_ids"].clone()
    other[0, 3] += 1
    with torch.inference_mode():
        before, after = model(**inputs).logits[0], model(**inputs | {"input_ids": other}).logits[0]
    changed = [relative_rms(a, b) > 1e-6 for a, b in zip(after, before)]
    assert changed == [3 <= t <= 3 + 5 * layers for t in range(14)]


def test_a_global_layer_sees_everything_before():
    inputs = conversation(14)
    other = inputs["input_ids"].clone()
    other[0, 3] += 1
    model = toy()
    with torch.inference_mode():
        before, after = model(**inputs).logits[0], model(**inputs | {"input_ids": other}).logits[0]
    assert [relative_rms(a, b) > 1e-6 for a, b in zip(after, before)] == [t >= 3 for t in range(14)]
