"""How many bytes a model folder spends on which part of the model, read from the files' headers alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from omnie.ops.int4_linear import PARTS
from omnie.quantise.files import Place

PARTS_OF_MODEL = {
    "embedding and head": ("embed_tokens.", "lm_head.", "reading.spelling"),
    "vision encoder": ("model.visual.", "model.reading.image."),
    "audio encoder": ("model.audio.", "model.reading.audio."),
    "convolutions": ("_convolution.", ".following.places.", "lookahead.convolution"),
    "attention": (".self_attn.",),
    "lookahead": (".lookahead.",),
    "routers": (".gate.",),
    "text experts": (".groups.text.",),
    "vision experts": (".groups.vision.",),
    "audio experts": (".groups.audio.",),
    "shared experts": (".shared_experts.",),
    "dense layers": (".mlp.",),
    "norms": ("norm.",),
}
"""Group of modules -> what a tensor's name contains; the first that fits counts."""
SUFFIXES = (*(f"_{part}" for part in PARTS), ".scale")
"""What stands behind a matrix's name when it is stored as several tensors, in 4 bits or in int8."""


def part_of_model(name: str) -> str:
    """The group of modules that a tensor belongs to."""
    return next((group for group, words in PARTS_OF_MODEL.items() if any(word in name for word in words)), "other")


def report(folder: Path, stored: dict[str, Place], shapes: dict[str, list[int]]) -> dict[str, Any]:
    """Parameters and bytes.

    Args:
        stored: Every tensor of the folder's files.
        shapes: Tensor -> shape of the plain model, which counts the parameters.

    Returns:
        `parameters`, `bytes` (of all tensors), `bits_per_parameter`, `headers` (bytes) and `file_bytes` (the sum of both: the
        size of the weight files); `groups` and `modules`: the first three for each group of modules, and for each module.
    """
    groups: dict[str, dict[str, Any]] = {group: {"parameters": 0, "bytes": 0} for group in [*PARTS_OF_MODEL, "other"]}
    modules: dict[str, dict[str, Any]] = {}
    for name, shape in shapes.items():
        parts = [stored[key] for key in (name, *(name + suffix for suffix in SUFFIXES)) if key in stored]
        module = modules.setdefault(name.rpartition(".")[0], {"parameters": 0, "bytes": 0})
        for entry in (groups[part_of_model(name)], module):
            entry["parameters"] += math.prod(shape)
            entry["bytes"] += sum(part.end - part.begin for part in parts)
    groups = {name: group for name, group in groups.items() if group["parameters"]}
    for entry in (*groups.values(), *modules.values()):
        entry["bits_per_parameter"] = round(8 * entry["bytes"] / entry["parameters"], 3)
    total = {key: sum(group[key] for group in groups.values()) for key in ("parameters", "bytes")}
    files = sum(file.stat().st_size for file in {place.file for place in stored.values()})
    return {
        "model": str(folder),
        **total,
        "bits_per_parameter": round(8 * total["bytes"] / total["parameters"], 3),
        "headers": files - total["bytes"],
        "file_bytes": files,
        "groups": groups,
        "modules": modules,
    }


def table(result: dict[str, Any]) -> str:
    """The report for people: a line for each group, then the sum."""
    lines = [f"{'':20}{'parameters':>16}{'bits each':>11}{'MB':>11}{'error':>9}"]
    for name, group in [*result["groups"].items(), ("all", result)]:
        error = f"{group['relative_error']:9.2%}" if group.get("relative_error") is not None else f"{'-':>9}"
        bits = f"{group['bits_per_parameter']:11.3f}"
        lines.append(f"{name:20}{group['parameters']:16,}{bits}{group['bytes'] / 1e6:11.2f}{error}")
    return "\n".join(lines)
