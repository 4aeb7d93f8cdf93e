"""The meaning of attention under a column mask, in plain torch: softmax over the keys that a row sees, every score formed."""

import torch
from torch import Tensor

from omnie.ops.flashmask.mask import ColumnMask


def attention(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask | None, scaling: float) -> tuple[Tensor, Tensor]:
    """softmax(q k^T scaling) v over the keys that `mask` does not hide.

    Args:
        q: [B, N, T, H].
        k, v: [B, G, S, H]; query head n reads key-value head n // (N / G).
        mask: None hides nothing.

    Returns:
        [B, N, T, H] in q's dtype, and each row's log-sum-exp [B, N, T] in float32 (float64 for float64). A row that sees no key
        gives zeros, -inf and no gradient.
    """
    repeat = q.shape[1] // k.shape[1]
    wide = torch.promote_types(q.dtype, torch.float32)
    k_N, v_N = (x.to(wide).repeat_interleave(repeat, dim=1) for x in (k, v))
    scores = q.to(wide) @ k_N.transpose(-1, -2) * scaling
    if mask is not None:
        scores = scores.masked_fill(_per_head(mask.hidden(0, mask.queries, 0, mask.keys), q.shape[1]), -torch.inf)
    lse = scores.logsumexp(-1)
    blind = lse == -torch.inf
    weights = (scores.masked_fill(blind[..., None], 0.0) - lse.masked_fill(blind, torch.inf)[..., None]).exp()
    return (weights @ v_N).to(q.dtype), lse.detach()


def _per_head(hidden: Tensor, heads: int) -> Tensor:
    """[B, 1 or G, T, S] repeated to the query heads."""
    return hidden if hidden.shape[1] == 1 else hidden.repeat_interleave(heads // hidden.shape[1], dim=1)
