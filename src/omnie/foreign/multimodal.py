"""`config.json` of ERNIE 4.5's models for text, images and video (`ernie4_5_vl_moe`) in our terms, and back.

The same models were first published with another config.json (`ernie4_5_moe_vl`): `of_original` makes the newer one of it.
"""

from __future__ import annotations

from typing import Any

from omnie.errors import CheckpointError
from omnie.foreign.text import FIELDS as TEXT_FIELDS
from omnie.foreign.values import check_fixed, count, head_dim, rope_theta, section
from omnie.model.config import Architecture

MULTIMODAL, ORIGINAL = "ernie4_5_vl_moe", "ernie4_5_moe_vl"
CLASS = "Ernie4_5_VLMoeForConditionalGeneration"

TEXT_DEFAULTS: dict[str, Any] = {
    "vocab_size": 103_424,
    "hidden_size": 2560,
    "intermediate_size": 12_288,
    "num_hidden_layers": 28,
    "num_attention_heads": 20,
    "num_key_value_heads": 4,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 131_072,
    "rope_theta": 500_000.0,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "use_bias": False,
    "tie_word_embeddings": True,
    "moe_intermediate_size": [1536, 512],
    "moe_k": 6,
    "moe_num_experts": 64,
    "moe_num_shared_experts": 2,
    "moe_norm_min": 1e-12,
    "mlp_layer_types": None,
}
VISION_DEFAULTS: dict[str, Any] = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_heads": 16,
    "patch_size": 14,
    "rms_norm_eps": 1e-6,
    "hidden_act": "quick_gelu",
    "in_channels": 3,
    "spatial_merge_size": 2,
    "temporal_merge_size": 2,
}
VISION_FIELDS = {
    "depth": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_heads": "num_attention_heads",
    "patch_size": "patch_size",
    "rms_norm_eps": "norm_eps",
}
"""Published key -> field of our vision architecture."""
VISION_FIXED = {"hidden_act": "quick_gelu", "in_channels": 3, "spatial_merge_size": 2, "temporal_merge_size": 2}
PLACEHOLDERS = {
    "image": 100_295,
    "image_start": 101_304,
    "image_end": 101_305,
    "video": 103_367,
    "video_start": 101_306,
    "video_end": 101_307,
}
"""Our name of a token -> its id where `NAME_token_id` is left out."""
SECTIONS = [22, 22, 20]
DENSE, SPARSE = "dense", "sparse"


def architecture(fields: dict[str, Any]) -> Architecture:
    """The architecture of a published config.json; checked.

    Raises:
        CheckpointError: a setting is absurd, or asks for something that the model does not do.
    """
    given, vision = section(fields, "text_config"), section(fields, "vision_config")
    text = TEXT_DEFAULTS | {key: given[key] for key in TEXT_DEFAULTS if key in given}
    check_fixed(text, {"hidden_act": "silu"})
    if text["num_key_value_heads"] is None:
        text["num_key_value_heads"] = text["num_attention_heads"]
    text |= {"rope_theta": rope_theta(given, text["rope_theta"]), "head_dim": head_dim(text)}
    text["tie_word_embeddings"] = fields.get("tie_word_embeddings", text["tie_word_embeddings"])
    layers = _layer_types(text)
    sparse = {layer for layer, kind in enumerate(layers) if kind == SPARSE}
    first = min(sparse, default=len(layers))
    widths = _widths(text)
    result = Architecture(
        **{ours: text[key] for key, ours in TEXT_FIELDS.items()},
        rope_sections=(given.get("rope_parameters") or {}).get("mrope_section", SECTIONS),
        num_dense_layers=first,
        dense_layers=[layer for layer in range(first, len(layers)) if layer not in sparse],
        expert_groups={
            name: {"experts": text["moe_num_experts"], "width": width, "top_k": text["moe_k"]}
            for name, width in zip(("text", "vision"), widths)
        },
        shared_expert_width=count(text, "moe_num_shared_experts", least=0) * widths[0],
        router_norm_min=text["moe_norm_min"],
        vision=_vision(vision, text["rms_norm_eps"]),
        audio=None,
        placeholders={name: fields.get(f"{name}_token_id", token) for name, token in PLACEHOLDERS.items()},
    )
    result.check()
    return result


def _layer_types(text: dict[str, Any]) -> list[str]:
    """What each layer is; left out, only the first one is dense."""
    layers, types = count(text, "num_hidden_layers"), text["mlp_layer_types"]
    if types is None:
        return [DENSE] + [SPARSE] * (min(layers, 2**20) - 1)
    if not isinstance(types, list) or len(types) != layers or not all(kind in (DENSE, SPARSE) for kind in types):
        raise CheckpointError(
            "mlp_layer_types is not usable", value=str(types)[:80], allowed=f"{layers} of {DENSE} and {SPARSE}"
        )
    return types


def _widths(text: dict[str, Any]) -> list[int]:
    """Width of the text and of the vision experts."""
    widths = text["moe_intermediate_size"]
    if not isinstance(widths, list) or len(widths) != 2 or not all(type(width) is int and width > 0 for width in widths):
        raise CheckpointError("moe_intermediate_size is not usable", value=str(widths)[:80], allowed="[text, vision] widths")
    return widths


