"""The meaning of attention: softmax(q k^T * scaling + mask) v, in plain torch."""

import torch
from torch import Tensor, nn


def attention(
    module: nn.Module | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    is_causal: bool = False,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """Grouped-query attention.

    Args:
        module: The caller; unused here, part of the shared signature.
        query: [B, N, T, H].
        key, value: [B, G, S, H]; N is a multiple of G.
        attention_mask: bool (True: attend) or additive, broadcastable to [B, N, T, S]; None: everything.
        scaling: Factor on the scores.
        is_causal: Query t sees keys 0 .. S-T+t (only without a mask).

    Returns:
        [B, T, N, H] and the weights [B, N, T, S]. A row that may attend to nothing gives zeros.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = (query @ key.transpose(-1, -2)).float() * scaling
    if attention_mask is None and is_causal:
        queries, keys = scores.shape[-2:]
        attention_mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, -torch.inf)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(dim=-1).nan_to_num(0.0).to(value.dtype)
    return (weights @ value).transpose(1, 2), weights
