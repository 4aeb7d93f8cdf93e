"""Every way to attend agrees with the reference, forward and backward."""

import pytest
import torch
from torch import Tensor

from laws import assert_close
from omnie.ops.attention import BACKENDS, reference, sdpa
from omnie.ops.attention import cpu as blocks
from omnie.ops.attention.cpu import attention as cpu
from omnie.ops.attention.segments import SegmentAttention

SHAPES = {
    "one-token": (1, 1, 1, 1, 1, 8),
    "one-query-many-keys": (2, 4, 2, 1, 17, 8),
    "square": (2, 4, 4, 9, 9, 16),
    "grouped": (1, 6, 2, 33, 33, 8),
    "multi-query": (3, 4, 1, 5, 5, 4),
    "block-over-cache": (1, 4, 2, 3, 10, 8),
}
"""B, N, G, T, S, H."""
SEGMENTS = {
    "one-token": [1],
    "ones": [1, 1, 1],
    "around-a-round": [31, 32, 33],
    "many": [1, 5, 64, 2, 65, 5, 100, 1, 33],
    "equal": [7, 7, 7, 7],
}


def case(shape: str, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(2)
    batch, heads, groups, queries, keys, size = SHAPES[shape]
    sizes = [(heads, queries), (groups, keys), (groups, keys)]
    return [torch.randn(batch, n, length, size, dtype=dtype, requires_grad=True) for n, length in sizes]


def run(function, leaves: list[Tensor]) -> dict[str, Tensor]:
    """The output and the gradients of query, key and value for a fixed random direction."""
    y = function(*leaves)
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32).to(y.dtype)
    return dict(zip(("output", "query", "key", "value"), [y, *torch.autograd.grad(y, leaves, direction)]))


def agree(got: dict[str, Tensor], want: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    for name, tensor in want.items():
        assert_close(name, got[name], tensor, tolerance)


def masks(shape: str) -> dict[str, Tensor | None]:
    """Bool and additive masks in which every query sees something, and none."""
    _, _, _, queries, keys, _ = SHAPES[shape]
    window = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).triu(keys - queries - 3)
    holes = (torch.rand(1, 1, queries, keys, generator=torch.Generator().manual_seed(4)) < 0.5) | window
    return {"none": None, "window": window, "holes": holes, "additive": torch.where(holes, 0.3, -torch.inf)}


