"""The model as training needs it: built or loaded, cast, and written out as a model folder."""

import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from omnie import checkpoint
from omnie.data.pictures.things import things
from omnie.errors import CheckpointError
from omnie.model import config as architecture
from omnie.model.experts import Router
from omnie.model.layers.lookahead import Lookahead
from omnie.model.omni import Omni, initialise
from omnie.model.reading import Readings, spelling
from omnie.model.reading import things as names
from omnie.model.reading.marks import Marks
from omnie.model.reading.words import NGRAMS
from omnie.processor import Encoder
from omnie.processor.tokens import COUNT
from omnie.train import circuits
from omnie.train.config import TrainConfig
from omnie.train.stream.source import BUILT_IN

HEAD, WEIGHTS = "lm_head.weight", "model.safetensors"


def seed_of(config: TrainConfig) -> int:
    """The seed of a run: its own, or one that follows from the weights that it begins with. A stream that began anew with every
    run would show a model that goes on what it has been shown already."""
    if config.seed is not None or config.init is None:
        return config.seed or 0
    seed = 0
    for file in sorted(config.init.glob("*.safetensors")):
        seed = zlib.crc32(file.read_bytes(), seed)
    return seed


def build(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> Omni:
    """A model with fresh weights (by the run's seed) or those of a folder (int8 ones too), ready to train.

    Raises:
        CheckpointError: the folder's encoders do not fit.
    """
    torch.manual_seed(seed_of(config))
    texts = Encoder.load(config.processor or BUILT_IN).tokenizer.texts
    if config.init:
        model = checkpoint.load(config.init)[0]
        if config.marks:
            _learn_marks(model, config.marks)
        if config.lookahead:
            _learn_to_look_ahead(model, config.lookahead)
    else:
        model = Omni(architecture.architecture(config.size))
        circuits.install(model)
        circuits.liken(model.model.language_model.embed_tokens.weight, texts)
    if config.encoders_from:
        _take_encoders(model, config.encoders_from)
        shorten(model)
    if model.model.reading is not None:
        _tell_names(model.model.reading, texts)
    model.model.language_model.gradient_checkpointing = config.checkpointing
    return cast(model, dtype).to(device).train()


def _learn_marks(model: Omni, series: int) -> None:
    """A fresh head for charts' marks, where a model has none."""
    reading, config = model.model.reading, model.config
    if reading is None or "image" not in reading:
        raise CheckpointError("the model reads no pictures", value=config.reading, allowed='a "reading" with image')
    if reading["image"].marks is None:
        reading["image"].marks = Marks(config.hidden_size, series)
        reading["image"].marks.apply(lambda module: initialise(module, config.initializer_range))
        model.config = model.model.config = replace(config, reading={**(config.reading or {}), "marks": series})


def _learn_to_look_ahead(model: Omni, tokens: int) -> None:
    """A fresh lookahead, which changes nothing yet, where a model has none; the same for any seed, as runs side by side go on
    from the mean of their weights."""
    decoder = model.model.language_model
    if decoder.lookahead is None:
        config = replace(model.config, lookahead=tokens)
        config.check()
        decoder.lookahead = Lookahead(config.hidden_size, tokens)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            decoder.lookahead.initialise()
        model.config = model.model.config = decoder.config = config


def _tell_names(reading: Readings, texts: list[bytes]) -> None:
    """What tokens say, and what things are called in both languages."""
    reading.spelling[: len(texts)] = spelling.table(texts, COUNT)
    known = reading["image"].things if "image" in reading else None
    if known is not None:
        if len(known.names) != len(things()):
            hint = 'set "things" in the config\'s "reading" to the number of the table, data/pictures/objects.toml'
            raise CheckpointError("the model names other things", value=len(known.names), allowed=str(len(things())), hint=hint)
        known.names[:] = names.table([f"{thing.german} {thing.name}" for thing in things().values()])


@torch.no_grad()
def shorten(model: Omni) -> list[Tensor]:
    """Media tokens of length 1, as text embeddings have, by gains that are returned: encoders let them grow to ten times that,
    and what the first layers write beside a token (what stood before it) would then be too faint to be found."""
    gains = [model.model.visual.merger.output_norm.weight, model.model.audio.output_norm.weight]
    for gain in gains:
        gain.div_(gain.norm())
    return gains


def _take_encoders(model: Omni, folder: Path) -> None:
    """The encoders of another model, what it reads in their tokens, and what it knows of what is usually read; how words are
    recalled stays the new decoder's own."""
    giver = checkpoint.load(folder)[0]
    own, theirs = _encoders(model), _encoders(giver)
    for name, part in own.items():
        try:
            part.load_state_dict(theirs[name].state_dict())
        except RuntimeError as error:
            hint = "its architecture must be that of the new model"
            raise CheckpointError("encoders do not fit", value=f"{folder}: {error}", hint=hint) from None
    found = dict(model.config.reading or {})
    for name, reading in (giver.model.reading or {}).items():
        if reading.ngrams is not None and model.model.reading is not None and name in model.model.reading:
            model.model.reading[name].ngrams = reading.ngrams
            found[NGRAMS[name]] = len(reading.ngrams)
    model.config = model.model.config = replace(model.config, reading=found or None)


def _encoders(model: Omni) -> dict[str, nn.Module]:
    """What turns media into tokens and letters, by name."""
    body = model.model
    parts = {"visual": body.visual, "audio": body.audio}
    for name, reading in (body.reading or {}).items():
        parts |= {f"{name} steps": reading.step_head, f"{name} letters": reading.letter_head}
        more = {f"{name} things": reading.things, f"{name} marks": reading.marks}
        parts |= {own: part for own, part in more.items() if part is not None}
    return parts


def cast(model: Omni, dtype: torch.dtype) -> Omni:
    """Weights in `dtype`, except the routers: rounding their scores would change which experts are chosen."""
    routers = {id(p) for module in model.modules() if isinstance(module, Router) for p in module.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in routers:
            parameter.data = parameter.data.to(dtype)
    return model


def export(model: Omni, folder: Path, processor: Path | None, masters: dict[str, Tensor] | None = None) -> None:
    """Writes a model folder in the training dtype; each file appears whole or not at all.

    Args:
        model: Its weights are written, but those that `masters` has by name, which may be finer.
        folder: Where to.
        processor: Folder to copy tokenizer and settings from; None for the built-in ones.
        masters: Name -> weights, of any floating-point type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state, finer = model.state_dict(), masters or {}
    weights = {key: finer.get(key, x).to(x.dtype).cpu().contiguous() for key, x in state.items() if key != HEAD}
    save_file(weights, folder / f".{WEIGHTS}.part", metadata={"format": "pt"})
    os.replace(folder / f".{WEIGHTS}.part", folder / WEIGHTS)
    (folder / "config.json").write_text(architecture.to_json(model.config), encoding="utf-8")
    for name in ("tokenizer.json", "processor_config.json"):
        shutil.copyfile((processor or BUILT_IN) / name, folder / name)
