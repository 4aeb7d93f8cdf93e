"""Trains nano on a GPU machine without network, for the GPU queue, all from the repository's root.

1. Where there is a network: `python benchmarks/gpu/train_nano.py pack` writes `.gpu/` (put it into `.git/info/exclude`):
   the fonts and emoji of `.assets/` as one archive, and the packages that the machine lacks (espeakng-loader, soxr) as another,
   of espeak-ng's dictionaries only the German and the English one (together some 24 MiB). All else is there: torch 2.11,
   transformers 5.17, numpy, pillow, tokenizers, safetensors, fonttools, tensorboard. Training never imports PyAV, pypdfium2 or
   openpyxl.
2. There, with `.gpu` carried along, from the shipped weights: `python3 benchmarks/gpu/train_nano.py encoders --minutes 9`, then
   in the same call or the next `... decoder --minutes 17`. Each call stops after `--stop-after` (9) minutes and goes on
   where it stopped, on the same machine; on a fresh one give `--init` and the weights that came back. `fresh` is a new decoder
   behind the shipped encoders (that of the shipped weights learned most of what it knows before it had convolutions), `train`
   the whole way from random weights. The learning rate has decayed when the total of `--minutes` is up. Further options:
   `python -m omnie.train --help`.

What comes back in $OUT: the weights as `model.safetensors.NN` of at most 15 MiB (join them with `cat`), `config.json`,
`metrics.jsonl`, and `train_nano_gpu.json` (scores, losses, speed) for `benchmarks/results/`. To go on
from them on a fresh machine, write them as int8 over `src/omnie/nano/` first (`checkpoint.save(model, encoder, folder,
quantise="int8")`): the repository and the archives together just fit into 64 MiB. An H200 trained encoders at 250,000 tokens a
second (`docs/lab.md`); the first step is done after some 15 s.
"""

import argparse
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ROOT / ".gpu"
SITE = Path("/tmp/omnie-site")
LANGUAGES = ("de", "en")
WHEELS = ("espeakng-loader==0.2.4", "soxr==1.0.0")
PART = 15 << 20
BATCHES = {
    "workers": 14,
    "nice": 10,
    "threads": 2,
    "reuse": 2,
    "save-minutes": 4,
    "eval-minutes": 0,
    "lr": 5e-3,
    "lr-other": 0.6,
}
STAGES = {
    "encoders": {
        "out": "runs/gpu_encoders", "init": "src/omnie/nano", "mix": "benchmarks/mix/encoders.toml", "encoders": 1.0,
        "rows": 32, "row": 1024, "lr-encoders": 0.4, "warmup": 100, "decay": 0.8, **BATCHES,
    },
    "decoder": {
        "out": "runs/gpu_decoder", "init": "runs/gpu_encoders/model", "mix": "benchmarks/mix/decoder.toml", "rest": 1.0,
        "rows": 4, "row": 8192, "teach": 0.4, "pointing": 0.3, "lr-circuits": 0.5, "coarse": 0.25, "warmup": 100, "decay": 0.9,
        "lookahead": 12, "prompt": 0.0, **BATCHES,
    },
    "fresh": {
        "out": "runs/gpu_fresh", "encoders-from": "src/omnie/nano", "mix": "benchmarks/mix/decoder.toml", "rest": 1.0,
        "rows": 4, "row": 8192, "teach": 0.4, "pointing": 0.3, "coarse": 0.15, "warmup": 200, "decay": 0.6, **BATCHES,
    },
    "train": {
        "out": "runs/gpu", "rows": 64, "warmup": 200, "alignment": 0.6, "encoders": 0.15, "rest": 0.1, "lr-encoders": 0.5,
        "spelling": 0.3, "teach": 0.5, **BATCHES,
    },
}  # fmt: skip
"""Verb -> options where none are given (`docs/lab.md` says why)."""


