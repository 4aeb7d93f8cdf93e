"""Model folders in and out: `config.json`, safetensors (one file or shards), tokenizer and processor settings.

Weights may be stored as int8 with one float16 scale per group of 32 inputs; they become floating point when loaded. Folders in
a published format are translated by the tables of `foreign/`. A folder is checked before memory is taken for it: the headers
name every tensor's shape and type. No pickle is ever read.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from omnie import foreign
from omnie.errors import CheckpointError, OptionError
from omnie.foreign import Part
from omnie.model import config as architecture
from omnie.model.config import Architecture
from omnie.processor import Encoder
from omnie.processor.ernie import ErnieEncoder, Facts

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
SHARD = 4 << 30
"""Bytes of a shard, when a published format is written."""

Quantise = Literal["int8"]


def models() -> dict[str, Path]:
    """The built-in models: name -> folder."""
    package = Path(__file__).parent
    return {DEFAULT: package / DEFAULT} if (package / DEFAULT / WEIGHTS).exists() else {}


def load(reference: str | Path | None = None, *, dtype: torch.dtype | None = None) -> tuple[Omni, Encoder | ErnieEncoder]:
    """A model, ready to run on the CPU, and the encoder that goes with it.

    Args:
        reference: A built-in model's name or a model folder; None for the built-in default.
        dtype: Of the weights, except the routers'; None: float32, or as stored when the folder holds more than 1 GiB.

    Raises:
        CheckpointError: the folder is missing, incomplete or damaged; the message names file and tensor.
    """
    folder = find(reference)
    encoder = load_encoder(folder)
    return load_model(folder, dtype=dtype), encoder


def load_encoder(reference: str | Path | None = None) -> Encoder | ErnieEncoder:
    """What turns messages into inputs for a folder's model: ours, or one with the published tokenizer and template."""
    folder = find(reference)
    kind, config = architecture.read(folder / "config.json", {"omnie": architecture.of, **foreign.READERS})
    if kind not in foreign.READERS and config.placeholders is None:
        return Encoder.load(folder)
    return ErnieEncoder.load(folder, Facts(config.max_position_embeddings, config.vocab_size, config.placeholders or {}))


def load_model(reference: str | Path | None = None, *, dtype: torch.dtype | None = None) -> Omni:
    """The model of a folder without its encoder, as `load`; a folder in ERNIE 4.5's published format will do.

    Of a published folder, each expert's matrices go straight to their place in the fused tensors: besides the model, one stored
    tensor at a time is in memory.
    """
    import torch

    from omnie.model import int4
    from omnie.model.omni import Omni

    folder = find(reference)
    kind, config = architecture.read(folder / "config.json", {"omnie": architecture.of, **foreign.READERS})
    files = [folder / name for name in shard_names(folder)]
    if dtype is None:
        dtype = torch.float32 if sum(file.stat().st_size for file in files) < 2**30 else torch.bfloat16
    with torch.device("meta"), _without_initialisation():
        model = Omni(config)
    stored = _headers(files, foreign.stored_name if kind in foreign.READERS else str)
    if (group := int4.read(folder / "config.json")) is not None:
        return int4.load(model, group, files, {name: (entry.shape, entry.kind) for name, entry in stored.items()}, dtype)
    parts, ignored = (foreign.parts, foreign.EXTRA) if kind in foreign.READERS else (_own_parts, ())
    places = _check_shapes(model, stored, folder, parts, ignored)
    weights = _weights(stored, model, dtype, places)
    shared = tied(model)
    model.load_state_dict(weights | {name: weights[source] for name, source in shared.items()}, assign=True)
    if shared:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight  # `assign` makes two parameters of one tensor
    return model.eval()


def blueprint(folder: Path) -> Omni:
    """The plain model that a folder's `config.json` describes, on torch's meta device: shapes without memory."""
    import torch

    from omnie.model.omni import Omni

    config = architecture.read(folder / "config.json", {"omnie": architecture.of})[1]
    with torch.device("meta"), _without_initialisation():
        return Omni(config)


