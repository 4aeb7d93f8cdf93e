"""A model with an encoder that it did not have: its folder is copied tensor by tensor, fresh weights beside what is there.

So far: hearing. The new encoder and the new experts are drawn at random, ready to train; what the model says about text, images
and video stays the same to the last bit, for their tokens never meet the new weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omnie import checkpoint
from omnie.errors import OptionError
from omnie.model.audio import AudioEncoder
from omnie.model.config import Architecture, to_json
from omnie.model.experts import ExpertGroup
from omnie.model.omni import Omni, initialise
from omnie.processor.encode import Encoder
from omnie.processor.ernie import ErnieEncoder
from omnie.quantise.files import Layout, size, write

EXPERTS = {"experts": 16, "width": 128, "top_k": 4}
"""Audio experts of a layer, as in `8b`."""
TOKEN = "<|AUDIO_PLACEHOLDER|>"
"""Stands for sound, where the embedding has room for another token."""
ENCODER, GROUP = "model.audio.", ".mlp.groups.audio."
Progress = Callable[[str, int, int], None]
"""(tensor, tensors written, tensors in all)"""


def extend(
    source: str | Path | None,
    target: str | Path,
    *,
    audio: dict[str, Any] | None = None,
    experts: dict[str, int] | None = None,
    token: str | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Writes a model folder that hears.

    Args:
        source: A model folder, published or ours, in floating point or int8.
        target: The folder to write; it must not hold a model, unless `force` replaces it.
        audio: What differs from the audio encoder's defaults (`AudioArchitecture`).
        experts: `experts`, `width` and `top_k` of the audio experts; models without experts get none.
        token: The token that stands for sound; None: a new one, or one that the tokenizer keeps unused.
        seed: Of the fresh weights.

    Returns:
        The numbers of parameters, `new` and `total`; of a published model also `audio_token` and its `id`.

    Raises:
        OptionError: the model hears already, no token is free, or the target is in the way.
        CheckpointError: the source is damaged; no target is left then.
    """
    target = Path(target)
    parameters, encoder = checkpoint.parameters(source), checkpoint.load_encoder(source)
    if parameters.model.config.audio is not None:
        raise OptionError(
            "the model hears already", value=source or checkpoint.DEFAULT, allowed="a model without audio encoder"
        )
    if (target / "config.json").exists() and not force:
        raise OptionError("the target exists", value=target, allowed="a new folder", hint="--force replaces the model in it")
    if isinstance(encoder, ErnieEncoder):
        spelling, number = free_token(encoder, parameters.model.config.vocab_size, token)
        encoder = encoder.hearing(spelling, number)
    config = _config(parameters.model.config, audio or {}, experts or EXPERTS, encoder)
    with torch.device("meta"):
        model = Omni(config)
    _write(target, model, parameters, encoder, seed, progress)
    new = sum(tensor.numel() for name, tensor in model.named_parameters() if _is_new(name))
    total = sum(tensor.numel() for tensor in model.parameters())
    result: dict[str, Any] = {"new": new, "total": total}
    if isinstance(encoder, ErnieEncoder):
        result |= {"audio_token": encoder.names["audio"], "id": encoder.facts.placeholders["audio"]}
    return result


def free_token(encoder: ErnieEncoder, vocabulary: int, wanted: str | None = None) -> tuple[str, int]:
    """A token that the model does not use otherwise, and its id.

    Raises:
        OptionError: the wanted one is in use, or there is none.
    """
    used = {*encoder.facts.placeholders.values(), *encoder.stop}
    tokenizer = encoder.tokenizer
    found = tokenizer.backend.token_to_id(wanted or TOKEN)
    if found is not None and found not in used:
        return wanted or TOKEN, found
    if found is None and len(tokenizer) < vocabulary:
        return wanted or TOKEN, len(tokenizer)
    if wanted is None:
        for spelling, number in tokenizer.unused():
            if number not in used and number < vocabulary:
                return spelling, number
    raise OptionError(
        "no token is free to stand for sound" if wanted is None else "the token is in use",
        value=wanted or f"{len(tokenizer)} tokens, {vocabulary} embeddings",
        allowed="a token that the model does not need",
        hint="--audio-token names one",
    )