def main() -> int:
    """Packs or trains; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("verb", choices=["pack", *STAGES])
    parser.add_argument("--stop-after", type=float, default=9.0, help="minutes of this call's training")
    parser.add_argument("--cases", type=int, default=6, help="validation cases a group at the end; 0: none")
    known, rest = parser.parse_known_args()
    return pack() if known.verb == "pack" else train(known.verb, known.stop_after, known.cases, rest)


def pack() -> int:
    """Writes `.gpu/` and says what it weighs: 64 MiB may travel, the repository's own files included."""
    CARRIED.mkdir(exist_ok=True)
    sys.path.insert(0, str(ROOT / "src"))
    from omnie.data.assets import assets

    with tarfile.open(CARRIED / "assets.tar.xz", "w:xz", preset=9) as archive:
        for asset in (asset for sort in ("font", "emoji") for asset in assets(sort) if asset.split == "train"):
            for path in sorted(asset.folder(ROOT / ".assets").iterdir()):
                member = tarfile.TarInfo(str(asset.folder(Path(".assets")) / path.name))
                content = smaller(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    platforms = [f"--platform=manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "_2_17", "2014", "1")]
    target = ["--python-version=3.12", "--implementation=cp", "--only-binary=:all:", "--no-deps", *platforms]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *target, "-d", folder, *WHEELS], check=True)
        site = Path(folder, "site")
        for wheel in Path(folder).glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(site)
        for dictionary in site.rglob("*_dict"):
            if dictionary.name.split("_")[0] not in LANGUAGES:
                dictionary.unlink()
        with tarfile.open(CARRIED / "site.tar.xz", "w:xz") as archive:
            archive.add(site, "site")
    total = sum(path.stat().st_size for path in CARRIED.rglob("*") if path.is_file())
    print(f"{CARRIED}: {total / 2**20:.1f} MiB")
    return 0


def smaller(path: Path) -> bytes:
    """A file's content; a picture's as lossless WebP, which Pillow tells by itself whatever the file's name."""
    if path.suffix != ".png":
        return path.read_bytes()
    from PIL import Image

    packed = io.BytesIO()
    with Image.open(path) as picture:
        picture.save(packed, "WEBP", lossless=True, exact=True, quality=100, method=4)
    return min(path.read_bytes(), packed.getvalue(), key=len)


def train(stage: str, stop_after: float, cases: int, options: list[str]) -> int:
    """Trains a stage for `stop_after` minutes or to the end of the schedule, validates, and fills $OUT."""
    prepare_machine()
    from omnie.train.__main__ import parser
    from omnie.train.config import TrainConfig
    from omnie.train.optim.process import prepare

    prepare()  # before PyTorch is imported
    given = [text for name, value in STAGES[stage].items() if f"--{name}" not in options for text in (f"--{name}", str(value))]
    config = TrainConfig(**vars(parser().parse_args([*given, *options])))
    from omnie.train.trainer import train as run

    timer = threading.Timer(60 * stop_after, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    result = run(config)
    timer.cancel()
    report(config, result, cases, options)
    return 0


def prepare_machine() -> None:
    """Unpacks what was carried, where it is not in place already."""
    sys.path.insert(0, str(ROOT / "src"))
    if not (ROOT / ".assets").exists():
        with tarfile.open(CARRIED / "assets.tar.xz") as archive:
            archive.extractall(ROOT, filter="data")
    if not SITE.exists() and not all(importlib.util.find_spec(name) for name in ("espeakng_loader", "soxr")):
        with tarfile.open(CARRIED / "site.tar.xz") as archive:
            archive.extractall(SITE.with_suffix(".part"), filter="data")
        (SITE.with_suffix(".part") / "site").rename(SITE)
    sys.path.append(str(SITE))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(SITE)])  # for the data workers


def report(config, result, cases: int, options: list[str]) -> None:
    """The weights in parts, the curves and the figures, into $OUT (the run's folder where that is not set)."""
    import torch

    from omnie import checkpoint
    from omnie.train.validate import validate

    run = config.out
    out = Path(os.environ.get("OUT", run / "out"))
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scores = {}
    if cases:
        model, _ = checkpoint.load(run / "model", dtype=torch.bfloat16)
        scores = validate(model.to(device), None, cases)
    facts = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "options": options,
        "config": {name: str(value) for name, value in vars(config).items()},
        "steps": result.steps,
        "tokens": result.tokens,
        "seconds": round(result.seconds, 1),
        "tokens_per_second": round(result.tokens / result.seconds, 1),
        "finished": result.finished,
        "losses": result.losses,
        "validation": scores,
    }
    (out / "train_nano_gpu.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    for name in (run / "model" / "config.json", run / "metrics.jsonl"):
        shutil.copy(name, out)
    split(run / "model" / "model.safetensors", out)
    print(json.dumps(facts))


def split(path: Path, out: Path, size: int = PART) -> list[Path]:
    """Writes a file as `NAME.00`, `NAME.01`, ... of at most `size` bytes; `cat NAME.*` joins them."""
    parts = []
    with path.open("rb") as source:
        while block := source.read(size):
            parts.append(out / f"{path.name}.{len(parts):02d}")
            parts[-1].write_bytes(block)
    return parts


if __name__ == "__main__":
    raise SystemExit(main())
