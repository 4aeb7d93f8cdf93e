"""What a run says while it runs: one line to stderr, TensorBoard scalars, and `metrics.jsonl` beside the checkpoints."""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any


class RunLog:
    """Scalars by step. On a terminal it keeps a progress bar; elsewhere it prints a line every `every` seconds.

    Args:
        run: Folder of the run; scalars are appended there, so that a resumed run continues its curves.
        every: Seconds between lines.
    """

    def __init__(self, run: Path, every: float = 15.0):
        run.mkdir(parents=True, exist_ok=True)
        self.every, self._last = every, 0.0
        self._file = (run / "metrics.jsonl").open("a", encoding="utf-8")
        self._board = _board(run)
        self._bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> "RunLog":
        (self._bar or nullcontext()).__enter__()
        if self._bar:
            self._task = self._bar.add_task("training", total=1.0, line="")
        return self

    def __exit__(self, *error: Any) -> None:
        (self._bar or nullcontext()).__exit__(*error)
        self._file.close()
        if self._board:
            self._board.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps values for the curves."""
        self._file.write(json.dumps({"step": step, **{name: round(value, 5) for name, value in values.items()}}) + "\n")
        self._file.flush()
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def line(self, progress: float, text: str, force: bool = False) -> None:
        """Shows where the run stands."""
        if self._bar:
            self._bar.update(self._task, completed=progress, line=text)
        elif force or time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            print(f"{progress:6.1%}  {text}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """An event worth a line of its own."""
        (self._bar.console.print if self._bar else _stderr)(text)


def _stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.fields[line]}"))
    return Progress(*columns, console=Console(stderr=True))


def _board(run: Path) -> Any:
    """A TensorBoard writer, or None where TensorBoard is not installed: `metrics.jsonl` has the same values."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"))
