"""Dynamic attention: what it drops is at most what it says; what must be kept is kept; the GPU's planner does the same.

The search for a row that loses more than its bound is in `test_flashmask.py`, its check in `certificates.py`.
"""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import importlib.util
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import assert_close
from omnie.errors import OptionError
from omnie.ops.flashmask import ColumnMask, attention, dynamic
from omnie.ops.flashmask.pages import PAGE, KeyPages
from omnie.ops.levels import EXACT, Level

from .certificates import CASES, check, masks, on_gpu, small_tiles, tensors

TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


@pytest.fixture(autouse=True, scope="module")
def tiles():
    with small_tiles():
        yield


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_page_bounds_hold_for_any_numbers(data):
    """Hypothesis chooses the numbers themselves, extremes included."""
    number = st.floats(-1e6, 1e6, width=32)
    k = torch.tensor(data.draw(st.lists(st.lists(number, min_size=4, max_size=4), min_size=1, max_size=70)))
    q = torch.tensor(data.draw(st.lists(st.lists(number, min_size=4, max_size=4), min_size=1, max_size=3)))
    bound, _ = KeyPages.of(k[None, None]).bounds(q, 0, 0, 1.0)
    scores = q.double() @ k.double().T
    for page in range(bound.shape[1]):
        assert (scores[:, page * PAGE : (page + 1) * PAGE].amax(1) <= bound[:, page].double()).all()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("level", ["certified:1e-3", "exact"])
def test_infinite_keys_are_never_dropped(value, level):
    """What exact attention makes of them (an undefined row, as a rule) is not hidden by a bound."""
    q, k, v = tensors("clusters", 0, 64, 512)
    k[0, 0, 130, 3] = value
    mask = masks("causal", 64, 512)
    out, _ = dynamic.attention(q, k, v, mask, 0.25, Level.parse(level))
    want = attention(q, k, v, mask, scaling=0.25, backend="reference")
    assert torch.equal(out.isfinite(), want.isfinite()) or value == -math.inf
    rows = want.isfinite().all(-1) & out.isfinite().all(-1)
    assert ((out - want).norm(dim=-1)[rows] < 2 * 1e-3 * v.norm(dim=-1).max() + 1e-4).all()


def test_large_finite_scores_of_both_signs():
    q, k, v = tensors("normal", 3, 200, 500)
    check(q * 1e3, k * 1e3, v, masks("causal", 200, 500), Level("certified", 1e-3))


def test_a_needle_is_found_and_the_rest_dropped():
    """128 pages, one key that counts: certified keeps its page and drops nearly all others, and so does fast."""
    q, k, v = tensors("one needle", 0, 256, 128 * PAGE, heads=(2, 1))
    mask = masks("causal", 256, 128 * PAGE)
    for level in ("certified:1e-3", "fast:0.05"):
        stats = check(q, k, v, mask, Level.parse(level))
        assert stats.worst < 1e-3 and stats.saved > 0.7, level


@pytest.mark.parametrize("case", ["far topic", "clusters", "one needle", "heavy tails"])
@pytest.mark.parametrize("eps", [1e-3, 0.1])
def test_certified_rows_stay_within_eps(case, eps):
    q, k, v = tensors(case, 5, 128, 40 * PAGE)
    stats = check(q, k, v, masks("causal", 128, 40 * PAGE), Level("certified", eps))
    assert stats.kept < stats.tiles


def test_flat_rows_are_computed_whole():
    """Every key weighs the same: nothing can be certified away beyond eps itself."""
    q, k, v = tensors("flat rows", 0, 128, 1024)
    stats = check(q, k, v, masks("causal", 128, 1024), Level("certified", 1e-3))
    assert stats.kept == stats.tiles
    assert stats.saved <= 0


