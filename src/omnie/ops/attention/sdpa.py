"""Attention through torch's fused kernel (`scaled_dot_product_attention`)."""

from torch import Tensor, nn
from torch.nn import functional as F


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
) -> tuple[Tensor, None]:
    """See `reference.attention`; the weights are not formed."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        # torch's own grouped-query switch leaves the fused kernel when there is a mask, so the heads are repeated here.
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    causal = is_causal and attention_mask is None and query.shape[2] > 1
    if causal and query.shape[2] != key.shape[2]:
        raise AssertionError("a causal call with cached keys needs a mask: torch aligns its own to the upper left")
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, is_causal=causal, scale=scaling)
    return output.transpose(1, 2), None
