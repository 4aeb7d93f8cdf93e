"""`python -m omnie.train --out runs/nano --minutes 60`: every field of `TrainConfig` is an option."""

import argparse
import dataclasses
import sys
import typing
from pathlib import Path

from omnie.errors import OmnieError
from omnie.train.config import TrainConfig


def parser() -> argparse.ArgumentParser:
    """Options made from the config's fields."""
    layout = argparse.RawTextHelpFormatter
    result = argparse.ArgumentParser("omnie.train", description=TrainConfig.__doc__, formatter_class=layout)
    for field, kind in typing.get_type_hints(TrainConfig).items():
        choices = [k for k in typing.get_args(kind) if k is not type(None)] or [kind]
        default = {f.name: f.default for f in dataclasses.fields(TrainConfig)}[field]
        required = default is dataclasses.MISSING
        options = {"action": "store_true"} if choices[0] is bool else {"type": choices[0], "required": required}
        result.add_argument("--" + field.replace("_", "-"), **options, **({} if required else {"default": default}))
    return result


def main() -> int:
    """Trains; returns the exit status."""
    try:
        config = TrainConfig(**vars(parser().parse_args()))
        from omnie.train.process import prepare

        prepare()  # before PyTorch is imported
        from omnie.train.trainer import train

        result = train(config)
    except OmnieError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{result.steps} steps, {result.tokens} tokens, {result.seconds:.0f} s: {Path(config.out) / 'model'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
