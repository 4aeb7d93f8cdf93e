"""Model folders in and out: `config.json`, safetensors (one file or shards), tokenizer and processor settings.

Weights may be stored as int8 with one float16 scale per group of 32 inputs; they become floating point when loaded. A folder is
checked before memory is taken for it: the headers name every tensor's shape and type. No pickle is ever read.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omnie.errors import CheckpointError, OptionError
from omnie.model import config as architecture
from omnie.processor import Encoder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from omnie.model.omni import Omni

DEFAULT = "nano"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TIED = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
"""Parameter -> the stored tensor that it shares."""
SCALE = ".scale"
GROUP = 32
"""Inputs that share a scale."""
SMALL = 4096
"""Tensors of fewer elements stay in floating point: they are norms and biases, and cost nothing."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_FLOATS = ("F64", "F32", "F16", "BF16")

Quantise = Literal["int8"]


def models() -> dict[str, Path]:
    """The built-in models: name -> folder."""
    package = Path(__file__).parent
    return {DEFAULT: package / DEFAULT} if (package / DEFAULT / WEIGHTS).exists() else {}


def load(reference: str | Path | None = None, *, dtype: torch.dtype | None = None) -> tuple[Omni, Encoder]:
    """A model, ready to run on the CPU, and the encoder that goes with it.

    Args:
        reference: A built-in model's name or a model folder; None for the built-in default.
        dtype: Of the weights, except the routers'; None: float32, or as stored when the folder holds more than 1 GiB.

    Raises:
        CheckpointError: the folder is missing, incomplete or damaged; the message names file and tensor.
    """
    import torch

    from omnie.model.omni import Omni

    folder = find(reference)
    config = architecture.read(folder / "config.json")
    encoder = Encoder.load(folder)
    files = [folder / name for name in shard_names(folder)]
    if dtype is None:
        dtype = torch.float32 if sum(file.stat().st_size for file in files) < 2**30 else torch.bfloat16
    with torch.device("meta"), _without_initialisation():
        model = Omni(config)
    stored = _headers(files)
    _check_shapes(model, stored, folder)
    weights = dict(_tensors(files, model, dtype))
    model.load_state_dict(weights | {name: weights[source] for name, source in TIED.items()}, assign=True)
    model.lm_head.weight = model.model.language_model.embed_tokens.weight  # `assign` makes two parameters of one tensor
    return model.eval(), encoder


def save(model: Omni, encoder: Encoder, folder: str | Path, quantise: Quantise | None = None) -> None:
    """Writes a model folder; it appears whole or not at all, and replaces an older one's files one by one.

    Args:
        quantise: "int8" stores matrices as int8 (relative error of a weight about 0.4 % of its group's largest); None stores
            them as they are.
    """
    from safetensors.torch import save_file

    if quantise not in (None, "int8"):
        raise OptionError("unknown quantisation", value=quantise, allowed="int8, or None")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name not in TIED:
            weights |= quantised(name, tensor) if quantise == "int8" else {name: tensor.contiguous()}
    part = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        save_file(weights, part / WEIGHTS, metadata={"format": "pt"})
        (part / "config.json").write_text(architecture.to_json(model.config), "utf-8")
        encoder.save(part)
        for file in part.iterdir():
            os.chmod(file, 0o644)
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def find(reference: str | Path | None) -> Path:
    """The folder of a built-in name or a path."""
    folder = models().get(str(reference or DEFAULT)) or Path(reference or DEFAULT)
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


def quantised(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A matrix as int8 and its scales [..., groups] (float16); small, float32-only and odd tensors unchanged."""
    import torch

    if tensor.dim() < 2 or tensor.numel() < SMALL or tensor.shape[-1] % GROUP or name.endswith("gate.weight"):
        return {name: tensor.contiguous()}
    groups = tensor.float().unflatten(-1, (-1, GROUP))
    # The scale is rounded to float16 first, so that the codes are the best for the scale that is stored.
    scale = (groups.abs().amax(-1) / 127).clamp_min(2**-24).to(torch.float16)
    codes = (groups / scale.float().unsqueeze(-1)).round().clamp(-127, 127).to(torch.int8)
    return {name: codes.flatten(-2).contiguous(), name + SCALE: scale}


def dequantised(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights that `quantised` stored."""
    return (codes.unflatten(-1, (-1, GROUP)) * scale.float().unsqueeze(-1)).flatten(-2).to(dtype)


def _without_initialisation() -> AbstractContextManager[object]:
    """Skips the functions of `torch.nn.init`: on the meta device they compute nothing, but import torch's tracer (0.6 s)."""
    from torch.overrides import TorchFunctionMode

    class Skip(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(function, "__module__", None) == "torch.nn.init":
                return args[0] if args else kwargs["tensor"]
            return function(*args, **(kwargs or {}))

    return Skip()


def _headers(files: list[Path]) -> dict[str, tuple[list[int], str]]:
    """Tensor -> shape and type, from the files' headers alone."""
    from safetensors import SafetensorError, safe_open

    result = {}
    for file in files:
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a dict)
                    piece = opened.get_slice(name)
                    result[name] = (piece.get_shape(), piece.get_dtype())
        except (SafetensorError, OSError) as error:
            raise CheckpointError("a weight file is damaged", value=file, hint=f"{error}; copy it again") from error
    return result


def _check_shapes(model: Omni, stored: dict[str, tuple[list[int], str]], folder: Path) -> None:
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name not in TIED}
    for name, shape in expected.items():
        if name not in stored:
            raise CheckpointError("a tensor is missing", value=f"{name} in {folder}", allowed=f"shape {shape}")
        found, kind = stored[name]
        if found != shape:
            raise CheckpointError("a tensor has the wrong shape", value=f"{name} {found}", allowed=f"{shape} by config.json")
        if kind == "I8" and stored.get(name + SCALE, ([], ""))[0] != [*shape[:-1], shape[-1] // GROUP]:
            raise CheckpointError("an int8 tensor has no fitting scales", value=name, allowed=f"{name}{SCALE}, float16")
        if kind != "I8" and kind not in _FLOATS:
            raise CheckpointError("a tensor has an unknown type", value=f"{name} {kind}", allowed=f"I8, {', '.join(_FLOATS)}")
    unknown = [name for name in stored if name not in expected and name.removesuffix(SCALE) not in expected]
    if unknown:
        raise CheckpointError(
            "a tensor belongs to no part of the model", value=unknown[0], hint="is config.json the right one?"
        )


def _tensors(files: list[Path], model: Omni, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the model, one at a time; routers keep float32."""
    import torch
    from safetensors import safe_open

    types = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    routers = {
        f"{name}.{part}" for name, module in model.named_modules() if hasattr(module, "top_k") for part in ("weight", "bias")
    }
    scales: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, "pt") as opened:
            scales |= {name: opened.get_tensor(name) for name in opened.keys() if name.endswith(SCALE)}  # noqa: SIM118
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in (name for name in opened.keys() if name in types):  # noqa: SIM118
                wanted = torch.float32 if name in routers else dtype
                tensor = opened.get_tensor(name)
                if tensor.dtype == torch.int8:
                    tensor = dequantised(tensor, scales[name + SCALE], wanted)
                if not bool(torch.isfinite(tensor).all()):
                    raise CheckpointError("a tensor holds values that are not finite", value=f"{name} in {file}")
                yield name, tensor.to(wanted)