def _config(config: Architecture, audio: dict[str, Any], experts: dict[str, int], encoder: Any) -> Architecture:
    groups = config.expert_groups and {**config.expert_groups, "audio": dict(experts)}
    placeholders = dict(encoder.facts.placeholders) if isinstance(encoder, ErnieEncoder) else config.placeholders
    result = replace(config, audio=audio, expert_groups=groups, placeholders=placeholders)
    result.check()
    return result


def _is_new(name: str) -> bool:
    return name.startswith(ENCODER) or GROUP in name


def _write(
    target: Path, model: Omni, parameters: checkpoint.Parameters, encoder: Encoder | ErnieEncoder, seed: int, progress: Progress
) -> None:
    """The whole folder."""
    plan = _shards(model, parameters)
    total, done = sum(map(len, plan)), 0

    def data(layout: Layout) -> Iterator[Tensor]:
        nonlocal done
        fresh = _Fresh(model.config, seed)
        for name, (_, dtype) in layout.items():
            yield (fresh.read(name) if _is_new(name) else parameters.read(name)).to(dtype)
            done += 1
            progress(name, done, total)

    target.mkdir(parents=True, exist_ok=True)
    with checkpoint.appearing(target) as part:
        names = [checkpoint.WEIGHTS]
        if len(plan) > 1:
            names = [f"model-{n + 1:05}-of-{len(plan):05}.safetensors" for n in range(len(plan))]
            index = {name: file for file, layout in zip(names, plan) for name in layout}
            bytes_ = sum(size(*entry) for layout in plan for entry in layout.values())
            text = json.dumps({"metadata": {"total_size": bytes_}, "weight_map": index}, indent=1)
            (part / checkpoint.INDEX).write_text(text + "\n", "utf-8")
        for file, layout in zip(names, plan):
            write(part / file, layout, data(layout))
        encoder.save(part)
        (part / "config.json").write_text(to_json(model.config), "utf-8")


def _shards(model: Omni, parameters: checkpoint.Parameters) -> list[Layout]:
    """What each file will hold; fresh weights take the embedding's type, routers float32."""
    plain = parameters.dtype("model.language_model.embed_tokens.weight")
    plan: list[Layout] = [{}]
    filled = 0
    for name, tensor in model.state_dict().items():
        if name in checkpoint.tied(model):
            continue
        dtype = (torch.float32 if ".gate." in name else plain) if _is_new(name) else parameters.dtype(name)
        entry = (list(tensor.shape), dtype)
        if filled and filled + size(*entry) > checkpoint.SHARD:
            plan, filled = [*plan, {}], 0
        plan[-1][name] = entry
        filled += size(*entry)
    return plan


class _Fresh:
    """Fresh weights by name: of the audio encoder, and of one layer's experts at a time."""

    def __init__(self, config: Architecture, seed: int):
        self.config, self.seed = config, seed
        self._made: tuple[str, dict[str, Tensor]] = ("", {})

    def read(self, name: str) -> Tensor:
        prefix = ENCODER if name.startswith(ENCODER) else name[: name.index(GROUP) + len(GROUP)]
        if self._made[0] != prefix:
            self._made = (prefix, self._module(prefix).state_dict(prefix=prefix))
        return self._made[1][name].contiguous()

    def _module(self, prefix: str) -> nn.Module:
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + sum(ord(letter) * 31**n for n, letter in enumerate(prefix)) % 2**31)
            if prefix == ENCODER:
                module: nn.Module = AudioEncoder(config.audio_architecture, config.hidden_size)
            else:
                module = ExpertGroup(config.hidden_size, **config.expert_groups["audio"], norm_min=config.router_norm_min)
            return module.apply(lambda part: initialise(part, config.initializer_range))
