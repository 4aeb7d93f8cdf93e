"""`python -m omnie.train --out runs/nano --minutes 60`: every field of `TrainConfig` is an option."""

import argparse
import dataclasses
import sys
import typing

from omnie.errors import OmnieError
from omnie.train.config import TrainConfig


def parser() -> argparse.ArgumentParser:
    """Options made from the config's fields."""
    result = argparse.ArgumentParser("omnie.train", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    hints = typing.get_type_hints(TrainConfig, include_extras=True)
    for field in dataclasses.fields(TrainConfig):
        kind, text = typing.get_args(hints[field.name])
        plain = next((k for k in typing.get_args(kind) if k is not type(None)), kind)
        options = {"action": "store_true"} if plain is bool else {"type": plain}
        required = field.default is dataclasses.MISSING
        options |= {"required": True} if required else {"default": field.default}
        result.add_argument("--" + field.name.replace("_", "-"), help=text, **options)
    return result


def main() -> int:
    """Trains; returns the exit status."""
    try:
        config = TrainConfig(**vars(parser().parse_args()))
        from omnie.train.optim.process import prepare

        prepare()  # before PyTorch is imported
        from omnie.train.trainer import train

        result = train(config)
    except OmnieError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{result.steps} steps, {result.tokens} tokens, {result.seconds:.0f} s: {config.out / 'model'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
