"""Resumable checkpoints of a run: safetensors and JSON in a folder that appears whole or not at all.

A shipped model is something else (`omnie.checkpoint`); this holds optimiser state, auxiliary heads and the stream's place.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from omnie.errors import CheckpointError

TENSORS, FACTS = "state.safetensors", "state.json"
KEEP = 2


def save(run: Path, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], keep: int = KEEP) -> Path:
    """Writes `run/step-NNNNNNNN` and removes all but the `keep` newest.

    The files are written and synced under another name and renamed last, so that a kill at any moment leaves either the
    whole checkpoint or only the older ones.
    """
    final = run / f"step-{step:08d}"
    partial = run / f".writing-{step:08d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial / TENSORS)
    (partial / FACTS).write_text(json.dumps(dict(facts)), encoding="utf-8")
    for name in (TENSORS, FACTS):
        _sync(partial / name)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    _sync(run)
    for old in checkpoints(run)[:-keep]:
        shutil.rmtree(old)
    return final


def checkpoints(run: Path) -> list[Path]:
    """The run's whole checkpoints, oldest first; left-overs of killed writes are not among them."""
    return sorted(folder for folder in run.glob("step-*") if (folder / FACTS).exists())


def load(folder: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint's tensors and facts.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    try:
        return load_file(folder / TENSORS, device=device), json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except Exception as error:
        raise CheckpointError("training state cannot be read", value=f"{folder}: {error}", hint="remove that folder") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
