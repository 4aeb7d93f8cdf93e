"""Writes `benchmarks/results/training.json`, the record of the run whose weights are shipped: `python tools/record.py RUN`.

A run's folder holds `metrics.jsonl` (all scalars) and checkpoints with the run's settings; the record keeps what a reader needs
to judge the weights and to train them again: machine, time, tokens, settings, the loss curve, the losses by skill.
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
FOLDERS = ("out", "init", "processor", "mix")
"""Settings that mean nothing on another machine."""


def hardware() -> str:
    """The processor's name and the number of its cores that this process may use."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.is_file() else None
    return f"{named[1] if named else platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def record(run: Path, device: str) -> dict[str, Any]:
    """The run's record; `device` says on what it ran."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    checks = [line for line in lines if any(name.startswith("validation/") for name in line)]
    last = steps[-1]
    finished = datetime.date.fromtimestamp((run / "metrics.jsonl").stat().st_mtime)
    return {
        "device": device,
        "date": finished.isoformat(),
        "steps": last["step"],
        "tokens": int(last["tokens"]),
        "seconds": last["seconds"],
        "loss": last["loss"],
        "settings": settings(run),
        "losses": recent(steps, "skill/"),
        "validation": recent(checks, "validation/"),
        "curve": [[line["step"], int(line["tokens"]), line["loss"]] for line in thinned(steps)],
    }


def settings(run: Path) -> dict[str, Any]:
    """What the run was told, as its newest checkpoint has it."""
    states = sorted(run.glob("step-*/state.json"))
    config = json.loads(states[-1].read_text("utf-8"))["config"] if states else {}
    return {
        name: value for name, value in config.items() if name not in ("out", "init", "processor", "mix") and value is not None
    }


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
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--device", default=hardware(), help="on what it ran (default: this machine)")
    known = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record(known.run, known.device), indent=1)
    # A curve's point is one line: three numbers below each other would make a long file of a short table.
    text = re.sub(r"\[\s+(\d+),\s+(\d+),\s+([\d.]+)\s+\]", r"[\1, \2, \3]", text)
    (RESULTS / "training.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
