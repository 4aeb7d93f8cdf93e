"""Small random checkpoints in the published format, written by Transformers' own classes, and both sides' logits."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Ernie4_5_MoeConfig, Ernie4_5Config, PreTrainedModel

from omnie.model.omni import Omni

VOCABULARY = 96
_BOTH = {
    "vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
_DENSE = _BOTH | {"head_dim": 16}
_EXPERTS = _BOTH | {"moe_num_experts": 6, "moe_intermediate_size": 16, "moe_k": 2}
_GIANT = {"moe_num_shared_experts": 0, "moe_layer_start_index": 2, "moe_k": 3, "tie_word_embeddings": False}
_GAPS = {"num_hidden_layers": 5, "moe_layer_interval": 2, "moe_layer_end_index": 3}
CASES: dict[str, tuple[type, dict[str, Any]]] = {
    "dense": (Ernie4_5Config, _DENSE),
    "dense-biases-untied": (Ernie4_5Config, _DENSE | {"use_bias": True, "tie_word_embeddings": False}),
    "dense-other-numbers": (Ernie4_5Config, _DENSE | {"num_key_value_heads": 4, "rms_norm_eps": 1e-2, "rope_parameters": {
        "rope_type": "default", "rope_theta": 10_000.0}}),
    "experts": (Ernie4_5_MoeConfig, _EXPERTS),
    "experts-biases": (Ernie4_5_MoeConfig, _EXPERTS | {"use_bias": True}),
    "experts-untied-none-shared": (Ernie4_5_MoeConfig, _EXPERTS | _GIANT),
    "experts-in-some-layers": (Ernie4_5_MoeConfig, _EXPERTS | _GAPS),
    "experts-nowhere": (Ernie4_5_MoeConfig, _EXPERTS | {"moe_layer_start_index": 9}),
    "experts-with-least-norm": (Ernie4_5_MoeConfig, _EXPERTS | {"moe_norm_min": 0.6}),
}  # fmt: skip
"""Name -> config class, and how it differs from the published 0.3B or 21B."""


LARGE, USUAL = 0.2, 0.02
"""Scales of weights. Large: every weight shows in the logits. Usual: `initializer_range` of the published models."""


def write(name: str, folder: Path, std: float = LARGE, **options: Any) -> Path:
    """A case's folder, whose matrices have the given scale."""
    kind, values = CASES[name]
    torch.manual_seed(sum(map(ord, name)))
    model = draw(AutoModelForCausalLM.from_config(kind(**values)), std)
    model.save_pretrained(folder, **options)
    return folder


@torch.no_grad()
def draw(model: PreTrainedModel, std: float) -> PreTrainedModel:
    """Fresh random weights: norms around 1, biases (the routers' too) half as large as the matrices."""
    for key, parameter in model.named_parameters():
        if parameter.dim() == 1 and not key.endswith("bias"):
            parameter.uniform_(1 - 2.5 * std, 1 + 2.5 * std)
        else:
            parameter.normal_(std=std if parameter.dim() > 1 and "correction" not in key else std / 2)
    return model.eval()


def theirs(folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The model of a folder in Transformers' own classes."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def tokens(batch: int = 2, length: int = 21) -> Tensor:
    """Random ids [B, T]."""
    return torch.randint(0, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(7))


def places(ids: Tensor, start: int = 0) -> Tensor:
    """Positions [B, T] from `start` on."""
    return torch.arange(start, start + ids.shape[1]).expand_as(ids)


@torch.inference_mode()
def their_logits(model: PreTrainedModel, ids: Tensor, where: Tensor, mask: Tensor | None = None) -> Tensor:
    return model(ids, position_ids=where, attention_mask=mask, use_cache=False).logits.float()


@torch.inference_mode()
def our_logits(model: Omni, ids: Tensor, where: Tensor, mask: Tensor | None = None, **kwargs: Any) -> Tensor:
    return model(ids, where[..., None].expand(*where.shape, 3), attention_mask=mask, **kwargs).logits.float()
