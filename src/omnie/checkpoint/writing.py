"""Model folders out: in our format, plain or as int8, and in ERNIE 4.5's. A folder appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from omnie import foreign
from omnie.checkpoint.folders import INDEX, WEIGHTS
from omnie.checkpoint.int8 import as_bytes, quantised
from omnie.checkpoint.stored import tied
from omnie.errors import OptionError
from omnie.model import config as architecture
from omnie.processor import Encoder
from omnie.processor.ernie import ErnieEncoder

if TYPE_CHECKING:
    from torch import Tensor

    from omnie.model.omni import Omni

SHARD = 4 << 30
"""Bytes of a shard, when a published format is written."""

Quantise = Literal["int8"]


def save(
    model: Omni,
    encoder: Encoder | ErnieEncoder,
    folder: str | Path,
    quantise: Quantise | None = None,
    grams: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes a model folder; it appears whole or not at all, and replaces an older one's files one by one.

    Args:
        quantise: "int8" stores matrices as int8 (relative error of a weight about 0.4 % of its group's largest), and buffers
            that are tables of bytes as such; None stores them as they are.
        grams: Matrix -> the sum of x x^T over its inputs x (`quantise.calibrate`), to which int8 is then fitted.
    """
    from safetensors.torch import save_file

    from omnie.model import int4

    if int4.parts(model):
        raise OptionError("a model in 4 bits is not saved", hint="save its original and use omnie quantize")
    if quantise not in (None, "int8"):
        raise OptionError("unknown quantisation", value=quantise, allowed="int8, or None")
    weights: dict[str, Tensor] = {}
    exact = {name for name, _ in model.named_buffers()}
    for name, tensor in model.state_dict().items():
        if name not in tied(model):
            if quantise == "int8" and name not in exact:
                weights |= quantised(name, tensor, (grams or {}).get(name))
            else:
                weights[name] = (as_bytes(tensor) if quantise else tensor).contiguous()
    with appearing(Path(folder)) as part:
        save_file(weights, part / WEIGHTS, metadata={"format": "pt"})
        (part / "config.json").write_text(architecture.to_json(model.config), "utf-8")
        encoder.save(part)


def save_as_ernie(model: Omni, folder: str | Path, *, shard_bytes: int = SHARD) -> None:
    """Writes a model in ERNIE 4.5's published format, which Transformers loads without us: config.json and safetensors.

    The tokenizer's files are not written; copy those of the folder that the model came from.

    Args:
        shard_bytes: Most bytes of one file, unless one tensor alone has more; memory for one more copy of it is needed.

    Raises:
        OptionError: the model has parts that the format does not know (an audio encoder, for example).
    """
    from safetensors.torch import save_file

    config = foreign.published(model.config)
    shards: list[dict[str, Tensor]] = [{}]
    rows: dict[str, Tensor] = {}
    size = total = 0
    for name, tensor in model.state_dict().items():
        for piece in () if name in tied(model) else foreign.parts(name, list(tensor.shape), model.config):
            stored = tensor[piece.index] if piece.index else tensor
            stored = stored.t().contiguous() if piece.turned else stored.contiguous()
            if piece.taken:  # a row of a tensor that others of ours fill as well
                whole = rows.setdefault(piece.name, stored.new_empty(piece.shape))
                whole[piece.taken] = stored
                stored = whole
            if piece.name in shards[-1]:
                continue
            if size and size + stored.nbytes > shard_bytes:
                shards, size = [*shards, {}], 0
            shards[-1][piece.name] = stored
            size, total = size + stored.nbytes, total + stored.nbytes
    with appearing(Path(folder)) as part:
        names = [WEIGHTS]
        if len(shards) > 1:
            names = [f"model-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
            index = {tensor: file for file, shard in zip(names, shards) for tensor in shard}
            (part / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2), "utf-8")
        for file, shard in zip(names, shards):
            save_file(shard, part / file, metadata={"format": "pt"})
        (part / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to write into; at the end its files replace those in `folder`, `config.json` last: without it nothing loads."""
    folder.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        yield part
        for file in sorted(part.iterdir(), key=lambda file: file.name == "config.json"):
            os.chmod(file, 0o644)
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