def test_sinks_the_window_and_the_last_queries_are_always_kept():
    """Keys chosen so that everything else is dropped; the values say which keys were read."""
    keys, queries = 1024, 128
    q = torch.ones(1, 1, queries, 16)
    k = torch.full((1, 1, keys, 16), -50.0)
    k[:, :, keys // 2] = 50.0  # in a page of its own: everything but its page can be dropped
    v = torch.eye(keys)[None, None, :, :].clone()
    scaling, mask = 0.25, masks("causal", queries, keys)
    seen = {}
    for start in range(0, keys, 256):  # heads hold 256 values at most, so the identity comes in pieces
        piece = v[..., start : start + 256]
        k_wide = torch.nn.functional.pad(k, (0, 240))
        q_wide = torch.nn.functional.pad(q, (0, 240))
        stats = dynamic.Stats()
        dynamic.attention(q_wide, k_wide, piece, mask, scaling, Level("certified", 0.5), stats=stats)
        seen[start] = stats.kept
    assert len(set(seen.values())) == 1
    tile = dynamic.RowTile(q[0], k, k, mask, dynamic.TileBounds.of(mask, PAGE), (0, 64), scaling, dynamic.Stats())
    always = np.flatnonzero(tile._always())
    first = keys - queries - dynamic.WINDOW
    assert always.tolist() == [0, *range(first // PAGE, (keys - queries + 64 - 1) // PAGE + 1)]
    last = dynamic.RowTile(q[0], k, k, mask, dynamic.TileBounds.of(mask, PAGE), (64, 128), scaling, dynamic.Stats())
    assert last._always().all()


def test_pages_that_grow_equal_pages_made_at_once():
    torch.manual_seed(0)
    k = torch.randn(2, 2, 300, 8)
    pages, cuts = KeyPages(), [5, 64, 65, 66, 128, 200, 300]
    for cut in cuts:
        pages.update(k[:, :, :cut])
        fresh, q = KeyPages.of(k[:, :, :cut]), torch.randn(3, 8)
        assert (pages.length, pages.count) == (cut, fresh.count)
        for got, want in zip(pages.bounds(q, 1, 1, 0.5), fresh.bounds(q, 1, 1, 0.5)):
            assert_close("bounds", got, want, 1e-6)
    pages.update(k[:1, :, :10])
    assert pages.count == 1
    assert pages.sizes().tolist() == [10]


@pytest.mark.parametrize("level", ["exact", "certified:1e-2", "fast:0.5"])
def test_in_bfloat16(level):
    q, k, v = (x.bfloat16() for x in tensors("clusters", 1, 100, 400))
    mask = masks("causal", 100, 400)
    out, lse = dynamic.attention(q, k, v, mask, 0.25, Level.parse(level))
    assert out.dtype == torch.bfloat16 and lse.dtype == torch.float32
    if level == "exact":
        assert_close("output", out, attention(q, k, v, mask, scaling=0.25), 1e-2)


def test_a_budget_of_one_is_exact_and_a_smaller_one_saves_its_share():
    q, k, v = tensors("normal", 0, 256, 2048)
    mask = masks("causal", 256, 2048)
    out, _ = dynamic.attention(q, k, v, mask, 0.25, Level("fast", 1.0))
    assert_close("output", out, attention(q, k, v, mask, scaling=0.25), 1e-5)
    stats = check(q, k, v, mask, Level("fast", 0.25))
    assert 0.25 <= stats.kept_share < 0.55  # sinks, window and the last queries come on top of small budgets


# --- the GPU's planner and kernels ---


@TRITON
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("queries", [1, 40])
@pytest.mark.parametrize("level", ["certified:1e-2", "fast:0.3"])
def test_a_gpu_keeps_to_its_bounds(case, queries, level):
    q, k, v = tensors(case, 1, queries, 333, heads=(2, 1))
    check(q, k, v, masks("causal", queries, 333), Level.parse(level), attend=on_gpu)


@TRITON
@pytest.mark.parametrize("level", ["exact", "certified:0.5", "fast:0.2"])
@pytest.mark.parametrize("queries", [1, 20])
def test_a_gpu_with_a_mask_for_each_head_and_sequence(level, queries):
    q, k, v = (torch.cat([x, x.flip(2)]) for x in tensors("clusters", 4, queries, 300))
    kinds_of = [masks(name, queries, 300) for name in ("causal", "document", "document", "causal")]
    bounds = [torch.cat([mask.bounds[i] for mask in kinds_of]).view(2, 2, 300) for i in range(4)]
    check(q, k, v, ColumnMask.given(*bounds, queries), Level.parse(level), attend=on_gpu)
    check(q, k, v, None, Level.parse(level), attend=on_gpu)


@TRITON
def test_a_gpu_drops_by_bounds_and_by_scores_what_hardly_counts():
    q, k, v = tensors("one needle", 2, 32, 24 * PAGE, heads=(2, 1))
    mask = masks("causal", 32, 24 * PAGE)
    stats = check(q, k, v, mask, Level("certified", 0.1), attend=on_gpu)
    assert stats.saved > 0.2 and stats.scored == 0  # by bounds, without a score
    q, k, v = tensors("clusters", 2, 32, 24 * PAGE, heads=(2, 1))
    stats = check(q, k, v, mask, Level("certified", 0.1), attend=on_gpu)
    assert stats.scored > 0


@TRITON
@pytest.mark.parametrize("case", ["flat rows", "equal scores", "normal"])
def test_a_gpu_keeps_to_its_budget_where_all_tiles_are_alike(case):
    """16 rows a tile: of 10 tiles that the last block but one sees, 4 are always computed, so a budget of 0.6 adds 2."""
    q, k, v = tensors(case, 0, 32, 10 * PAGE, heads=(1, 1))
    stats = check(q, k, v, None, Level("fast", 0.6), attend=on_gpu)
    always = sum(1 for page in range(10) if page < 1 or page * PAGE + PAGE > 608 - dynamic.WINDOW and page * PAGE < 624)
    assert stats.kept == 10 + max(always, 6)  # the last block is computed whole


@TRITON
def test_a_gpu_never_drops_infinite_keys():
    q, k, v = tensors("clusters", 0, 24, 512, heads=(2, 1))
    k[0, 0, 130, 3] = math.inf
    mask, stats = masks("causal", 24, 512), dynamic.Stats()
    out, _ = on_gpu(q, k, v, mask, 0.25, Level("certified", 1e-3), stats=stats)
    want = attention(q, k, v, mask, scaling=0.25, backend="reference")
    assert torch.equal(out.isfinite(), want.isfinite())


@TRITON
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_gpu_in_half_precision(dtype):
    q, k, v = (x.to(dtype) for x in tensors("clusters", 1, 40, 400, heads=(2, 1)))
    mask, stats = masks("causal", 40, 400), dynamic.Stats()
    out, lse = on_gpu(q, k, v, mask, 0.25, Level("certified", 1e-2), stats=stats)
    assert out.dtype == dtype and lse.dtype == torch.float32 and stats.worst <= 1e-2
    want = attention(q.float(), k.float(), v.float(), mask, scaling=0.25, backend="reference")
    assert ((out.float() - want).norm(dim=-1) <= (2e-2 + 2e-2) * v.float().norm(dim=-1).max()).all()


def test_the_lightest_go_as_long_as_the_budget_lasts():
    from omnie.ops.flashmask.gpu.dynamic import drop, heaviest

    torch.manual_seed(0)
    weight = 3 * torch.randn(5, 40)
    chosen = torch.rand(5, 40) < 0.8
    light = drop(weight, chosen, 0.5)
    share = weight.exp().masked_fill(~light, 0.0).sum(1)
    assert (share <= 0.5).all() and not (light & ~chosen).any()
    next_one = weight.masked_fill(light | ~chosen, torch.inf).amin(1)
    assert (share + (next_one + 0.01).exp() > 0.5).all()  # the next one would have been too much
    assert heaviest(torch.zeros(2, 7), torch.ones(2, 7, dtype=torch.bool), 3).sum(1).tolist() == [3, 3]
    assert not heaviest(torch.zeros(1, 7), torch.ones(1, 7, dtype=torch.bool), torch.tensor([[-2]])).any()


def one_key_counts(keys: int = 40 * PAGE):
    """A decode step whose query fits one key among many that are as long as it: no summary of its page shows it."""
    q, k, v = tensors("normal", 6, 1, keys, heads=(2, 1), size=64)
    k[0, 0, 1000] = 2 * q[0, 0, 0] + 2 * q[0, 1, 0]
    return q, k, v


@pytest.mark.parametrize("attend", [dynamic.attention, pytest.param(on_gpu, marks=TRITON)], ids=["cpu", "gpu"])
def test_a_fast_step_reads_the_page_that_weighs_most(attend):
    q, k, v = one_key_counts()
    stats = check(q, k, v, masks("causal", 1, k.shape[2]), Level("fast", 0.1), 1.0, attend)
    assert stats.kept == 4 and stats.scored == 36 and stats.worst < 1e-6
    assert stats.saved == pytest.approx(0.45)


BAD = [
    "certified:0",
    "certified:1",
    "certified:-1",
    "certified:x",
    "certified:nan",
    "fast:0",
    "fast:1.5",
    "exact:1",
    "quick",
    "",
]


@pytest.mark.parametrize("text", BAD)
def test_levels_out_of_range_are_refused(text):
    with pytest.raises(OptionError, match="allowed"):
        Level.parse(text)


def test_levels_read_as_they_are_written():
    texts = ["exact", "certified:0.001", "fast:0.25"]
    assert [str(Level.parse(text)) for text in texts] == texts
    assert Level.parse("exact") == EXACT and Level.parse("certified") == Level("certified", 1e-3)
