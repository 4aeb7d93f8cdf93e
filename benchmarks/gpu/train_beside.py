"""Trains nano's encoders and several of its decoders side by side on one GPU, all from the repository's root.

Of a decoder's step most is finding what the encoders read, in Python, so decoders train as several runs that go on from the
mean of their weights every few seconds (`omnie train --peers`), while the encoders train beside them: on an H100 with 16 cores
four decoders at 18,000 and encoders at 189,000 tokens a second, or twelve decoders at 14,000 each, when every batch came once.
Since then each comes four times, and what is read in it is kept (`--reuse`).

Carry what `train_nano.py pack` wrote. Then, in one call or in two on the same machine:
`python3 benchmarks/gpu/train_beside.py --encoders --minutes 7.3 --decoders 4 -- --lr 0.002 --decay 0.3`, and for the decoder to
go on behind the new encoders `... --minutes 4.9 --decoders 12 --init runs/gpu_beside --out runs/gpu_behind -- --lr 0.0015`.
`--dry` does as much on a CPU with small rows. Options after `--` go to every decoder.

What comes back in $OUT: the weights in parts as of `train_nano.py`, and `train_beside_gpu.json`, whose `runs` go behind those
of `benchmarks/results/`. A run that fails ends the call.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import train_nano
from train_nano import ROOT

MEETING = Path("/dev/shm/omnie-peers")
TIMES = 45, 90, 240
"""Seconds after which the runs are quoted."""
DECODER = ["--rows", "2", "--reuse", "4", "--workers", "1", "--coarse", "0", "--lr-other", "0.8"]
DRY = ["--rows", "1", "--row", "1024", "--workers", "1", "--threads", "1", "--reuse", "2"]


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--decoders", type=int, default=4)
    parser.add_argument("--encoders", action="store_true", help="train these too, behind which the decoders end up")
    parser.add_argument("--init", default="src/omnie/nano")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_beside"))
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args()
    train_nano.prepare_machine()
    shutil.rmtree(given.out, ignore_errors=True)
    shutil.rmtree(MEETING, ignore_errors=True)
    began = time.monotonic()
    runs = {f"decoder{n}": _decoder(given, n) for n in range(given.decoders)}
    if given.encoders:
        runs["encoders"] = ["encoders", "--init", given.init, "--workers", "6", "--repeats", "2"]
    if not _finished({name: _start(given, name, options) for name, options in runs.items()}, given.out, began):
        return 1
    _report(given, list(runs))
    return 0


def _decoder(given: argparse.Namespace, number: int) -> list[str]:
    meeting = ["--peers", str(MEETING), "--peer", str(number), "--seed", str(7000 + 10 * number + 100 * given.encoders)]
    return ["decoder", "--init", given.init, *DECODER, *meeting, *given.rest]


def _start(given: argparse.Namespace, name: str, options: list[str]) -> subprocess.Popen:
    """A run of `train_nano.py`, its output in `OUT/NAME.log`."""
    folder = given.out / name
    folder.mkdir(parents=True)
    command = [sys.executable, "benchmarks/gpu/train_nano.py", *options, "--out", str(folder), "--minutes", str(given.minutes)]
    command += ["--cases", "0", "--stop-after", "60", "--save-minutes", "60", *(DRY if given.dry else [])]
    environment = {**os.environ, "OUT": str(folder / "out"), "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    with (given.out / f"{name}.log").open("w") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _finished(processes: dict[str, subprocess.Popen], out: Path, began: float) -> bool:
    """Waits for all; as soon as one has failed ends the others and says what it said last."""
    times = list(TIMES)
    while any(process.poll() is None for process in processes.values()):
        failed = [name for name, process in processes.items() if process.poll()]
        if failed:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                process.wait()
            for name in failed:
                print(f"{name} failed:\n" + (out / f"{name}.log").read_text()[-3000:], flush=True)
            return False
        if times and time.monotonic() - began > times[0]:
            print(f"after {times.pop(0)} s", flush=True)
            for name in processes:
                print(f"{name}: " + "\n".join((out / f"{name}.log").read_text().splitlines()[-1:]), flush=True)
            print("load", *os.getloadavg(), flush=True)
        time.sleep(0.5)
    return not any(process.returncode for process in processes.values())


def _report(given: argparse.Namespace, runs: list[str]) -> None:
    """The decoders' mean, behind the new encoders where these were trained, into the run's folder and, in parts, into $OUT."""
    mean = given.out / "mean"
    command = [sys.executable, "tools/average.py", str(mean)]
    command += [str(given.out / name / "model") for name in runs if name != "encoders"]
    if "encoders" in runs:
        command += ["--before", str(given.out / "encoders" / "model"), "--encoders", "1", "--others", "0"]
    subprocess.run(command, cwd=ROOT, check=True)
    for path in mean.iterdir():
        shutil.move(path, given.out / path.name)
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(given.out / "model.safetensors")
    small = {name: x.bfloat16() if x.dtype == torch.float32 and x.ndim > 1 else x for name, x in weights.items()}
    save_file(small, given.out / "small.safetensors", metadata={"format": "pt"})
    out = Path(os.environ.get("OUT", given.out / "out"))
    out.mkdir(parents=True, exist_ok=True)
    train_nano.split(given.out / "small.safetensors", out)
    shutil.copy(given.out / "config.json", out)
    facts = {name: json.loads((given.out / name / "out" / "train_nano_gpu.json").read_text()) for name in runs}
    result = {"date": time.strftime("%Y-%m-%d"), "runs": [summed(facts, sys.argv[1:])]}
    (out / "train_beside_gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result), flush=True)


def summed(facts: dict[str, dict], options: list[str]) -> dict:
    """One call's record: what encoders did, and decoders together, from what `train_nano.py` says of each."""
    one = next(iter(facts.values()))
    kinds = {"encoders": [of for name, of in facts.items() if name == "encoders"]}
    kinds["decoders"] = [of for name, of in facts.items() if name != "encoders"]
    seconds = max(of["seconds"] for of in facts.values())
    return {
        **{name: one[name] for name in ("device", "torch")},
        "options": options,
        "seconds": seconds,
        **{
            kind: {
                "runs": len(own),
                **{name: sum(of[name] for of in own) for name in ("steps", "tokens")},
                "tokens_per_second": round(sum(of["tokens"] for of in own) / seconds, 1),
            }
            for kind, own in kinds.items()
            if own
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
