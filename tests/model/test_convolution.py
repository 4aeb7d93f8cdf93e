"""The convolution over the last tokens: its values, its gradients, and that it sees no further than attention does."""

import pytest
import torch
from torch.nn import functional as F

from omnie.model.cache import KeyValueCache
from omnie.model.layers.convolution import ShortConvolution, neighbours
from omnie.model.masks import decoder_mask, packed_mask
from omnie.ops.flashmask import kinds

CPU = torch.device("cpu")


def made(hidden: int = 6, kernel: int = 4, dtype: torch.dtype = torch.float64) -> ShortConvolution:
    convolution = ShortConvolution(hidden, kernel, (0, 0)).to(dtype)
    torch.nn.init.normal_(convolution.weight)
    return convolution


def by_hand(convolution: ShortConvolution, x: torch.Tensor, near: torch.Tensor | None) -> torch.Tensor:
    y = x.clone()
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            for k in range(len(convolution.weight)):
                if t >= k and (k == 0 or near is None or near[b, t, k - 1]):
                    y[b, t] += convolution.weight[k] * x[b, t - k]
    return y


@pytest.mark.parametrize("kernel", [1, 2, 4])
def test_each_token_has_its_predecessors_in_it(kernel):
    convolution, x = made(kernel=kernel), torch.randn(2, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(convolution(x, None, None), by_hand(convolution, x, None))


def test_a_fresh_one_changes_nothing():
    x = torch.randn(1, 5, 6)
    assert torch.equal(ShortConvolution(6, 4, (0, 0))(x, None, None), x)


def test_segments_and_padding_are_borders():
    convolution, x = made(), torch.randn(2, 8, 6, dtype=torch.float64)
    segments = torch.tensor([[1, 1, 1, 2, 3, 3, 3, 0], [1, 1, 1, 1, 1, 1, 1, 1]])
    near = neighbours(segments, 3, 0, 8, torch.float64)
    y = convolution(x, near, None)
    torch.testing.assert_close(y, by_hand(convolution, x, near))
    torch.testing.assert_close(y[:1, 4:7], convolution(x[:1, 4:7], None, None))
    real = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1]])
    alone = convolution(x[:1, 3:], None, None)
    torch.testing.assert_close(convolution(x, neighbours(real, 3, 0, 8, torch.float64), None)[:1, 3:], alone)


@pytest.mark.parametrize("near", [False, True])
def test_gradients(near):
    convolution, x = made(3), torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    segments = torch.tensor([[1, 1, 2, 2, 2, 3], [1, 1, 1, 1, 2, 2]])
    seen = neighbours(segments, 3, 0, 6, torch.float64) if near else None
    weight = convolution.weight

    def run(x, weight):
        return torch.func.functional_call(convolution, {"weight": weight}, (x, seen, None))

    assert torch.autograd.gradcheck(run, (x, weight.detach().requires_grad_()))


@pytest.mark.parametrize("blocks", [(7,), (1, 6), (2, 1, 1, 3), (1,) * 7])
def test_a_cache_goes_on_where_it_stopped(blocks):
    convolution, x, cache = made(), torch.randn(2, 7, 6, dtype=torch.float64), KeyValueCache(7)
    parts = [convolution(block, None, cache) for block in x.split(blocks, dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), convolution(x, None, None))


def test_a_cache_over_padding():
    convolution, x, cache = made(), torch.randn(1, 6, 6, dtype=torch.float64), KeyValueCache(6)
    real = torch.tensor([[0, 0, 1, 1, 1, 1]])
    parts = [convolution(x[:, :3], neighbours(real[:, :3], 3, 0, 3, x.dtype), cache)]
    parts += [convolution(x[:, t : t + 1], neighbours(real[:, : t + 1], 3, t, 1, x.dtype), cache) for t in (3, 4, 5)]
    torch.testing.assert_close(torch.cat(parts, 1)[:, 2:], convolution(x[:, 2:], None, None))


def dense(mask, queries: int) -> torch.Tensor:
    return ~mask.hidden(0, queries, 0, mask.keys)[:, :1]


@pytest.mark.parametrize(
    "mask",
    [
        kinds.causal(9, CPU),
        kinds.sliding_window(9, 2, CPU),
        kinds.causal_document([4, 3, 2], CPU),
        packed_mask(None, torch.tensor([[1, 1, 2, 2, 2, 2, 3, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1]])),
        decoder_mask(9, 0, CPU, attention_mask=torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1] * 9])),
    ],
    ids=["causal", "window", "documents", "packed", "padding"],
)
def test_neighbours_are_read_off_any_mask(mask):
    """By the mask's own picture; a dense mask says the same, as truth values and as what is added to scores."""
    found, whole = neighbours(mask, 3, 0, 9, torch.float32), dense(mask, 9)
    for b in range(whole.shape[0]):
        wanted = [[float(t >= k and whole[b, 0, t, t - k]) for k in (1, 2, 3)] for t in range(9)]
        assert found[b].tolist() == wanted
    assert torch.equal(neighbours(whole, 3, 0, 9, torch.float32), found)
    added = torch.zeros(whole.shape).masked_fill(~whole, torch.finfo(torch.float32).min)
    assert torch.equal(neighbours(added, 3, 0, 9, torch.float32), found)
    for past in (1, 5):
        block = mask.rows(past, 9)
        assert torch.equal(neighbours(block, 3, past, 9 - past, torch.float32), found[:, past:])
        assert torch.equal(neighbours(whole[:, :, past:], 3, past, 9 - past, torch.float32), found[:, past:])


def test_what_is_longer_than_the_text():
    assert neighbours(torch.tensor([[1, 1]]), 3, 0, 2, torch.float32).tolist() == [[[0, 0, 0], [1, 0, 0]]]
    assert neighbours(None, 3, 0, 2, torch.float32) is None
    assert F.pad(torch.ones(1, dtype=torch.bool), (1, 0)).tolist() == [False, True]
