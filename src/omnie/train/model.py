"""The model as training needs it: built or loaded, cast, and written out as a model folder."""

import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from omnie import checkpoint
from omnie.data.pictures.things import things
from omnie.errors import CheckpointError
from omnie.model import config as architecture
from omnie.model.experts import Router
from omnie.model.omni import Omni
from omnie.model.reading.spelling import table
from omnie.processor import Encoder
from omnie.processor.tokens import COUNT
from omnie.train import circuits
from omnie.train.config import TrainConfig
from omnie.train.objective.losses import Naming
from omnie.train.stream.source import BUILT_IN

HEAD = "lm_head.weight"
NAMING = "naming.safetensors"
"""The head that names things: only training reads it."""


def build(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> tuple[Omni, Naming]:
    """A model with fresh weights (by `config.seed`) or those of a folder (int8 ones too), ready to train, and the head that
    names things, which is fresh where the folder has none.

    Raises:
        CheckpointError: the folder's encoders do not fit.
    """
    torch.manual_seed(config.seed)
    texts = Encoder.load(config.processor or BUILT_IN).tokenizer.texts
    if config.init:
        model = checkpoint.load(config.init)[0]
    else:
        model = Omni(architecture.architecture(config.size))
        circuits.install(model)
        circuits.liken(model.model.language_model.embed_tokens.weight, texts)
    if config.encoders_from:
        _take_encoders(model, config.encoders_from)
        shorten(model)
    if model.model.reading is not None:
        model.model.reading.spelling[: len(texts)] = table(texts, COUNT)
    folder = config.init or config.encoders_from
    naming = Naming(model.config.hidden_size, len(things()))
    if folder and (folder / NAMING).exists():
        naming.load_state_dict(load_file(folder / NAMING))
    model.model.language_model.gradient_checkpointing = config.checkpointing
    return cast(model, dtype).to(device).train(), naming.to(device, dtype)


@torch.no_grad()
def shorten(model: Omni) -> list[Tensor]:
    """Media tokens of length 1, as text embeddings have, by gains that are returned: encoders let them grow to ten times that,
    and what the first layers write beside a token (what stood before it) would then be too faint to be found."""
    gains = [model.model.visual.merger.output_norm.weight, model.model.audio.output_norm.weight]
    for gain in gains:
        gain.div_(gain.norm())
    return gains


def _take_encoders(model: Omni, folder: Path) -> None:
    """The encoders of another model, and what it reads in their tokens; how words are recalled stays the new decoder's own."""
    own, theirs = (_encoders(m) for m in (model, checkpoint.load(folder)[0]))
    for name, part in own.items():
        try:
            part.load_state_dict(theirs[name].state_dict())
        except RuntimeError as error:
            hint = "its architecture must be that of the new model"
            raise CheckpointError("encoders do not fit", value=f"{folder}: {error}", hint=hint) from None


def _encoders(model: Omni) -> dict[str, nn.Module]:
    """What turns media into tokens and letters, by name."""
    body = model.model
    parts = {"visual": body.visual, "audio": body.audio}
    for name, reading in (body.reading or {}).items():
        parts |= {f"{name} steps": reading.step_head, f"{name} letters": reading.letter_head}
    return parts


def cast(model: Omni, dtype: torch.dtype) -> Omni:
    """Weights in `dtype`, except the routers: rounding their scores would change which experts are chosen."""
    routers = {id(p) for module in model.modules() if isinstance(module, Router) for p in module.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in routers:
            parameter.data = parameter.data.to(dtype)
    return model


def export(model: Omni, naming: Naming, folder: Path, processor: Path | None, masters: dict[str, Tensor] | None = None) -> None:
    """Writes a model folder in the training dtype, the naming head beside it; each file appears whole or not at all.

    Args:
        model: Its weights are written, but those that `masters` has by name, which may be finer.
        naming: What only training has.
        folder: Where to.
        processor: Folder to copy tokenizer and settings from; None for the built-in ones.
        masters: Name -> weights, of any floating-point type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, nn.Module] = {"model.safetensors": model, NAMING: naming}
    for name, module in parts.items():
        finer = masters or {} if module is model else {}
        state = {key: finer.get(key, tensor).to(tensor.dtype) for key, tensor in module.state_dict().items() if key != HEAD}
        weights = {key: tensor.cpu().contiguous() for key, tensor in state.items()}
        save_file(weights, folder / f".{name}.part", metadata={"format": "pt"})
        os.replace(folder / f".{name}.part", folder / name)
    (folder / "config.json").write_text(architecture.to_json(model.config), encoding="utf-8")
    for name in ("tokenizer.json", "processor_config.json"):
        shutil.copyfile((processor or BUILT_IN) / name, folder / name)
