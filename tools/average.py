"""Averages weights: `python tools/average.py OUT FOLDER FOLDER...` writes the mean of model folders of one run to OUT.

Late weights of a run differ by its steps' noise, which their mean has less of (Izmailov et al. 2018). All but the weights is
the first folder's. Whether the mean is better is for `omnie eval skills --split validation` to say.
"""

import argparse
import shutil
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def average(out: Path, folders: list[Path]) -> None:
    """Writes the mean; folders whose tensors differ in names or shapes end with a message and nothing written."""
    tensors = [load_file(folder / WEIGHTS) for folder in folders]
    shapes = [{name: tensor.shape for name, tensor in one.items()} for one in tensors]
    if out.exists() or any(one != shapes[0] for one in shapes):
        sys.exit(f"{out} exists already" if out.exists() else "the folders hold models of different shapes")
    # float32: bfloat16 would round the noise that was averaged away back in
    mean = {name: sum(one[name].float() for one in tensors) / len(tensors) for name in tensors[0]}
    shutil.copytree(folders[0], out, ignore=shutil.ignore_patterns(WEIGHTS))
    with safe_open(folders[0] / WEIGHTS, "pt") as opened:
        save_file(mean, out / WEIGHTS, metadata=opened.metadata())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    options = parser.parse_args()
    average(options.out, options.folders)


if __name__ == "__main__":
    main()
