"""Column masks as pictures, and every backend against the reference: odd shapes, masks, dtypes, both passes, bad input."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import importlib.util

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import assert_close
from omnie.errors import OptionError
from omnie.ops.flashmask import ColumnMask, attention, cpu, kinds
from omnie.ops.flashmask.tiles import TileBounds
from omnie.ops.levels import Level

from . import certificates

TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
BACKENDS = ["cpu", pytest.param("gpu", marks=TRITON)]


def eviction(n: int) -> ColumnMask:
    column = torch.arange(n)
    return kinds.eviction(column + 1 + (column * 7919 % 13) % (n - column))


def halves(n: int) -> list[int]:
    return [n // 3 + 1, n - n // 3 - 1]


def frames(n: int) -> torch.Tensor:
    """A clip of frames of three tokens, with text on either side."""
    return torch.where((torch.arange(n) < 2) | (torch.arange(n) >= n - n % 3 - 2), -1, (torch.arange(n) - 2) // 3)


MASKS = {
    "full": kinds.full,
    "causal": kinds.causal,
    "sliding-window": lambda n: kinds.sliding_window(n, 5),
    "causal-document": lambda n: kinds.causal_document(halves(n)),
    "document": lambda n: kinds.document(halves(n)),
    "share-question": lambda n: kinds.share_question([[2, 1, 2], [n - 9, 2, 2]]),
    "global-sliding": lambda n: kinds.global_sliding(n, 2, 3),
    "causal-blockwise": lambda n: kinds.causal_blockwise([3, *halves(n - 3)]),
    "prefix-document": lambda n: kinds.prefix_document([(2, 3), (n - 8, 3)]),
    "prefix-causal": lambda n: kinds.prefix_causal(n, 4),
    "qk-sparse": lambda n: kinds.qk_sparse(n, [(3, 2), (n - 4, 3)]),
    "eviction": eviction,
    "packed": lambda n: kinds.packed(torch.tensor([[1] * 4 + [2] * (n - 7) + [0] * 3])),
    "pictures": lambda n: kinds.bidirectional(kinds.causal(n), torch.tensor([[-1, 0, 0, 0] + [-1] * (n - 7) + [1, 1, 1]])),
    "video": lambda n: kinds.video(n, frames(n), 1, torch.arange(n) % 3 == 0),
    "tree": lambda n: kinds.tree([3, 1, 2, n - 7, 1], [-1, 0, 1, 0, -1]),
}
"""Name -> mask of n rows and columns, n at least 11."""

PICTURES = {
    "share-question": (
        lambda: kinds.share_question([[2, 1, 2], [1, 1]]),
        "1000000 1100000 1110000 1101000 1101100 0000010 0000011",
    ),
    "global-sliding": (lambda: kinds.global_sliding(6, 1, 1), "111111 111000 111100 101110 100111 100011"),
    "causal-blockwise": (lambda: kinds.causal_blockwise([2, 2, 2]), "100000 110000 001000 001100 111110 111111"),
    "prefix-document": (lambda: kinds.prefix_document([(2, 1), (1, 2)]), "110000 110000 111000 000100 000110 000111"),
    "prefix-causal": (lambda: kinds.prefix_causal(4, 2), "1100 1100 1110 1111"),
    "qk-sparse": (lambda: kinds.qk_sparse(5, [(1, 2)]), "10000 10000 10000 11110 11111"),
    "eviction": (lambda: kinds.eviction(torch.tensor([2, 4, 3, 4])), "1000 1100 0110 0101"),
    "full": (lambda: kinds.full(2), "11 11"),
    "causal": (lambda: kinds.causal(3), "100 110 111"),
    "sliding-window": (lambda: kinds.sliding_window(4, 2), "1000 1100 0110 0011"),
    "causal-document": (lambda: kinds.causal_document([2, 1, 2]), "10000 11000 00100 00010 00011"),
    "document": (lambda: kinds.document([2, 1]), "110 110 001"),
    "packed": (lambda: kinds.packed(torch.tensor([[1, 1, 2, 0]])), "1000 1100 0010 0000"),
    "pictures": (
        lambda: kinds.bidirectional(kinds.causal_document([3, 3]), torch.tensor([[-1, 0, 0, 1, 1, -1]])),
        "100000 111000 111000 000110 000110 000111",
    ),
    "a picture wider than the window": (
        lambda: kinds.bidirectional(kinds.sliding_window(5, 2), torch.tensor([[-1, 0, 0, 0, -1]])),
        "10000 11110 01110 01110 00011",
    ),
    "video": (
        lambda: kinds.video(9, torch.tensor([-1, 0, 0, 1, 1, 2, 3, -1, -1]), 1, torch.tensor([True, False, False, False])),
        "100000000 111000000 111000000 111110000 111110000 111111000 111001100 111111110 111111111",
    ),
    "tree": (lambda: kinds.tree([2, 1, 1, 1, 1], [-1, 0, 1, 0, -1]), "100000 110000 111000 111100 110010 000001"),
    "padding": (lambda: kinds.causal(4).with_padding(torch.tensor([[0, 1, 1, 0]])), "0000 0100 0110 0110"),
    "a block of rows": (lambda: kinds.sliding_window(6, 3).rows(3, 5), "011100 001110"),
    "both": (lambda: kinds.causal(4) & kinds.document([1, 3]), "1000 0100 0110 0111"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_masks_look_like_this(name):
    build, picture = PICTURES[name]
    assert build().picture().split() == picture.split()


@pytest.mark.parametrize("name", MASKS)
def test_builders_give_bounds_that_the_check_accepts(name):
    mask = MASKS[name](17)
    assert ColumnMask.given(*mask.bounds, mask.queries).picture() == mask.picture()
    assert {bound.dtype for bound in mask.bounds} == {torch.int32} and mask.nbytes == 4 * 4 * mask.lts.numel()


def test_masks_are_built_in_memory_linear_in_n():
    """131,072 columns: a square of them would be 17 GB."""
    mask = kinds.causal_document([50_000, 81_072]) & kinds.sliding_window(131_072, 4096)
    assert mask.nbytes == 16 * 131_072
    assert mask.hidden(60_000, 60_001, 0, 131_072).sum() == 131_072 - 4096


def some_mask(data: st.DataObject, rows: int, columns: int) -> ColumnMask:
    cuts = data.draw(st.lists(st.lists(st.integers(0, rows), min_size=4, max_size=4), min_size=columns, max_size=columns))
    uts, ute, lts, lte = torch.tensor([sorted(four) for four in cuts]).T
    return ColumnMask.given(lts, lte, uts, ute, rows)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_both_masks_at_once_hide_what_either_hides(data):
    one, other = some_mask(data, 7, 5), some_mask(data, 7, 5)
    hidden = [mask.hidden(0, 7, 0, 5) for mask in (one, other)]
    want = hidden[0] | hidden[1]
    try:
        got = one & other
    except OptionError:
        stretches = (want[0, 0].int().diff(dim=0, prepend=torch.zeros(1, 5, dtype=torch.int32)) == 1).sum(0)
        assert stretches.max() > 2
    else:
        assert torch.equal(got.hidden(0, 7, 0, 5), want)
    assert torch.equal(one.rows(2, 6).hidden(0, 4, 0, 5), hidden[0][:, :, 2:6])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_tiles_called_empty_or_full_are(data):
    mask = some_mask(data, 9, 7)
    tiles = TileBounds.of(mask, 3)
    for first in range(0, 9, 2):
        last = min(first + 2, 9)
        hidden = mask.hidden(first, last, 0, 7)[0, 0]
        empty, full = tiles.row(first, last)
        assert all(hidden[:, start:stop].all() for start, stop in tiles.runs(empty))
        assert not any(hidden[:, start:stop].any() for start, stop in tiles.runs(full))


@pytest.mark.parametrize("name", ["causal", "causal-document", "document", "sliding-window"])
def test_tiles_are_called_mixed_only_along_the_edges(name):
    mask = MASKS[name](64)
    tiles = TileBounds.of(mask, 4)
    for first in range(0, 64, 8):
        hidden = mask.hidden(first, first + 8, 0, 64)[0, 0].view(8, 16, 4)
        empty, full = tiles.row(first, first + 8)
        assert empty.tolist() == hidden.all(2).all(0).tolist() and full.tolist() == (~hidden.any(2).any(0)).tolist()


BOUNDS = {
    "negative": ([-1, 0], [1, 2], [0, 0], [0, 0]),
    "beyond the rows": ([1, 2], [4, 3], [0, 0], [0, 0]),
    "backwards": ([2, 3], [1, 3], [0, 0], [0, 0]),
    "crossing": ([1, 1], [3, 3], [0, 0], [2, 1]),
    "lengths": ([1, 1], [3, 3], [0, 0], [0]),
    "fractions": ([1.5, 1], [3, 3], [0, 0], [0, 0]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bad_bounds_are_refused(name):
    with pytest.raises(OptionError, match="allowed"):
        ColumnMask.given(*map(torch.tensor, BOUNDS[name]), 3)


@pytest.mark.parametrize(
    "build",
    [
        lambda: kinds.causal_document([]),
        lambda: kinds.document([3, 0]),
        lambda: kinds.sliding_window(3, 0),
        lambda: kinds.full(0),
        lambda: kinds.eviction(torch.tensor([1, 1])),
        lambda: kinds.tree([1, 1], [-1, 1]),
        lambda: kinds.tree([1, 1, 1], [-1, -1, 0]),
        lambda: kinds.causal(3) & kinds.causal(4),
        lambda: kinds.causal(3).with_padding(torch.ones(1, 4)),
    ],
)
def test_builders_refuse_what_they_cannot_build(build):
    with pytest.raises(OptionError):
        build()


# --- attention ---

SHAPES = {
    "odd": (1, 2, 2, 19, 16),
    "grouped": (2, 4, 2, 19, 32),
    "multi-query": (1, 3, 1, 17, 40),
    "wide-head": (1, 1, 1, 21, 256),
}
"""B, N, G, T = S, H."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Tiles so small that every shape has empty, full and mixed ones, in one call and in two."""
    monkeypatch.setattr(cpu, "ROWS", 8)
    monkeypatch.setattr(cpu, "TALL", 24)
    monkeypatch.setattr(cpu, "LEAST", 4)
    monkeypatch.setattr(cpu, "COLUMNS", 4)
    monkeypatch.setattr(cpu, "SHORT", 12)


