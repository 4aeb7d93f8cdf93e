"""Which published tensors make up one of ours: names, order of rows, and what is stored transposed, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omnie.model.config import Architecture

BIAS = ".mlp.moe_statics.e_score_correction_bias"
"""The routers' biases, one row for each group of experts: [groups, E]."""
GROUPS = ("text", "vision")
"""Expert groups in the order in which their experts and biases are stored."""
NAMES = {
    "model.language_model.": "model.",
    "model.visual.merger.norm.": "model.vision_model.ln.",
    "model.visual.merger.spatial.fc1.": "model.resampler_model.spatial_linear.0.",
    "model.visual.merger.spatial.fc2.": "model.resampler_model.spatial_linear.2.",
    "model.visual.merger.spatial.norm.": "model.resampler_model.spatial_linear.3.",
    "model.visual.merger.temporal.fc1.": "model.resampler_model.temporal_linear.0.",
    "model.visual.merger.temporal.fc2.": "model.resampler_model.temporal_linear.2.",
    "model.visual.merger.temporal.norm.": "model.resampler_model.temporal_linear.3.",
    "model.visual.merger.mlp.": "model.resampler_model.mlp.",
    "model.visual.merger.output_norm.": "model.resampler_model.after_norm.",
    "model.visual.": "model.vision_model.",
    ".attention.": ".attn.",
    ".mlp.groups.text.gate.weight": ".mlp.gate.weight",
    ".mlp.groups.vision.gate.weight": ".mlp.gate.weight_1",
    ".mlp.groups.text.gate.bias": BIAS,
    ".mlp.groups.vision.gate.bias": BIAS,
}
"""Piece of our tensors' names -> of theirs, one after the other; what is not listed is called the same."""
FUSED = {
    ".experts.gate_up_proj": (".mlp.experts.{}.gate_proj.weight", ".mlp.experts.{}.up_proj.weight"),
    ".experts.down_proj": (".mlp.experts.{}.down_proj.weight",),
}
"""End of our tensor's name, [E, rows, columns] -> theirs, one after the other along the rows of each expert."""
OTHER_NAMES = {"vision_model.": "model.vision_model."}
"""How a stored name may begin -> how it does in the tables above."""
EXTRA = ("model.mtp", "mtp")
"""Heads that predict several tokens at once stand beside some published models; Transformers leaves them out too."""

Index = tuple[Any, ...]
"""Indices along a tensor's axes: numbers, slices, or lists of rows."""


@dataclass(frozen=True)
class Part:
    """A stored tensor that makes up ours, or a piece of it: `ours[index] = stored[taken]`.

    Attributes:
        name, shape: Of the whole stored tensor.
        index: The place in our tensor that it fills; empty: all of it.
        taken: What of the stored tensor goes there; empty: all of it.
        turned: It is stored transposed.
    """

    name: str
    shape: list[int]
    index: Index = ()
    taken: Index = ()
    turned: bool = False


def stored_name(name: str) -> str:
    """A stored tensor's name as the tables have it."""
    for other, usual in OTHER_NAMES.items():
        if name.startswith(other):
            return usual + name.removeprefix(other)
    return name


def parts(name: str, shape: Sequence[int], config: Architecture) -> Iterator[Part]:
    """The published tensors that make up one of ours; one by one, for a damaged config may ask for very many."""
    group = next((group for group in GROUPS if f".mlp.groups.{group}." in name), None)
    fused = next((end for end in FUSED if name.endswith(end)), None)
    if group and fused:
        yield from _experts(name.split(".mlp.")[0], shape, _first_expert(config, group), FUSED[fused])
        return
    theirs = name
    for ours, published in NAMES.items():
        theirs = theirs.replace(ours, published)
    if theirs.endswith(BIAS):
        yield Part(theirs, [len(config.expert_groups), *shape], taken=(GROUPS.index(group or "text"),))
    elif group and config.vision is not None:  # a router: the models with vision store it transposed
        yield Part(theirs, [*shape][::-1], turned=True)
    elif ".attn.qkv." in theirs:
        yield Part(theirs, list(shape), index=(neighbours(shape[0] // 3, config.vision_architecture.num_attention_heads),))
    else:
        yield Part(theirs, list(shape))


def _experts(layer: str, shape: Sequence[int], first: int, names: tuple[str, ...]) -> Iterator[Part]:
    """The matrices of each expert, whose numbers count on from `first`."""
    layer = layer.replace("model.language_model.", "model.")
    experts, rows, columns = shape[0], shape[1] // len(names), shape[2]
    for expert in range(experts):
        for number, name in enumerate(names):
            place = (expert, slice(number * rows, (number + 1) * rows))
            yield Part(f"{layer}{name.format(first + expert)}", [rows, columns], place)


def _first_expert(config: Architecture, group: str) -> int:
    earlier = GROUPS[: GROUPS.index(group)]
    return sum(config.expert_groups[name]["experts"] for name in earlier)


def neighbours(hidden: int, heads: int) -> list[int]:
    """Row of ours for each stored row of queries, keys and values.

    Theirs turns channel i of a head together with channel i + half of the head, ours turns neighbours: so the rows of queries
    and keys are put side by side, which changes no product of the two.
    """
    size = hidden // heads
    head = [2 * i for i in range(size // 2)] + [2 * i + 1 for i in range(size // 2)]
    turned = [head_number * size + row for head_number in range(2 * heads) for row in head]
    return turned + list(range(2 * hidden, 3 * hidden))
