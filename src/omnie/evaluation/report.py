"""A report as a table for people and as a file for programs, and where its numbers come from (weights, machine, date)."""

import datetime
import hashlib
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch

from omnie import checkpoint
from omnie.data.skills import group_of
from omnie.errors import OptionError
from omnie.evaluation.summary import SUREST

WORST = 3
"""Families of a skill that a table names."""


def table(report: dict[str, Any]) -> str:
    """Lines of equal columns: a group, then its skills indented; behind them the families that a skill is worst with, where the
    report has them."""
    lines = [f"{'skill':<22}{'score':>8}{'n':>6}   95 % interval"]
    for group, row in report["skills"].items():
        lines.append(_line(group, row))
        lines += [_line(f"  {name}", row) for name, row in report["detail"].items() if group_of(name) == group]
    for name, rows in report.get("hardest", {}).items():
        lines += [_line(f"{name}: {row['kind']} {row['name']}", row) for row in rows[:WORST]]
    return "\n".join(lines)


def _line(name: str, row: dict[str, Any]) -> str:
    rates = "".join(f"   {rate} {row[rate]:.1%}" for rate in ("cer", "wer", "chance") if rate in row)
    if "confidence" in row:
        rates += f"   surest {SUREST:.0%}: {row['confidence']['surest']:.1%}, AUROC {row['confidence']['auroc']:.2f}"
    return f"{name:<22}{row['score']:>8.1%}{row['n']:>6}   {row['low']:.1%} to {row['high']:.1%}{rates}"


def check(path: Path) -> None:
    """That a report can be written there, before hours go into it; makes the folder.

    Raises:
        OptionError: it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise PermissionError("a folder, or in a folder that may not be written")
    except OSError as error:
        raise OptionError("the report cannot be written", value=path, allowed="a file name", hint=str(error)) from error


def write(path: Path, report: dict[str, Any]) -> None:
    """The report as JSON; the file is the old one or the new one at any time."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def provenance(reference: str | Path | None) -> dict[str, Any]:
    """Model, date (UTC) and hardware of a report."""
    return {
        "model": {"name": str(reference or checkpoint.DEFAULT), "sha256": digest(reference)},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hardware": {"cpu": cpu(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
    }


def digest(reference: str | Path | None) -> str:
    """SHA-256 of a model's weight files, one after the other."""
    folder, result = checkpoint.find(reference), hashlib.sha256()
    for name in checkpoint.shard_names(folder):
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                result.update(block)
    return result.hexdigest()


def cpu() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
