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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnie import checkpoint
from omnie.errors import CheckpointError, OptionError
from omnie.model import config as architecture
from omnie.model import int4
from omnie.model.omni import Omni
from omnie.ops.int4_linear import GROUPS, Packed, pack, shapes, unpack
from omnie.quantise.files import DTYPES, Layout, Place, pieces, places, read, size, write
from omnie.quantise.report import part_of_model, report

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
ROUNDINGS = ("search", "plain")
Progress = Callable[[str, int, int], None]
"""(tensor, bytes read, bytes in all)"""


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
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Writes a model folder whose matrices are in 4 bits.

    Args:
        source: A built-in model's name or a model folder, in floating point or int8.
        target: The folder to write; it must not exist, unless `force` replaces the model in it.
        group: Inputs that share a scale: 32, 64 or 128.
        rounding: "search" (least squared error) or "plain", as `ops.int4_linear.pack` takes it.

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
    plain, stored = _open(source)
    packed = int4.targets(plain)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        part.chmod(0o755)
        errors = _write_weights(part, stored, packed, group, rounding, progress)
        _copy_the_rest(source, part)
        values = json.loads(architecture.to_json(plain.config)) | {"quantization_config": int4.config(group)}
        (part / "config.json").write_text(json.dumps(values, indent=2) + "\n", "utf-8")
        _put(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    result = _report(target, plain)
    for name, values in result["groups"].items():
        values["relative_error"] = errors.relative(name)
    result["relative_error"] = errors.relative(*result["groups"])
    return {"group_size": group, "rounding": rounding, "seconds": round(time.perf_counter() - began, 2)} | result


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


def _open(source: Path) -> tuple[Omni, dict[str, Place]]:
    """The plain model of a folder, without memory, and the stored tensors, which fit it."""
    plain = checkpoint.blueprint(source)
    if int4.read(source / "config.json") is not None:
        raise CheckpointError("the model is in 4 bits already", value=source, allowed="floating point or int8")
    files = [source / name for name in checkpoint.shard_names(source)]
    stored = {name: place for file in files for name, place in places(file).items()}
    expected = _shapes(plain)
    for name, shape in expected.items():
        if name not in stored or stored[name].shape != shape or stored[name].kind not in {*int4.FLOATS, "I8"}:
            found = f"{stored[name].kind} {stored[name].shape}" if name in stored else "missing"
            raise CheckpointError("a tensor does not fit", value=f"{name} {found} in {source}", allowed=f"{shape}")
        if stored[name].kind == "I8" and name + checkpoint.SCALE not in stored:
            raise CheckpointError("an int8 tensor has no scales", value=name, allowed=f"{name}{checkpoint.SCALE}")
    for name in stored:
        if name.removesuffix(checkpoint.SCALE) not in expected:
            raise CheckpointError("a tensor belongs to no part of the model", value=name, hint="is config.json the right one?")
    return plain, stored


def _shapes(plain: Omni) -> dict[str, list[int]]:
    """Stored tensor -> shape; a head that is the embedding is not stored."""
    head = "lm_head.weight" if int4.is_tied(plain) else None
    return {name: list(tensor.shape) for name, tensor in plain.state_dict().items() if name != head}


def _report(folder: Path, plain: Omni) -> dict[str, Any]:
    files = [folder / name for name in checkpoint.shard_names(folder)]
    return report(folder, {name: place for file in files for name, place in places(file).items()}, _shapes(plain))


def _write_weights(
    part: Path, stored: dict[str, Place], packed: dict[str, list[int]], group: int, rounding: str, progress: Progress
) -> _Errors:
    """Every weight file, under its old name; and the index, unless there is but one of the usual name."""
    errors, layouts = _Errors(), _layouts(stored, packed, group)
    needed = sum(size(*entry) for layout in layouts.values() for entry in layout.values())
    if (free := shutil.disk_usage(part).free) < needed:
        raise OptionError("the disk is too full", value=f"{free >> 20} MiB free", allowed=f"{needed >> 20} MiB or more")
    total, done = sum(place.end - place.begin for place in stored.values()), 0

    def data(file: Path) -> Iterator[Tensor]:
        nonlocal done
        for name, place in stored.items():
            if place.file == file and not _is_scale(name, stored):
                yield from _values(name, stored, name in packed, group, rounding, errors)
                scales = stored.get(name + checkpoint.SCALE) if place.kind == "I8" else None
                done += sum(each.end - each.begin for each in (place, scales) if each)
                progress(name, done, total)

    for file, layout in layouts.items():
        write(part / file.name, layout, data(file))
    if [file.name for file in layouts] != [checkpoint.WEIGHTS]:
        index = {name: file.name for file, layout in layouts.items() for name in layout}
        text = json.dumps({"metadata": {"total_size": needed}, "weight_map": index}, indent=1)
        (part / checkpoint.INDEX).write_text(text + "\n", "utf-8")
    return errors


def _is_scale(name: str, stored: dict[str, Place]) -> bool:
    matrix = stored.get(name.removesuffix(checkpoint.SCALE))
    return name.endswith(checkpoint.SCALE) and matrix is not None and matrix.kind == "I8"


def _layouts(stored: dict[str, Place], packed: dict[str, list[int]], group: int) -> dict[Path, Layout]:
    """What each file will hold. int8 matrices that are not to be in 4 bits become bfloat16."""
    layouts: dict[Path, Layout] = {place.file: {} for place in stored.values()}
    for name, place in stored.items():
        if _is_scale(name, stored):
            continue
        if name in packed:
            parts = shapes(packed[name], group)
            layouts[place.file] |= {f"{name}_{part}": entry for part, entry in parts.items()}
        else:
            layouts[place.file][name] = (place.shape, torch.bfloat16 if place.kind == "I8" else DTYPES[place.kind])
    return layouts


def _values(
    name: str, stored: dict[str, Place], is_packed: bool, group: int, rounding: str, errors: _Errors
) -> Iterator[Tensor]:
    """What a tensor becomes: the parts of a packed matrix, or its own values."""
    place = stored[name]
    if not is_packed and place.kind != "I8":
        for piece in pieces(place):
            yield _finite(name, place.file, piece)
        return
    tensor = read(place)
    if place.kind == "I8":
        scale = _finite(name, place.file, read(stored[name + checkpoint.SCALE]))
        tensor = checkpoint.dequantised(tensor, scale, torch.float32)
    if not is_packed:
        yield tensor.to(torch.bfloat16)
        return
    packed = pack(_finite(name, place.file, tensor), group, rounding)  # type: ignore[arg-type]
    errors.add(name, tensor, packed)
    yield from packed[:3]


def _finite(name: str, file: Path, tensor: Tensor) -> Tensor:
    # One pass without a temporary of the tensor's size; a sum of finite numbers that overflows gets the exact look.
    if not bool(tensor.sum(dtype=torch.float32).isfinite()) and not bool(torch.isfinite(tensor).all()):
        raise CheckpointError("a tensor holds values that are not finite", value=f"{name} in {file}")
    return tensor


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
