"""`omnie train`: one option for each field of `TrainConfig`, with that field's own sentence as its help."""

import dataclasses
import inspect
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
    """One keyword parameter a field; the sentence in the field's annotation is its help."""
    hints = typing.get_type_hints(TrainConfig, include_extras=True)
    for field in dataclasses.fields(TrainConfig):
        kind, sentence = typing.get_args(hints[field.name])
        option = Annotated[kind, typer.Option(help=sentence)]  # type: ignore[valid-type]
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)


def run(config: TrainConfig) -> None:
    """Train and say on stdout what was done."""
    from omnie.train.optim.process import prepare

    prepare()  # before torch is imported
    from omnie.train.trainer import train

    result = train(config)
    print(f"{result.steps} steps, {result.tokens} tokens, {result.seconds:.0f} s: {config.out / 'model'}")
