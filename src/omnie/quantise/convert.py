"""A model folder to its 4-bit form, tensor by tensor: memory holds the largest tensor and a little more.

The new folder appears whole or not at all: it is written under another name beside its place, its `config.json` last, so that
what a killed conversion leaves is no model folder.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnie import checkpoint
from omnie.errors import OptionError
from omnie.model import config as architecture
from omnie.model import int4
from omnie.model.omni import Omni
from omnie.ops.int4_linear import GROUPS, Packed, pack, pack_for, shapes, unpack
from omnie.quantise.calibrate import Grams, grams
from omnie.quantise.files import Layout, places, size, write
from omnie.quantise.report import part_of_model, report
from omnie.quantise.source import Source, source_of
from omnie.quantise.source import shapes as tensor_shapes

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
ROUNDINGS = ("search", "plain")
Progress = Callable[[str, int, int], None]
"""(tensor, bytes read, bytes in all)"""
Calibration = Callable[[Any], Iterable[Mapping[str, np.ndarray]]]
"""Encoder -> conversations, as it encodes them."""


@dataclass
class _Errors:
    """Squares of what was rounded, and of the rounding errors, by group of modules."""

    error: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    weight: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, weight: Tensor, packed: Packed) -> None:
        group = part_of_model(name)
        for index in range(len(weight) if weight.dim() == 3 else 1):
            exact, part = (weight[index], packed.expert(index)) if weight.dim() == 3 else (weight, packed)
            self.error[group] += float((unpack(part) - exact.float()).square().sum(dtype=torch.float64))
            self.weight[group] += float(exact.float().square().sum(dtype=torch.float64))

    def relative(self, *groups: str) -> float | None:
        """Root mean square of the errors over that of the weights."""
        weight = sum(self.weight.get(group, 0.0) for group in groups)
        return math.sqrt(sum(self.error.get(group, 0.0) for group in groups) / weight) if weight else None


def quantise(
    source: str | Path,
    target: str | Path,
    *,
    group: int = 32,
    rounding: str = "search",
    calibration: Calibration | None = None,
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Writes a model folder whose matrices are in 4 bits.

    Args:
        source: A built-in model's name or a model folder, in floating point or int8, ours or in ERNIE 4.5's published format.
        target: The folder to write; it must not exist, unless `force` replaces the model in it.
        group: Inputs that share a scale: 32, 64 or 128.
        rounding: "search" (least squared error) or "plain", as `ops.int4_linear.pack` takes it.
        calibration: From the model's encoder to conversations: every matrix is then rounded for what it sees in these
            (`ops.int4_linear.pack_for`), and `rounding` is for those that see nothing. Needs memory for the model in float32.

    Returns:
        `report`, `group_size`, `rounding`, `seconds`, and the rounded weights' `relative_error` (RMS), in all and by group.

    Raises:
        OptionError: an option has no such value, or the target is in the way.
        CheckpointError: the source is damaged or in 4 bits already; no target is left then.
    """
    began = time.perf_counter()
    _check_options(group, rounding)
    source, target = checkpoint.find(source), Path(target)
    _check_target(source, target, force)
    weights = source_of(source)
    packed = int4.targets(weights.plain)
    seen = _calibrated(source, calibration, progress) if calibration else {}
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        part.chmod(0o755)
        errors = _write_weights(part, weights, packed, group, rounding, seen, progress)
        _copy_the_rest(source, part)
        values = json.loads(architecture.to_json(weights.config)) | {"quantization_config": int4.config(group)}
        (part / "config.json").write_text(json.dumps(values, indent=2) + "\n", "utf-8")
        _put(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    result = _report(target, weights.plain)
    for name, values in result["groups"].items():
        values["relative_error"] = errors.relative(name)
    result["relative_error"] = errors.relative(*result["groups"])
    return {
        "group_size": group,
        "rounding": "hessian" if seen else rounding,
        "seconds": round(time.perf_counter() - began, 2),
    } | result


def _calibrated(source: Path, calibration: Calibration, progress: Progress) -> Grams:
    """What each matrix of a folder's model sees."""
    model, encoder = checkpoint.load(source, dtype=torch.float32)
    return grams(model, calibration(encoder), lambda number: progress(f"calibration, example {number}", 0, 1))


def _check_options(group: int, rounding: str) -> None:
    if group not in GROUPS:
        raise OptionError("unknown group size", value=group, allowed=", ".join(map(str, GROUPS)))
    if rounding not in ROUNDINGS:
        raise OptionError("unknown rounding", value=rounding, allowed=", ".join(ROUNDINGS))


def _check_target(source: Path, target: Path, force: bool) -> None:
    own, other = source.resolve(), target.resolve()
    if own == other or own in other.parents or other in own.parents:
        raise OptionError("source and target overlap", value=target, allowed="a folder of its own")
    if target.exists() and not (force and (target / "config.json").is_file()):
        hint = "--force replaces only a model folder" if force else "--force replaces the model in it"
        raise OptionError("the target exists", value=target, allowed="a new folder", hint=hint)


def _report(folder: Path, plain: Omni) -> dict[str, Any]:
    files = [folder / name for name in checkpoint.shard_names(folder)]
    return report(folder, {name: place for file in files for name, place in places(file).items()}, tensor_shapes(plain))


def _write_weights(
    part: Path, source: Source, packed: dict[str, list[int]], group: int, rounding: str, seen: Grams, progress: Progress
) -> _Errors:
    """Every weight file, and the index, unless there is but one of the usual name."""
    errors, layouts = _Errors(), {file: _layout(source, names, packed, group) for file, names in source.files.items()}
    needed = sum(size(*entry) for layout in layouts.values() for entry in layout.values())
    if (free := shutil.disk_usage(part).free) < needed:
        raise OptionError("the disk is too full", value=f"{free >> 20} MiB free", allowed=f"{needed >> 20} MiB or more")
    total, done = sum(source.nbytes(name) for names in source.files.values() for name in names), 0

    def data(names: list[str]) -> Iterator[Tensor]:
        nonlocal done
        for name in names:
            yield from _packed(source, name, group, rounding, seen, errors) if name in packed else source.pieces(name)
            done += source.nbytes(name)
            progress(name, done, total)

    for file, layout in layouts.items():
        write(part / file, layout, data(source.files[file]))
    if list(layouts) != [checkpoint.WEIGHTS]:
        index = {name: file for file, layout in layouts.items() for name in layout}
        text = json.dumps({"metadata": {"total_size": needed}, "weight_map": index}, indent=1)
        (part / checkpoint.INDEX).write_text(text + "\n", "utf-8")
    return errors


def _layout(source: Source, names: list[str], packed: dict[str, list[int]], group: int) -> Layout:
    """What a file will hold."""
    layout: Layout = {}
    for name in names:
        if name in packed:
            layout |= {f"{name}_{part}": entry for part, entry in shapes(packed[name], group).items()}
        else:
            layout[name] = (list(source.plain.state_dict()[name].shape), source.dtype(name))
    return layout


def _packed(source: Source, name: str, group: int, rounding: str, seen: Grams, errors: _Errors) -> Iterator[Tensor]:
    """The parts of a matrix."""
    tensor = source.tensor(name)
    known = name in seen
    packed = pack_for(tensor, seen[name], group) if known else pack(tensor, group, rounding)  # type: ignore[arg-type]
    errors.add(name, tensor, packed)
    yield from packed[:3]


def _copy_the_rest(source: Path, part: Path) -> None:
    """Tokenizer, processor settings, template: every file that holds no weights and does not describe them."""
    for file in source.iterdir():
        weights = file.suffix == ".safetensors" or file.suffix in PICKLES
        if file.is_file() and not weights and file.name not in ("config.json", checkpoint.INDEX, "README.md"):
            shutil.copyfile(file, part / file.name)


def _put(part: Path, target: Path) -> None:
    """The finished folder into its place; an older one goes only when it is there."""
    if not target.exists():
        os.rename(part, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    os.rename(target, old / target.name)
    os.rename(part, target)
    shutil.rmtree(old, ignore_errors=True)
