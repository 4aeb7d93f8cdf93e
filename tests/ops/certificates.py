"""What dynamic attention promises, as a check; and the queries and keys that try to break it."""

import contextlib
import importlib.util

import pytest
import torch

from omnie.ops.flashmask import ColumnMask, attention, cpu, dynamic, kinds
from omnie.ops.flashmask.pages import PAGE, KeyPages
from omnie.ops.levels import Level

ROUNDING = 2e-5
"""What float32 may add to a dropped mass: log-sum-exps of a few hundred keys differ in the last digits."""


@contextlib.contextmanager
def small_tiles():
    """So few rows a tile, and so little that is always kept, that a few hundred keys give many decisions."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ROWS": 64, "LEAST": 16, "WINDOW": 40, "TAIL": 8, "FIRST": 2, "CHUNK": 2}.items():
            patch.setattr(dynamic, name, value)
        if importlib.util.find_spec("triton"):
            patch.setattr("omnie.ops.flashmask.gpu.dynamic.LEAD", 1)
        for name, value in {"ROWS": 64, "TALL": 64, "LEAST": 16, "SHORT": 128}.items():
            patch.setattr(cpu, name, value)
        yield


def heavy_tails(q, k):
    return q * torch.randn(q.shape[:-1] + (1,)).exp(), k * (1.5 * torch.randn(k.shape[:-1] + (1,))).exp()


def one_needle(q, k):
    """All queries look for one key that stands alone among opposite ones."""
    direction = torch.nn.functional.normalize(torch.randn(k.shape[-1]), dim=0)
    k = 0.1 * k - 3 * direction
    k[:, :, k.shape[2] // 3] = 30 * direction
    return q * 0.1 + 3 * direction, k


def clusters(q, k):
    """Pages that point in directions of their own, and queries that follow one of them."""
    pages = torch.randn(-(-k.shape[2] // PAGE), k.shape[-1])
    k = 0.2 * k + 3 * pages.repeat_interleave(PAGE, 0)[: k.shape[2]]
    return 3 * pages[torch.randint(0, len(pages), q.shape[:3])] + 0.2 * q, k


def far_topic(q, k):
    """Queries follow the first page, whose scores lie hundreds above those of the pages that are always computed."""
    pages = torch.randn(-(-k.shape[2] // PAGE), k.shape[-1])
    k = 0.2 * k + 5 * pages.repeat_interleave(PAGE, 0)[: k.shape[2]]
    return 8 * pages[min(2, len(pages) - 1)] + 0.2 * q, k


def sparse(q, k):
    """One coordinate counts: the box bound is tight, the ball is not."""
    return q * (torch.arange(q.shape[-1]) == 1) * 8, k * 4


CASES = {
    "normal": lambda q, k: (q, k),
    "sharp": lambda q, k: (6 * q, k),
    "heavy tails": heavy_tails,
    "one needle": one_needle,
    "flat rows": lambda q, k: (q * 0, k),
    "equal scores": lambda q, k: (q, k[:, :, :1].expand_as(k).clone()),
    "clusters": clusters,
    "far topic": far_topic,
    "sparse": sparse,
    "huge": lambda q, k: (1e4 * q, 1e4 * k),
    "tiny": lambda q, k: (1e-20 * q, 1e-20 * k),
}


def tensors(case: str, seed: int, queries: int, keys: int, heads=(4, 2), size=16) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    q, k, v = (torch.randn(1, n, t, size) for n, t in zip((heads[0], heads[1], heads[1]), (queries, keys, keys)))
    return [*CASES[case](q, k), v]


def masks(name: str, queries: int, keys: int) -> ColumnMask | None:
    if name == "none":
        return None
    document = kinds.causal_document([keys // 3, keys - keys // 3]) if name == "document" else kinds.causal(keys)
    return document.rows(keys - queries, keys)


def exact_in_double(q, k, v, mask, scaling):
    """Scores, log-sum-exp and output in float64."""
    q, k, v = (x.double() for x in (q, k, v))
    out, lse = attention(q, k, v, mask, scaling=scaling, backend="reference", return_lse=True)
    return out, lse


def on_gpu(q, k, v, mask, scaling, level, *, stats):
    """The GPU's kernels, in Triton's interpreter."""
    from omnie.ops.flashmask.gpu import dynamic as plan

    with torch.no_grad():
        out, lse = plan.attention(q, k, v, mask, scaling, level, KeyPages.of(k), stats)
    stats.worst = float(stats.bound.max())
    return out, lse


def check(q, k, v, mask, level: Level, scaling: float = 0.25, attend=dynamic.attention) -> dynamic.Stats:
    """The bound of every row holds, for the mass and for the output; certified rows stay within eps."""
    stats = dynamic.Stats()
    out, lse = attend(q, k, v, mask, scaling, level, stats=stats)
    want, want_lse = exact_in_double(q, k, v, mask, scaling)
    blind = want_lse == -torch.inf
    dropped = (1 - (lse.double() - want_lse).exp()).masked_fill(blind, 0.0)
    largest = float(want_lse[~blind].abs().max()) if not blind.all() else 0.0
    slack = ROUNDING + 1e-6 * largest  # float32's last digit of a log-sum-exp
    assert (dropped <= stats.bound + slack).all(), float((dropped - stats.bound).max())
    if level.name == "certified":
        assert stats.worst <= level.value
    longest = v.norm(dim=-1).amax(-1).repeat_interleave(q.shape[1] // v.shape[1], 1)[..., None].double()
    error = (out.double() - want).norm(dim=-1)
    assert (error <= (2 * stats.bound + 4 * slack) * longest + 1e-5).all()
    assert 0 <= stats.kept <= stats.tiles and stats.kept + stats.scored <= stats.tiles
    return stats