def save(model: Omni, encoder: Encoder, folder: str | Path, quantise: Quantise | None = None) -> None:
    """Writes a model folder; it appears whole or not at all, and replaces an older one's files one by one.

    Args:
        quantise: "int8" stores matrices as int8 (relative error of a weight about 0.4 % of its group's largest); None stores
            them as they are.
    """
    from safetensors.torch import save_file

    from omnie.model import int4

    if int4.parts(model):
        raise OptionError("a model in 4 bits is not saved", hint="save its original and use omnie quantize")
    if quantise not in (None, "int8"):
        raise OptionError("unknown quantisation", value=quantise, allowed="int8, or None")
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name not in tied(model):
            weights |= quantised(name, tensor) if quantise == "int8" else {name: tensor.contiguous()}
    with _appearing(Path(folder)) as part:
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
    with _appearing(Path(folder)) as part:
        names = [WEIGHTS]
        if len(shards) > 1:
            names = [f"model-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
            index = {tensor: file for file, shard in zip(names, shards) for tensor in shard}
            (part / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2), "utf-8")
        for file, shard in zip(names, shards):
            save_file(shard, part / file, metadata={"format": "pt"})
        (part / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def tied(model: Omni) -> dict[str, str]:
    """Parameter -> the stored tensor that it shares, for this model."""
    return TIED if model.config.tie_word_embeddings else {}


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
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


class Stored(NamedTuple):
    """A tensor in a weight file, from the file's header alone; `name` is what the file calls it."""

    shape: list[int]
    kind: str
    file: Path
    name: str


def _headers(files: list[Path], rename: Callable[[str], str] = str) -> dict[str, Stored]:
    """Every stored tensor, by its renamed name."""
    from safetensors import SafetensorError, safe_open

    result = {}
    for file in files:
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a dict)
                    piece = opened.get_slice(name)
                    result[rename(name)] = Stored(piece.get_shape(), piece.get_dtype(), file, name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError("a weight file is damaged", value=file, hint=f"{error}; copy it again") from error
    return result


Places = dict[str, list[tuple[str, Part]]]
"""Stored tensor -> the parameters that it belongs to, and where in them."""


def _own_parts(name: str, shape: list[int], config: Architecture) -> Iterable[Part]:
    return (Part(name, shape),)


def _check_shapes(
    model: Omni,
    stored: dict[str, Stored],
    folder: Path,
    parts: Callable[[str, list[int], Architecture], Iterable[Part]],
    ignored: tuple[str, ...],
) -> Places:
    """Where every stored tensor goes; raises at the first that is missing, of another shape or type, or too many."""
    places: Places = {}
    shared = tied(model)
    for name, tensor in model.state_dict().items():
        for part in parts(name, list(tensor.shape), model.config):
            if name not in shared or part.name in stored:  # stored twice is fine: `_weights` holds both to be the same
                _check_part(part, stored, folder)
                places.setdefault(part.name, []).append((shared.get(name, name), part))
    known = {*places, *(name + SCALE for name in places)}
    unknown = [name for name in stored if name not in known and not name.startswith(ignored)]
    if unknown:
        raise CheckpointError(
            "a tensor belongs to no part of the model",
            value=f"{stored[unknown[0]].name} in {stored[unknown[0]].file}",
            hint="is config.json the right one?",
        )
    return places


def _check_part(part: Part, stored: dict[str, Stored], folder: Path) -> None:
    name, shape = part.name, part.shape
    if name not in stored:
        raise CheckpointError("a tensor is missing", value=f"{name} in {folder}", allowed=f"shape {shape}")
    found = stored[name]
    where = f"{found.name} {found.kind} {found.shape} in {found.file}"
    if found.shape != shape:
        raise CheckpointError("a tensor has the wrong shape", value=where, allowed=f"{shape} by config.json")
    scales = stored.get(name + SCALE)
    if found.kind == "I8" and (scales is None or scales.shape != [*shape[:-1], shape[-1] // GROUP]):
        raise CheckpointError("an int8 tensor has no fitting scales", value=where, allowed=f"{name}{SCALE}, float16")
    if found.kind != "I8" and found.kind not in _FLOATS:
        raise CheckpointError("a tensor has an unknown type", value=where, allowed=f"I8, {', '.join(_FLOATS)}")


def _weights(stored: dict[str, Stored], model: Omni, dtype: torch.dtype, places: Places) -> dict[str, Tensor]:
    """Every parameter, filled one stored tensor at a time; routers keep float32."""
    import torch

    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    routers = {
        f"{name}.{part}" for name, module in model.named_modules() if hasattr(module, "top_k") for part in ("weight", "bias")
    }
    weights: dict[str, Tensor] = {}
    for source, whole in _tensors(stored, places):
        for name, part in places[source]:
            tensor = whole[part.taken] if part.taken else whole
            tensor = tensor.t() if part.turned else tensor
            wanted = torch.float32 if name in routers else dtype
            if part.index:
                if name not in weights:
                    weights[name] = torch.empty(shapes[name], dtype=wanted)
                weights[name][part.index] = tensor.to(wanted)
                continue
            tensor = tensor.to(wanted).contiguous().view(shapes[name])
            if name in weights and not torch.equal(weights[name], tensor):
                raise CheckpointError(
                    "two tensors differ that should be one", value=f"{source} and {name}", hint="is tie_word_embeddings right?"
                )
            weights[name] = tensor
    return weights


def _tensors(stored: dict[str, Stored], places: Places) -> Iterator[tuple[str, Tensor]]:
    """Every stored tensor that has a place, one at a time, finite and in floating point."""
    import torch
    from safetensors import safe_open

    for file in dict.fromkeys(entry.file for entry in stored.values()):
        with safe_open(file, "pt") as opened:
            for name in (name for name, entry in stored.items() if entry.file == file and name in places):
                tensor = opened.get_tensor(stored[name].name)
                if tensor.dtype == torch.int8:
                    tensor = dequantised(tensor, _scales(stored[name + SCALE]), torch.float32)
                if not bool(torch.isfinite(tensor).all()):
                    raise CheckpointError("a tensor holds values that are not finite", value=f"{stored[name].name} in {file}")
                yield name, tensor


def _scales(entry: Stored) -> Tensor:
    from safetensors import safe_open

    with safe_open(entry.file, "pt") as opened:
        return opened.get_tensor(entry.name)
