"""FlashMask as "flashmask" in Transformers' attention interface, for our model and for Transformers' own classes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, Cache, modeling_utils

from omnie.errors import OptionError
from omnie.model.hub.config import OmnieConfig
from omnie.model.masks import decoder_mask, packed_mask
from omnie.ops.flashmask import ColumnMask
from omnie.ops.flashmask.interface import attention, mask_of

NAME = "flashmask"


def register() -> None:
    """Makes `attn_implementation="flashmask"` known; may be called any number of times.

    Transformers takes every name with "flash" in it for the FlashAttention package or a kernel from the hub, and wants to
    import that before it looks at what is registered: for this name there is nothing to import. The same belief makes its
    vision encoders pass the lengths of packed pictures (`cu_seq_lens_q`), which `interface.attention` understands.
    """
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask_of)
    if not getattr(modeling_utils.lazy_import_flash_attention, "knows_flashmask", False):
        modeling_utils.lazy_import_flash_attention = _import_unless_ours(modeling_utils.lazy_import_flash_attention)


def _import_unless_ours(load: Callable[..., Any]) -> Callable[..., Any]:
    def lazy_import_flash_attention(implementation: str | None, *args: Any, **kwargs: Any) -> Any:
        return None if implementation == NAME else load(implementation, *args, **kwargs)

    lazy_import_flash_attention.knows_flashmask = True  # type: ignore[attr-defined]
    return lazy_import_flash_attention


def column_masks(
    config: OmnieConfig, x_BTD: Tensor, attention_mask: Any, segment_ids: Tensor | None, cache: Cache | None
) -> dict[bool, ColumnMask | None] | None:
    """What the global (False) and the sliding-window layers (True) see, where a caller gave a column mask or packed rows.

    Returns:
        None: neither, or packed rows for another attention implementation.

    Raises:
        OptionError: a column mask for another implementation, or packed rows with a cache or a mask besides.
    """
    flashmask = config._attn_implementation == NAME
    given = attention_mask if isinstance(attention_mask, ColumnMask) else None
    if given is not None and not flashmask:
        raise OptionError("a column mask needs its own attention", value=config._attn_implementation, allowed=NAME)
    if given is None and (segment_ids is None or not flashmask):
        return None
    if segment_ids is not None and (cache is not None or attention_mask is not None):
        raise OptionError("packed rows take no cache and no attention mask", hint="pass use_cache=False")
    masks: dict[bool, ColumnMask | None] = {False: given}
    if config.sliding_window is not None:
        past = int(cache.get_seq_length()) if cache is not None else 0
        window = decoder_mask(x_BTD.shape[1], past, x_BTD.device, window=config.sliding_window)
        masks[True] = window if given is None else given if window is None else given & window
    return masks if segment_ids is None else {sliding: packed_mask(mask, segment_ids) for sliding, mask in masks.items()}
