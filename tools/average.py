"""Averages weights: `python tools/average.py OUT FOLDER FOLDER...` writes the mean of model folders of one run to OUT.

Late weights of a run differ by its steps' noise, which their mean has less of (Izmailov et al. 2018). With `--before MODEL`,
the mean then goes a part of the way back to the weights that the run began with, `--encoders` and `--others` of it: what was
learned last is often best taken over in part (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903). All but the weights is the
first folder's, tables of bytes too; a lookahead that the weights before do not have counts for less. Whether the result is
better is for `omnie eval skills --split validation` to say.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnie import checkpoint
from omnie.train.optim.optimizer import PARTS

WEIGHTS = "model.safetensors"
TABLE = re.compile(r"\.(ngrams|spelling|names)$")
"""Buffers that hold bytes, which have no mean."""
LOOKAHEAD = re.compile(r"\.lookahead\.")
"""What a model learns that saw nothing ahead before."""


def mean(tensors: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of models, in float32: bfloat16 would round the noise that was averaged away back in."""
    shapes = [{name: tensor.shape for name, tensor in one.items() if not TABLE.search(name)} for one in tensors]
    if any(one != shapes[0] for one in shapes):
        sys.exit("the folders hold models of different shapes")
    sums = {name: sum((one[name].float() for one in tensors[1:]), tensors[0][name].float()) for name in shapes[0]}
    return tensors[0] | {name: found / len(tensors) for name, found in sums.items()}


def back(weights: dict[str, Tensor], before: str, encoders: float, others: float) -> dict[str, Tensor]:
    """Weights moved towards a model's weights, by a share for what reads media and one for all else.

    Where these do not look ahead, that is a projection of zeros, whatever it would see (`model/layers/lookahead.py`).
    """
    start = checkpoint.load(before)[0].state_dict()
    new = {name: weights[name] for name in weights.keys() - start.keys() if LOOKAHEAD.search(name)}
    start |= {name: torch.zeros_like(one) if name.endswith("proj.weight") else one for name, one in new.items()}
    shares = {name: encoders if PARTS["encoders"].search(name) else others for name in weights if not TABLE.search(name)}
    return weights | {name: weights[name].float().lerp(start[name].float(), share) for name, share in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--before", metavar="MODEL", help="a model folder or a built-in model")
    parser.add_argument("--encoders", type=float, default=0.5, help="share of the way back, 0 to 1 (default: 0.5)")
    parser.add_argument("--others", type=float, default=0.0, help="the same for all other weights (default: 0)")
    given = parser.parse_args()
    if given.out.exists():
        sys.exit(f"{given.out} exists already")
    weights = mean([load_file(folder / WEIGHTS) for folder in given.folders])
    if given.before:
        weights = back(weights, given.before, given.encoders, given.others)
    shutil.copytree(given.folders[0], given.out, ignore=shutil.ignore_patterns(WEIGHTS))
    with safe_open(given.folders[0] / WEIGHTS, "pt") as opened:
        save_file(weights, given.out / WEIGHTS, metadata=opened.metadata())


if __name__ == "__main__":
    main()
