"""Writes a folder of floating-point weights as nano is shipped, in int8: `python tools/ship.py FOLDER OUT [--calibrate 300]`.

With `--calibrate N` the rounding is fitted to what the matrices see in N examples of training's mixture, in which nothing
held out occurs (`quantise/calibrate.py`).
"""

import argparse
from pathlib import Path

import torch

from omnie import checkpoint
from omnie.evaluation.calibration import conversations
from omnie.quantise.calibrate import grams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--calibrate", type=int, default=0, metavar="N", help="examples to fit the rounding to (default: none)")
    given = parser.parse_args()
    model, encoder = checkpoint.load(given.folder, dtype=torch.float32)
    seen = grams(model, conversations(encoder, given.calibrate), lambda number: None) if given.calibrate else None
    checkpoint.save(model, encoder, given.out, quantise="int8", grams=seen)
    print(f"{sum(file.stat().st_size for file in given.out.iterdir()) / 2**20:.2f} MiB in {given.out}")


if __name__ == "__main__":
    main()