def tensors(shape: str, dtype=torch.float32, scale: float = 1.0) -> list[torch.Tensor]:
    batch, heads, groups, n, size = SHAPES[shape]
    torch.manual_seed(3)
    return [(scale * torch.randn(batch, h, n, size)).to(dtype).requires_grad_() for h in (heads, groups, groups)]


def run(backend: str, leaves: list[torch.Tensor], mask: ColumnMask | None) -> dict[str, torch.Tensor]:
    """Output, log-sum-exp and the gradients for a fixed random direction."""
    out, lse = attention(*leaves, mask, backend=backend, return_lse=True)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return dict(zip(("output", "query", "key", "value", "lse"), [out, *torch.autograd.grad(out, leaves, direction), lse]))


def agree(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor], tolerance: float = 1e-5) -> None:
    blind = want["lse"] == -torch.inf
    assert torch.equal(got["lse"] == -torch.inf, blind)
    for result in (got, want):
        result["lse"] = result["lse"].masked_fill(blind, 0.0)
        assert not result["output"][blind].any() and not result["query"][blind].any()
    for name in want:
        assert_close(name, got[name], want[name], tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_are_the_reference(backend, name, shape):
    if backend == "gpu" and shape != "odd" and name not in ("packed", "video"):
        pytest.skip("the interpreter is slow: two masks for each shape")
    leaves, mask = tensors(shape), MASKS[name](SHAPES[shape][3])
    agree(run(backend, leaves, mask), run("reference", leaves, mask), 2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_backends_in_half_precision(backend, dtype):
    mask = MASKS["causal-document"](19)
    want = run("reference", [x.detach().float().requires_grad_() for x in tensors("grouped", dtype)], mask)
    got = run(backend, tensors("grouped", dtype), mask)
    assert {got[name].dtype for name in ("output", "query", "key", "value")} == {dtype} and got["lse"].dtype == torch.float32
    agree(got, want, 2e-2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_a_mask_everything_is_seen(backend):
    leaves = tensors("grouped")
    agree(run(backend, leaves, None), run("reference", leaves, kinds.full(19)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_sequence_and_each_head_may_have_a_mask_of_its_own(backend):
    leaves = tensors("grouped")
    masks = [MASKS[name](19) for name in ("causal", "document", "eviction", "video")]
    bounds = [torch.cat([mask.bounds[i] for mask in masks]).view(2, 2, 19) for i in range(4)]
    mask = ColumnMask.given(*bounds, 19)
    agree(run(backend, leaves, mask), run("reference", leaves, mask))
    rows = ColumnMask.given(*(bound[:, :1] for bound in bounds), 19)
    agree(run(backend, leaves, rows), run("reference", leaves, rows))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("queries", [1, 5, 40])
def test_other_numbers_of_keys_than_queries(backend, queries):
    """A decode step, a block over a cache, and more queries than keys (the first ones see nothing)."""
    torch.manual_seed(0)
    leaves = [torch.randn(1, n, length, 16, requires_grad=True) for n, length in ((4, queries), (2, 29), (2, 29))]
    column, rows = torch.arange(29), queries
    ute = (column - (29 - queries)).clamp(0, rows)
    mask = ColumnMask.given(torch.full_like(ute, rows), torch.full_like(ute, rows), ute * 0, ute, rows)
    agree(run(backend, leaves, mask), run("reference", leaves, mask))


@TRITON
@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("chosen", [None, [0, 2]], ids=["all-pages", "chosen-pages"])
def test_decoding_over_a_split_cache(queries, chosen):
    """150 keys in three pages, read by two programs or more; chosen pages equal a mask that hides the others."""
    from omnie.ops.flashmask import gpu

    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, queries, 16), torch.randn(1, 2, 150, 16), torch.randn(1, 2, 150, 16)
    mask, pages = kinds.sliding_window(150, 140).rows(150 - queries, 150), None
    seen = mask
    if chosen is not None:
        pages = torch.tensor([chosen] * 2, dtype=torch.int32), torch.tensor([2, 2], dtype=torch.int32)
        seen = mask.with_padding(torch.isin(torch.arange(150) // gpu.DECODE_KEYS, torch.tensor(chosen))[None])
    out, lse = gpu.decode(q, k, v, mask, 0.25, pages)
    want, want_lse = attention(q, k, v, seen, scaling=0.25, backend="reference", return_lse=True)
    assert_close("output", out, want)
    assert_close("lse", lse, want_lse)
    with torch.no_grad():
        assert_close(
            "by the door", attention(q, k, v, mask, scaling=0.25, backend="gpu"), attention(q, k, v, mask, scaling=0.25)
        )


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_rows_that_see_nothing_are_zero_and_have_no_gradient(backend):
    leaves = tensors("odd")
    mask = kinds.causal(19).with_padding((torch.arange(19) >= 6)[None]) & kinds.qk_sparse(19, [(15, 4)])
    result = run(backend, leaves, mask)
    assert (result["lse"][:, :, :6] == -torch.inf).all() and result["lse"][:, :, 6:].isfinite().all()
    assert not result["output"][:, :, :6].any() and not result["query"][:, :, :6].any()
    assert not result["key"][:, :, :6].any() and not result["value"][:, :, :6].any()
    assert all(result[name].isfinite().all() for name in ("output", "query", "key", "value"))


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_a_mask_that_hides_everything(backend):
    leaves, zeros = tensors("odd"), torch.zeros(19, dtype=torch.int32)
    result = run(backend, leaves, ColumnMask.given(zeros, zeros + 19, zeros, zeros, 19))
    assert (result.pop("lse") == -torch.inf).all() and not any(x.any() for x in result.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_scores_do_not_overflow(backend):
    """Scores in the hundreds, where a float32 exponential is infinite."""
    leaves, mask = tensors("odd", scale=9.0), MASKS["global-sliding"](19)
    agree(run(backend, leaves, mask), run("reference", leaves, mask), 1e-4)


@pytest.mark.parametrize("name", ["causal-document", "video", "packed"])
def test_gradients_against_finite_differences(name):
    torch.manual_seed(0)
    leaves = [torch.randn(1, n, 11, 2, dtype=torch.float64, requires_grad=True) for n in (4, 2, 2)]
    mask = MASKS[name](11)
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, mask, backend="cpu"), leaves)
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, mask, backend="reference"), leaves, fast_mode=True)


BAD = {
    "unknown backend": lambda q, k, v: attention(q, k, v, backend="tpu"),
    "heads": lambda q, k, v: attention(torch.cat([q, q[:, :1]], 1), k, v),
    "lengths of k and v": lambda q, k, v: attention(q, k, v[:, :, 1:]),
    "head sizes": lambda q, k, v: attention(q[..., 1:], k, v),
    "dtypes": lambda q, k, v: attention(q, k.double(), v),
    "whole numbers": lambda q, k, v: attention(q.int(), k.int(), v.int()),
    "a head of 257": lambda q, k, v: attention(*(torch.zeros(1, 1, 2, 257) for _ in range(3))),
    "no keys": lambda q, k, v: attention(q, k[:, :, :0], v[:, :, :0]),
    "mask of other length": lambda q, k, v: attention(q, k, v, kinds.causal(34)),
    "masks of other batch": lambda q, k, v: attention(q, k, v, kinds.packed(torch.ones(3, 19, dtype=torch.long))),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_error(name):
    with pytest.raises(OptionError, match="allowed"):
        BAD[name](*tensors("grouped"))


@TRITON
def test_tiles_are_listed_once_for_a_mask_and_forgotten_with_it():
    from omnie.ops.flashmask.gpu import lists

    mask, other = kinds.causal(48), kinds.full(48)
    first = lists.kept_lists(mask, 16, 16)
    assert lists.kept_lists(mask, 16, 16) is first
    assert lists.kept_lists(mask, 16, 16, by_columns=True) is not first
    assert not torch.equal(lists.kept_lists(other, 16, 16).full, first.full)
    kept = len(lists._KEPT)
    del mask, first
    assert len(lists._KEPT) == kept - 1


# --- the certificate of dynamic attention; `test_dynamic.py` has more ---


@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(sorted(certificates.CASES)),
    seed=st.integers(0, 10_000),
    queries=st.sampled_from([1, 16, 47, 300]),
    extra=st.integers(3, 350),
    mask=st.sampled_from(["none", "causal", "document"]),
    level=st.sampled_from(["certified:1e-4", "certified:1e-2", "certified:0.5", "fast:0.1", "fast:0.6", "exact"]),
)
def test_no_row_loses_more_than_its_bound(case, seed, queries, extra, mask, level):
    q, k, v = certificates.tensors(case, seed, queries, queries + extra)
    with certificates.small_tiles():
        certificates.check(q, k, v, certificates.masks(mask, queries, queries + extra), Level.parse(level))
