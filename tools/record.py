"""Writes `benchmarks/results/training.json`, how the shipped weights were trained: `python tools/record.py RUN [RUN]...`.

A run's folder holds `metrics.jsonl` (all scalars) and checkpoints with the run's settings. Where a run began with the weights
of another one, both are named in order: steps, tokens and time add up, the losses are those of the last. Where the first of
them began with the weights that are shipped, `--after` puts them behind the record that there is. The record keeps what a
reader needs to judge the weights and to train them again.
"""

import argparse
import datetime
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
POINTS = 60
"""Of the curve."""
FOLDERS = ("out", "init", "encoders_from", "processor", "mix", "peers")
"""Settings that mean nothing on another machine."""


def hardware() -> str:
    """The processor's name and the number of its cores that this process may use."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.is_file() else None
    return f"{named[1] if named else platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def record(runs: list[Path], device: str) -> dict[str, Any]:
    """The record of runs that went on from each other; `device` says on what they ran."""
    parts = [[line for line in scalars(run) if "loss" in line] for run in runs]
    checks = [line for line in scalars(runs[-1]) if any(name.startswith("validation/") for name in line)]
    finished = datetime.date.fromtimestamp((runs[-1] / "metrics.jsonl").stat().st_mtime)
    return {
        "device": device,
        "date": finished.isoformat(),
        **{name: round(sum(lines[-1][key] for lines in parts)) for name, key in TOTALS.items()},
        "loss": parts[-1][-1]["loss"],
        "settings": [settings(run) for run in runs],
        "losses": recent(parts[-1], "skill/"),
        "validation": recent(checks, "validation/"),
        "curves": [[[line["step"], int(line["tokens"]), line["loss"]] for line in thinned(lines)] for lines in parts],
    }


def appended(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """One record of what came before and after."""
    devices = list(dict.fromkeys([*before["device"].split("; "), after["device"]]))
    return {
        **after,
        "device": "; ".join(devices),
        **{name: before[name] + after[name] for name in (*TOTALS, "settings", "curves")},
    }


TOTALS = {"steps": "step", "tokens": "tokens", "seconds": "seconds"}
"""What adds up over runs -> the scalar that counts it."""


def scalars(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def settings(run: Path) -> dict[str, Any]:
    """What the run was told, as its newest checkpoint has it."""
    states = sorted(run.glob("step-*/state.json"))
    config = json.loads(states[-1].read_text("utf-8"))["config"] if states else {}
    return {name: value for name, value in config.items() if name not in FOLDERS and value is not None}


def recent(lines: list[dict[str, Any]], prefix: str) -> dict[str, float]:
    """The last value of every scalar with a prefix."""
    values: dict[str, float] = {}
    for line in lines:
        values |= {name.removeprefix(prefix): value for name, value in line.items() if name.startswith(prefix)}
    return dict(sorted(values.items()))


def thinned(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most about `POINTS` lines, evenly spaced, the last one among them."""
    return lines[:: -max(1, len(lines) // POINTS)][::-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, the first one first")
    parser.add_argument("--device", default=hardware(), help="on what it ran (default: this machine)")
    parser.add_argument("--after", action="store_true", help="go on from the committed record")
    known = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = record(known.runs, known.device)
    if known.after:
        found = appended(json.loads((RESULTS / "training.json").read_text("utf-8")), found)
    text = json.dumps(found, indent=1)
    # A curve's point is one line: three numbers below each other would make a long file of a short table.
    text = re.sub(r"\[\s+(\d+),\s+(\d+),\s+([\d.]+)\s+\]", r"[\1, \2, \3]", text)
    (RESULTS / "training.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
