"""Published model folders in our terms, as tables: which of their settings is which of ours, which tensors make up one of ours.

Nothing is read or written here (`checkpoint.py` does that). Known are ERNIE 4.5's text models in Transformers 5.19's format
(`models/ernie4_5`, `models/ernie4_5_moe`): dense, and with experts that are stored one by one. Both directions use the same
tables, so what is exported is what is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omnie.errors import CheckpointError, OptionError
from omnie.model.config import Architecture, Translate

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

ROUTER_BIAS = ".mlp.moe_statics.e_score_correction_bias"
"""Stored as one row, [1, E]."""
NAMES = {
    "model.language_model.": "model.",
    ".mlp.groups.text.gate.weight": ".mlp.gate.weight",
    ".mlp.groups.text.gate.bias": ROUTER_BIAS,
}
"""Piece of our tensors' names -> of theirs; what is not listed is called the same."""
FUSED = {
    ".mlp.groups.text.experts.gate_up_proj": (".mlp.experts.{}.gate_proj.weight", ".mlp.experts.{}.up_proj.weight"),
    ".mlp.groups.text.experts.down_proj": (".mlp.experts.{}.down_proj.weight",),
}
"""Our tensor [E, rows, columns] -> theirs, one after the other along the rows of each expert."""
EXTRA = ("model.mtp", "mtp")
"""Heads that predict several tokens at once stand beside some published models; Transformers leaves them out too."""


@dataclass(frozen=True)
class Part:
    """A stored tensor: its name and shape, and the place in our tensor that it fills (empty: all of it)."""

    name: str
    shape: list[int]
    index: tuple[int | slice, ...] = ()


def parts(name: str, shape: Sequence[int]) -> Iterator[Part]:
    """The published tensors that make up one of ours; one by one, for a damaged config may ask for very many."""
    theirs = name
    for ours, published in NAMES.items():
        theirs = theirs.replace(ours, published)
    fused = next((ours for ours in FUSED if theirs.endswith(ours)), None)
    if fused is None:
        yield Part(theirs, [1, *shape] if theirs.endswith(ROUTER_BIAS) else list(shape))
        return
    experts, rows, columns = shape[0], shape[1] // len(FUSED[fused]), shape[2]
    for expert in range(experts):
        for number, published in enumerate(FUSED[fused]):
            place = (expert, slice(number * rows, (number + 1) * rows))
            yield Part(theirs.replace(fused, published.format(expert)), [rows, columns], place)


def architecture(fields: dict[str, Any]) -> Architecture:
    """The architecture of a published config.json, whose `model_type` is one of `READERS`; checked.

    Raises:
        CheckpointError: a setting is absurd, or asks for something that the model does not do.
    """
    kind = fields["model_type"]
    values = (
        DEFAULTS[kind] | {key: fields[key] for key in DEFAULTS[kind] if key in fields} | {"rope_theta": _rope_theta(fields)}
    )
    if values["hidden_act"] != "silu":
        raise CheckpointError("hidden_act is not supported", value=values["hidden_act"], allowed="silu")
    if values["num_key_value_heads"] is None:
        values["num_key_value_heads"] = values["num_attention_heads"]
    heads = _count(values, "num_attention_heads")
    if values["head_dim"] is None:
        values["head_dim"] = _count(values, "hidden_size") // heads
    result = Architecture(
        **{ours: values[key] for key, ours in FIELDS.items()},
        rope_sections=sections(_count(values, "head_dim")),
        num_dense_layers=_count(values, "num_hidden_layers"),
        expert_groups={},
        shared_expert_width=0,
        vision=None,
        audio=None,
    )
    result.check()
    return result if kind == DENSE else _with_experts(result, values)


READERS: dict[str, Translate] = dict.fromkeys(DEFAULTS, architecture)
"""Published `model_type` -> what makes an architecture of its config.json."""


def sections(head_dim: int) -> list[int]:
    """Rotary sections in ERNIE 4.5's proportions, 22 : 22 : 20. Text has equal positions on all axes, whatever they are."""
    pairs = head_dim // 2
    spatial = pairs * 22 // 64
    return [spatial, spatial, pairs - 2 * spatial]


def published(config: Architecture) -> dict[str, Any]:
    """The published config.json of an architecture.

    Raises:
        OptionError: the architecture has something that the published format cannot say.
    """
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
    again = replace(architecture(values), rope_sections=config.rope_sections)
    for name in vars(again):
        if getattr(again, name) != getattr(config, name):
            raise OptionError(
                f"{name} has no counterpart in the {kind} format",
                value=getattr(config, name),
                allowed=f"{getattr(again, name)}",
            )
    return values


def _with_experts(dense: Architecture, values: dict[str, Any]) -> Architecture:
    """The architecture with experts in those layers that the published indices choose."""
    layers = dense.num_hidden_layers
    start, interval = _count(values, "moe_layer_start_index", least=0), _count(values, "moe_layer_interval")
    end = _count(values, "moe_layer_end_index", least=-1)
    last = layers - 1 if end == -1 else end
    sparse = {layer for layer in range(start, min(last + 1, layers)) if (layer + 1) % interval == 0}
    first = min(sparse, default=layers)
    shared = _count(values, "moe_num_shared_experts", least=0) * _count(values, "moe_intermediate_size")
    return replace(
        dense,
        num_dense_layers=first,
        dense_layers=[layer for layer in range(first, layers) if layer not in sparse],
        expert_groups={"text": {ours: values[key] for key, ours in EXPERT_FIELDS.items()}},
        shared_expert_width=shared,
        router_norm_min=values["moe_norm_min"],
        head_bias=values["use_bias"],
    )


def _rope_theta(fields: dict[str, Any]) -> Any:
    """The base of the rotary angles, from newer or older places; scaled ones are refused."""
    parameters = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    if not isinstance(parameters, dict) or parameters.get("rope_type", parameters.get("type", "default")) != "default":
        raise CheckpointError("the rotary embedding is of an unknown kind", value=parameters, allowed="rope_type default")
    return parameters.get("rope_theta", fields.get("rope_theta", _COMMON["rope_theta"]))


def _count(values: dict[str, Any], key: str, least: int = 1) -> int:
    """A whole number that is about to be computed with; how large it may be is checked by `Architecture.check`."""
    value = values[key]
    if type(value) is not int or value < least:
        raise CheckpointError(f"{key} is not usable", value=str(value)[:80], allowed=f"a whole number, {least} or more")
    return value