@pytest.mark.parametrize("mask", ["none", "window", "holes", "additive"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sdpa_is_the_reference(shape, mask):
    results = [
        run(lambda q, k, v, f=f: f(None, q, k, v, masks(shape)[mask], scaling=0.3)[0], case(shape)) for f in BACKENDS.values()
    ]
    agree(results[1], results[0])


@pytest.mark.parametrize("shape", [name for name, (*_, t, s, _) in SHAPES.items() if t in (1, s)])
def test_sdpa_is_the_reference_when_causal(shape):
    results = [
        run(lambda q, k, v, f=f: f(None, q, k, v, None, scaling=0.3, is_causal=True)[0], case(shape)) for f in BACKENDS.values()
    ]
    agree(results[1], results[0])


def test_a_causal_block_over_a_cache_needs_a_mask():
    q, k, v = case("block-over-cache")
    with pytest.raises(AssertionError, match="needs a mask"):
        sdpa(None, q, k, v, None, scaling=1.0, is_causal=True)


def test_the_reference_is_the_formula():
    """Softmax over the keys, number by number; query head n reads key-value head n // (N / G)."""
    q, k, v = (x.detach() for x in case("grouped"))
    got, weights = reference(None, q, k, v, None, scaling=0.3, is_causal=True)
    for n, t in [(0, 0), (2, 7), (3, 7), (5, 32)]:
        scores = [0.3 * float(q[0, n, t] @ k[0, n // 3, s]) for s in range(t + 1)]
        share = torch.tensor(scores).exp() / torch.tensor(scores).exp().sum()
        assert_close(f"head {n}, query {t}", got[0, t, n], share @ v[0, n // 3, : t + 1])
        assert_close("weights", weights[0, n, t, : t + 1], share)
    assert not weights[0, :, 3, 4:].any()


def test_a_row_that_may_attend_to_nothing_gives_zeros():
    q, k, v = (x.detach() for x in case("square"))
    mask = torch.ones(9, 9, dtype=torch.bool)
    mask[4] = False
    got, _ = reference(None, q, k, v, mask, scaling=1.0)
    assert not got[:, 4].any() and got[:, 5].any()


@pytest.mark.parametrize("mask", ["none", "causal", "window", "holes"])
@pytest.mark.parametrize("shape", ["one-token", "square"])
def test_cpu_is_the_reference(shape, mask):
    causal, dense = mask == "causal", None if mask == "causal" else masks(shape)[mask]
    want = run(lambda q, k, v: reference(None, q, k, v, dense, scaling=0.3, is_causal=causal)[0].transpose(1, 2), case(shape))
    agree(run(lambda q, k, v: cpu(q, k, v, dense, causal=causal, scaling=0.3), case(shape)), want)


@pytest.mark.parametrize("kept", [0, blocks.KEPT], ids=["formed-again", "kept"])
@pytest.mark.parametrize("mask", ["none", "causal", "holes"])
def test_cpu_takes_several_blocks_of_queries(mask, kept, monkeypatch):
    monkeypatch.setattr(blocks, "KEPT", kept)
    torch.manual_seed(3)
    length = 2 * blocks.BLOCK + 5
    leaves = [torch.randn(2, 2, length, 8, requires_grad=True) for _ in range(3)]
    holes = (torch.rand(2, 1, length, length) < 0.5) | torch.eye(length, dtype=torch.bool)
    causal, dense = mask == "causal", holes if mask == "holes" else None
    want = run(lambda q, k, v: reference(None, q, k, v, dense, scaling=0.3, is_causal=causal)[0].transpose(1, 2), leaves)
    agree(run(lambda q, k, v: cpu(q, k, v, dense, causal=causal, scaling=0.3), leaves), want)


def test_cpu_takes_a_mask_per_sequence_and_other_numbers_of_keys():
    """As the sound encoder calls it: blocks of queries over two blocks of keys, a row mask for each."""
    torch.manual_seed(0)
    mask = torch.rand(3, 1, 1, 10) < 0.6
    mask[..., 0] = True
    leaves = [torch.randn(3, 2, n, 4, requires_grad=True) for n in (5, 10, 10)]
    want = run(lambda q, k, v: reference(None, q, k, v, mask, scaling=0.5)[0].transpose(1, 2), leaves)
    agree(run(lambda q, k, v: cpu(q, k, v, mask), leaves), want)


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_cpu_gradients_against_finite_differences(causal):
    """In float64 torch's CPU kernel computes in float64 too, so the default tolerances hold."""
    torch.manual_seed(1)
    leaves = [torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(lambda q, k, v: cpu(q, k, v, causal=causal), leaves)
    mask = torch.rand(2, 1, 5, 5) < 0.5
    mask |= torch.eye(5, dtype=torch.bool)
    assert causal or torch.autograd.gradcheck(lambda q, k, v: cpu(q, k, v, mask), leaves)


def separately(q_TNH: Tensor, k_TGH: Tensor, v_TGH: Tensor, lengths: list[int], causal: bool) -> Tensor:
    """The meaning of `SegmentAttention`: the reference on one sequence after the other."""
    outputs = []
    for q, k, v in zip(*(x.split(lengths) for x in (q_TNH, k_TGH, v_TGH))):
        heads = (x.transpose(0, 1)[None] for x in (q, k, v))
        outputs.append(reference(None, *heads, None, scaling=0.4, is_causal=causal)[0][0])
    return torch.cat(outputs)


def packed(lengths: list[int], groups: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(6)
    return [torch.randn(sum(lengths), heads, 8, dtype=dtype, requires_grad=True) for heads in (4, groups, groups)]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_segments_are_separate_sequences(name, causal, groups):
    lengths = SEGMENTS[name]
    attend = SegmentAttention(lengths, causal=causal, device=torch.device("cpu"))
    want = run(lambda q, k, v: separately(q, k, v, lengths, causal), packed(lengths, groups))
    agree(run(lambda q, k, v: attend.attend(q, k, v, 0.4), packed(lengths, groups)), want)
    with torch.inference_mode():
        assert_close("without gradients", attend.attend(*packed(lengths, groups), 0.4), want["output"])


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_segments_gradients_against_finite_differences(causal):
    lengths = [1, 3, 2, 3]
    attend = SegmentAttention(lengths, causal=causal, device=torch.device("cpu"))
    leaves = packed(lengths, 2, torch.float64)
    assert torch.autograd.gradcheck(lambda q, k, v: attend.attend(q, k, v, 0.4), leaves, fast_mode=True)


def test_segments_in_bfloat16():
    lengths = SEGMENTS["many"]
    attend = SegmentAttention(lengths, causal=True, device=torch.device("cpu"))
    leaves = packed(lengths, 2, torch.bfloat16)
    wide = [leaf.detach().float().requires_grad_() for leaf in leaves]
    want = run(lambda q, k, v: separately(q, k, v, lengths, True), wide)
    agree(run(lambda q, k, v: attend.attend(q, k, v, 0.4), leaves), want, 2e-2)


def test_segment_ids_say_where_sequences_end():
    """Two rows; the second begins with the number that the first ends with, and padding is a sequence of its own."""
    ids = torch.tensor([[1, 1, 2, 2, 2], [2, 3, 3, 0, 0]])
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 5, 4) for _ in range(3))
    got, _ = SegmentAttention.of(ids)(None, q, k, v, None, scaling=0.5)
    same = ids[:, :, None] == ids[:, None, :]
    mask = (same & torch.ones(5, 5, dtype=torch.bool).tril())[:, None]
    assert_close("output", got, reference(None, q, k, v, mask, scaling=0.5)[0])
