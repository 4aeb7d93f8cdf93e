"""The model as training needs it: built or loaded, cast, and written out as a model folder."""

import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from omnie import checkpoint
from omnie.model import config as architecture
from omnie.model.experts import Router
from omnie.model.omni import Omni
from omnie.train.config import TrainConfig
from omnie.train.source import BUILT_IN

HEAD = "lm_head.weight"


def build(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> Omni:
    """A model with fresh weights (by `config.seed`) or those of the folder `config.init` (int8 ones too), ready to train."""
    torch.manual_seed(config.seed)
    model = checkpoint.load(config.init)[0] if config.init else Omni(architecture.architecture(config.size))
    model.model.language_model.gradient_checkpointing = config.checkpointing
    return cast(model, dtype).to(device).train()


def cast(model: Omni, dtype: torch.dtype) -> Omni:
    """Weights in `dtype`, except the routers: rounding their scores would change which experts are chosen."""
    routers = {id(p) for module in model.modules() if isinstance(module, Router) for p in module.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in routers:
            parameter.data = parameter.data.to(dtype)
    return model


def export(model: Omni, folder: Path, processor: Path | None) -> None:
    """Writes a model folder in the training dtype; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items() if name != HEAD}
    save_file(weights, folder / ".model.part", metadata={"format": "pt"})
    os.replace(folder / ".model.part", folder / "model.safetensors")
    (folder / "config.json").write_text(architecture.to_json(model.config), encoding="utf-8")
    for name in ("tokenizer.json", "processor_config.json"):
        shutil.copyfile((processor or BUILT_IN) / name, folder / name)
