"""`omnie train`: one option for each field of `TrainConfig`, with that field's own sentence as its help."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from omnie.train.config import TrainConfig


def command() -> Callable[..., None]:
    """The verb as a function whose signature is `TrainConfig`'s, as typer reads it."""

    def train(**options: Any) -> None:
        run(TrainConfig(**options))

    train.__doc__ = "Train a model, or go on with the run in --out."
    train.__signature__ = inspect.Signature(list(parameters()))  # type: ignore[attr-defined]
    return train


def parameters() -> typing.Iterator[inspect.Parameter]:
    kinds, sentences = typing.get_type_hints(TrainConfig), helps()
    for field in dataclasses.fields(TrainConfig):
        kind = Annotated[kinds[field.name], typer.Option(help=sentences.get(field.name))]
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def helps() -> dict[str, str]:
    """Field -> what `TrainConfig`'s docstring says after the field's name (or after "name, name:")."""
    text = " ".join((TrainConfig.__doc__ or "").partition("Attributes:")[2].split())
    name = "(?:" + "|".join(field.name for field in dataclasses.fields(TrainConfig)) + ")"
    starts = list(re.finditer(rf"\b({name}(?:, {name})*): ", text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return {key: text[match.end() : end].strip(" ;") for match, end in zip(starts, ends) for key in match[1].split(", ")}


def run(config: TrainConfig) -> None:
    """Train and say on stdout what was done."""
    from omnie.train.process import prepare

    prepare()  # before torch is imported
    from omnie.train.trainer import train

    result = train(config)
    print(f"{result.steps} steps, {result.tokens} tokens, {result.seconds:.0f} s: {config.out / 'model'}")
