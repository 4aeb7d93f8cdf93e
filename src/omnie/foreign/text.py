"""`config.json` of ERNIE 4.5's text models (`ernie4_5`: dense, `ernie4_5_moe`: with experts) in our terms, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omnie.foreign.values import check_fixed, count, head_dim, rope_theta
from omnie.model.config import Architecture

DENSE, EXPERTS = "ernie4_5", "ernie4_5_moe"
CLASSES = {DENSE: "Ernie4_5ForCausalLM", EXPERTS: "Ernie4_5_MoeForCausalLM"}

FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "intermediate_size": "intermediate_size",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "max_position_embeddings": "max_position_embeddings",
    "rope_theta": "rope_theta",
    "rms_norm_eps": "norm_eps",
    "initializer_range": "initializer_range",
    "use_bias": "use_bias",
    "tie_word_embeddings": "tie_word_embeddings",
}
"""Published key -> our field."""
EXPERT_FIELDS = {"moe_num_experts": "experts", "moe_intermediate_size": "width", "moe_k": "top_k"}
"""Published key -> field of the text group."""
_COMMON: dict[str, Any] = {
    "vocab_size": 103_424,
    "hidden_act": "silu",
    "max_position_embeddings": 131_072,
    "rope_theta": 500_000.0,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "use_bias": False,
    "tie_word_embeddings": True,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    DENSE: _COMMON
    | {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 18,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 128,
    },
    EXPERTS: _COMMON
    | {
        "hidden_size": 2560,
        "intermediate_size": 12_288,
        "num_hidden_layers": 28,
        "num_attention_heads": 20,
        "num_key_value_heads": 4,
        "head_dim": None,
        "moe_intermediate_size": 1536,
        "moe_k": 6,
        "moe_num_experts": 64,
        "moe_num_shared_experts": 2,
        "moe_layer_start_index": 1,
        "moe_layer_end_index": -1,
        "moe_layer_interval": 1,
        "moe_norm_min": 1e-12,
    },
}
"""What a key means that a published config.json leaves out: Transformers writes only what differs."""


def architecture(fields: dict[str, Any]) -> Architecture:
    """The architecture of a published config.json, whose `model_type` is one of `DEFAULTS`; checked.

    Raises:
        CheckpointError: a setting is absurd, or asks for something that the model does not do.
    """
    kind = fields["model_type"]
    values = DEFAULTS[kind] | {key: fields[key] for key in DEFAULTS[kind] if key in fields}
    check_fixed(values, {"hidden_act": "silu"})
    if values["num_key_value_heads"] is None:
        values["num_key_value_heads"] = values["num_attention_heads"]
    values |= {"rope_theta": rope_theta(fields, values["rope_theta"]), "head_dim": head_dim(values)}
    result = Architecture(
        **{ours: values[key] for key, ours in FIELDS.items()},
        rope_sections=sections(count(values, "head_dim")),
        num_dense_layers=count(values, "num_hidden_layers"),
        expert_groups={},
        shared_expert_width=0,
        vision=None,
        audio=None,
    )
    result.check()
    return result if kind == DENSE else _with_experts(result, values)


def sections(head_dim: int) -> list[int]:
    """Rotary sections in ERNIE 4.5's proportions, 22 : 22 : 20. Text has equal positions on all axes, whatever they are."""
    pairs = head_dim // 2
    spatial = pairs * 22 // 64
    return [spatial, spatial, pairs - 2 * spatial]


def published(config: Architecture) -> dict[str, Any]:
    """The published config.json of an architecture; that it says all of it is for the caller to check."""
    kind = EXPERTS if config.expert_groups else DENSE
    values: dict[str, Any] = {"architectures": [CLASSES[kind]], "model_type": kind}
    values |= {key: getattr(config, ours) for key, ours in FIELDS.items()}
    values |= {"hidden_act": "silu", "rope_parameters": {"rope_type": "default", "rope_theta": values.pop("rope_theta")}}
    if kind == EXPERTS:
        group = config.expert_groups["text"]
        sparse = [layer for layer in range(config.num_hidden_layers) if not config.is_dense(layer)]
        step = sparse[1] - sparse[0] if len(sparse) > 1 else 1
        values |= {key: group[ours] for key, ours in EXPERT_FIELDS.items()}
        values |= {
            "moe_num_shared_experts": config.shared_expert_width // group["width"],
            "moe_layer_start_index": sparse[0] if sparse else config.num_hidden_layers,
            "moe_layer_end_index": sparse[-1] if sparse else config.num_hidden_layers,
            "moe_layer_interval": step,
            "moe_norm_min": config.router_norm_min,
        }
    return values


def _with_experts(dense: Architecture, values: dict[str, Any]) -> Architecture:
    """The architecture with experts in those layers that the published indices choose."""
    layers = dense.num_hidden_layers
    start, interval = count(values, "moe_layer_start_index", least=0), count(values, "moe_layer_interval")
    end = count(values, "moe_layer_end_index", least=-1)
    last = layers - 1 if end == -1 else end
    sparse = {layer for layer in range(start, min(last + 1, layers)) if (layer + 1) % interval == 0}
    first = min(sparse, default=layers)
    shared = count(values, "moe_num_shared_experts", least=0) * count(values, "moe_intermediate_size")
    return replace(
        dense,
        num_dense_layers=first,
        dense_layers=[layer for layer in range(first, layers) if layer not in sparse],
        expert_groups={"text": {ours: values[key] for key, ours in EXPERT_FIELDS.items()}},
        shared_expert_width=shared,
        router_norm_min=values["moe_norm_min"],
        head_bias=values["use_bias"],
    )