def _vision(given: dict[str, Any], output_norm_eps: Any) -> dict[str, Any]:
    values = VISION_DEFAULTS | {key: given[key] for key in VISION_DEFAULTS if key in given}
    check_fixed(values, VISION_FIXED)
    theta = rope_theta(given, 10_000.0, kind="axial")
    ours = {ours: values[key] for key, ours in VISION_FIELDS.items()}
    return {"kind": "ernie4_5", **ours, "rope_theta": theta, "output_norm_eps": output_norm_eps}


def published(config: Architecture) -> dict[str, Any]:
    """The published config.json of an architecture; that it says all of it is for the caller to check."""
    vision = config.vision_architecture
    group = config.expert_groups["text"]
    text: dict[str, Any] = {"model_type": f"{MULTIMODAL}_text"}
    text |= {key: getattr(config, ours) for key, ours in TEXT_FIELDS.items()}
    theta = text.pop("rope_theta")
    text |= {
        "hidden_act": "silu",
        "rope_parameters": {"rope_type": "default", "rope_theta": theta, "mrope_section": config.rope_sections},
        "moe_intermediate_size": [config.expert_groups[name]["width"] for name in ("text", "vision")],
        "moe_k": group["top_k"],
        "moe_num_experts": group["experts"],
        "moe_num_shared_experts": config.shared_expert_width // group["width"],
        "moe_norm_min": config.router_norm_min,
        "mlp_layer_types": [DENSE if config.is_dense(layer) else SPARSE for layer in range(config.num_hidden_layers)],
    }
    axial = {"rope_type": "axial", "rope_theta": vision.rope_theta}
    return {
        "architectures": [CLASS],
        "model_type": MULTIMODAL,
        "tie_word_embeddings": config.tie_word_embeddings,
        "text_config": text,
        "vision_config": {
            "model_type": f"{MULTIMODAL}_vision",
            **{key: getattr(vision, ours) for key, ours in VISION_FIELDS.items()},
            **VISION_FIXED,
            "rope_parameters": axial,
        },
        **{f"{name}_token_id": token for name, token in (config.placeholders or PLACEHOLDERS).items()},
    }


def of_original(fields: dict[str, Any]) -> dict[str, Any]:
    """The newer config.json of a first-published one: what it states, in the newer places.

    Raises:
        CheckpointError: its lists are not those of a model with text and vision experts.
    """
    old, vision = fields, dict(section(fields, "vision_config"))
    numbers = old.get("moe_num_experts", [64, 64])
    if not isinstance(numbers, list) or len(numbers) != 2 or numbers[0] != numbers[1]:
        raise CheckpointError(
            "moe_num_experts is not usable", value=str(numbers)[:80], allowed="as many for text as for vision"
        )
    keys = [key for key in TEXT_DEFAULTS if old.get(key) is not None and key not in ("moe_num_experts", "mlp_layer_types")]
    text = {key: old[key] for key in keys} | {"moe_num_experts": numbers[0], "mlp_layer_types": _original_layers(old)}
    text["moe_num_shared_experts"] = old.get("moe_num_shared_experts") or 0
    spatial = (head_dim(TEXT_DEFAULTS | text) // 2 - count({"freq_allocation": 20, **old}, "freq_allocation")) // 2
    text["rope_parameters"] = {
        "rope_theta": old.get("rope_theta", TEXT_DEFAULTS["rope_theta"]),
        "mrope_section": [spatial, spatial, old.get("freq_allocation", 20)],
    }
    ratio = vision.pop("mlp_ratio", 4)
    hidden = count(VISION_DEFAULTS | vision, "hidden_size")
    vision = {key: vision[key] for key in VISION_DEFAULTS if key in vision and key != "intermediate_size"}
    vision |= {"intermediate_size": int(hidden * ratio)}
    ids = {key: old[key] for key in (f"{name}_token_id" for name in PLACEHOLDERS) if key in old}
    ids |= {"image_token_id": old["im_patch_id"]} if "im_patch_id" in old else {}
    tied = old.get("tie_word_embeddings")
    return {
        "text_config": text, "vision_config": vision, "tie_word_embeddings": True if tied is None else tied, **ids,
    }  # fmt: skip


def _original_layers(old: dict[str, Any]) -> list[str] | None:
    """`mlp_layer_types` from the older indices: one number, or one a modality."""
    layers, interval = (
        count(TEXT_DEFAULTS | old, "num_hidden_layers"),
        count({"moe_layer_interval": 1} | old, "moe_layer_interval"),
    )
    if layers > 2**20:
        raise CheckpointError("num_hidden_layers is not usable", value=layers, allowed=f"at most {2**20}")
    first, last = (_numbers(old, f"moe_layer_{end}_index", default) for end, default in (("start", 1), ("end", layers - 1)))
    ends = [layers - 1 if end == -1 else end for end in last]
    inside = range(min(first), max(ends) + 1)
    return [SPARSE if layer in inside and (layer + 1) % interval == 0 else DENSE for layer in range(layers)]


def _numbers(old: dict[str, Any], key: str, default: int) -> list[int]:
    value = old.get(key, default)
    values = value if isinstance(value, list) else [value]
    if not values or not all(type(number) is int for number in values):
        raise CheckpointError(f"{key} is not usable", value=str(value)[:80], allowed="a whole number, or a list of them")
    return values
