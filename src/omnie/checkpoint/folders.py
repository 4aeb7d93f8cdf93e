"""Which folder a model's name means, and which of its files hold weights. Only the index is opened; no pickle is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from omnie.checkpoint import hub
from omnie.errors import CheckpointError

DEFAULT = "nano"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def models() -> dict[str, Path]:
    """The built-in models: name -> folder."""
    package = Path(__file__).parents[1]
    return {DEFAULT: package / DEFAULT} if (package / DEFAULT / WEIGHTS).exists() else {}


def find(reference: str | Path | None) -> Path:
    """The folder of a built-in name, a path, or a repository of the Hub (`owner/name`), which is fetched if need be."""
    folder = models().get(str(reference or DEFAULT)) or Path(reference or DEFAULT)
    if not folder.is_dir() and HUB_NAME.fullmatch(str(reference)) and not folder.parent.is_dir():
        folder = hub.fetch(str(reference))
    if not folder.is_dir():
        raise CheckpointError(
            "no such model", value=folder, allowed=f"a model folder, or one of: {', '.join(models()) or 'none built in'}"
        )
    if not (folder / "config.json").is_file():
        raise CheckpointError("not a model folder", value=folder, allowed="a folder with config.json", hint="check the path")
    return folder


def shard_names(folder: Path) -> list[str]:
    """The weight files of a folder, all of them present."""
    names = [WEIGHTS]
    if not (folder / WEIGHTS).exists() and (folder / INDEX).exists():
        try:
            names = sorted(set(map(str, json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values())))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError("the index of the weights is damaged", value=folder / INDEX) from error
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            pickles = [file.name for file in folder.iterdir() if file.suffix in _PICKLES]
            hint = f"{pickles[0]} is a pickle, which can run code and is not read" if pickles else "copy the folder again"
            raise CheckpointError("a weight file is missing", value=folder / name, hint=hint)
    return names
