"""Model folders in: ours and published ones, checked before memory is taken, filled one stored tensor at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnie import foreign
from omnie.checkpoint.folders import HUB_NAME, find, shard_names
from omnie.checkpoint.stored import Parameters, headers, own_parts, places_of, tied, weights
from omnie.errors import CheckpointError
from omnie.model import config as architecture
from omnie.processor import Encoder
from omnie.processor.ernie import ErnieEncoder, Facts

if TYPE_CHECKING:
    import torch

    from omnie.model.omni import Omni
    from omnie.ops.int4_linear import Rounding


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
    dtype = dtype or _usual_dtype(files)
    with torch.device("meta"), without_initialisation():
        model = Omni(config)
    stored = headers(files, foreign.stored_name if kind in foreign.READERS else str)
    if (group := int4.read(folder / "config.json")) is not None:
        return int4.load(model, group, files, {name: (entry.shape, entry.kind) for name, entry in stored.items()}, dtype)
    parts, ignored = (foreign.parts, foreign.EXTRA) if kind in foreign.READERS else (own_parts, ())
    places = places_of(model, stored, folder, parts, ignored)
    found = weights(stored, model, dtype, places)
    shared = tied(model)
    model.load_state_dict(found | {name: found[source] for name, source in shared.items()}, assign=True)
    if shared:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight  # `assign` makes two parameters of one tensor
    return model.eval()


def load_packing(
    reference: str | Path | None, group: int, rounding: Rounding = "search", *, dtype: torch.dtype | None = None
) -> Omni:
    """The model of a folder in a published format, in 4 bits, without its encoder; one parameter at a time is read and packed.

    It is what `omnie quantize` would write, but for the writing.

    Args:
        group, rounding: As `ops.int4_linear.pack` takes them.
        dtype: Of what is not packed, as for `load`.
    """
    from omnie.model import int4

    stored, folder = parameters(reference), find(reference)
    dtype = dtype or _usual_dtype([folder / name for name in shard_names(folder)])
    return int4.load_packing(stored.model, group, rounding, stored.read, folder, dtype)


def _usual_dtype(files: list[Path]) -> torch.dtype:
    import torch

    return torch.float32 if sum(file.stat().st_size for file in files) < 2**30 else torch.bfloat16


def published(reference: str | Path, options: Mapping[str, Any]) -> Any:
    """For Transformers' `from_pretrained`: a folder in a published format, ready to be loaded; None when it is in none.

    Args:
        options: Of the call; with one that chooses among versions in the Hub, the Hub is left to Transformers.

    Raises:
        CheckpointError: the model of that name is not on this machine and cannot be fetched.
    """
    from omnie.model.hub.published import Published

    folder, fields = _named(reference, options)
    return Published(folder, load_model, load_packing) if fields.get("model_type") in foreign.READERS else None


def published_encoder(reference: str | Path, options: Mapping[str, Any]) -> ErnieEncoder | None:
    """The encoder of a published folder, or of one made from it (`omnie quantize`, `omnie extend`); None for any other name.

    Arguments as for `published`.
    """
    folder, fields = _named(reference, options)
    if fields.get("model_type") not in foreign.READERS and fields.get("placeholders") is None:
        return None
    encoder = load_encoder(folder)
    return encoder if isinstance(encoder, ErnieEncoder) else None


def _named(reference: str | Path, options: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The folder that a name means, and what its config.json says: nothing, when there is none that can be read."""
    folder = Path(reference)
    if not folder.is_dir() and HUB_NAME.fullmatch(str(reference)) and not any(options.get(name) for name in VERSIONS):
        folder = find(reference)
    try:
        fields = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return folder, {}
    return folder, fields if isinstance(fields, dict) else {}


VERSIONS = ("revision", "subfolder", "token", "cache_dir")
"""Options of `from_pretrained` that say which of several files in the Hub."""


def parameters(reference: str | Path | None) -> Parameters:
    """A folder's parameters, to be read one at a time; checked, but not loaded.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or in 4 bits.
    """
    import torch

    from omnie.model import int4
    from omnie.model.omni import Omni

    folder = find(reference)
    kind, config = architecture.read(folder / "config.json", {"omnie": architecture.of, **foreign.READERS})
    if int4.read(folder / "config.json") is not None:
        raise CheckpointError(
            "the model is in 4 bits", value=folder, allowed="floating point or int8", hint="take its original"
        )
    with torch.device("meta"), without_initialisation():
        model = Omni(config)
    published = kind in foreign.READERS
    stored = headers([folder / name for name in shard_names(folder)], foreign.stored_name if published else str)
    return Parameters(model, stored, folder, published)


def blueprint(folder: Path) -> Omni:
    """The plain model that a folder's `config.json` describes, on torch's meta device: shapes without memory."""
    import torch

    from omnie.model.omni import Omni

    config = architecture.read(folder / "config.json", {"omnie": architecture.of})[1]
    with torch.device("meta"), without_initialisation():
        return Omni(config)


def without_initialisation() -> AbstractContextManager[object]:
    """Skips the functions of `torch.nn.init`: on the meta device they compute nothing, but import torch's tracer (0.6 s)."""
    from torch.overrides import TorchFunctionMode

    class Skip(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(function, "__module__", None) == "torch.nn.init":
                return args[0] if args else kwargs["tensor"]
            return function(*args, **(kwargs or {}))

    return Skip()
