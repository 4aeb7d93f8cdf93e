"""Several runs on one machine that train one model, each by itself, and go on from the mean of their weights every while.

Local SGD (Stich 2018, arXiv 1805.09767; Lin et al. 2018, arXiv 1808.07217). A small model's step keeps a GPU busy for a
fraction of the time that one process needs to order it, so several processes that share a GPU train several times as fast; they
meet far too seldom for that to cost much. Unlike a `Team`, they share no memory and may come and go: a run that is not there
when the others meet is waited for once, and then not before it has come again.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PATIENCE = 5.0
"""Seconds that a meeting waits for a run that is late."""
POLL = 0.01
HERE, LEFT = "here", "weights"


class Peers:
    """One run's view of the others. Use it as a context manager: within it the others wait for this run.

    Args:
        folder: Where all of them leave their weights; best in memory (`/dev/shm`).
        peer: This run's number, another one for each.
        every: Seconds between meetings, at the same times of the clock for all.
        clock: Seconds since the epoch.
    """

    def __init__(self, folder: Path, peer: int, every: float, clock: Callable[[], float] = time.time):
        self.folder, self.peer, self.every, self.clock = folder, peer, every, clock
        self.meetings = 0
        self._last = self._number()
        self._late: set[str] = set()

    def __enter__(self) -> "Peers":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._of(HERE, self.peer).touch()
        return self

    def __exit__(self, *_: object) -> None:
        self._of(HERE, self.peer).unlink(missing_ok=True)
        for left in self.folder.glob(f"{LEFT}-*-{self.peer}"):
            left.unlink(missing_ok=True)

    @torch.no_grad()
    def meet(self, weights: Sequence[Tensor]) -> bool:
        """Gives these float32 tensors the mean of all runs' values when it is time to; returns whether it was."""
        number = self._number()
        if number == self._last:
            return False
        self._last = number
        own = torch.cat([tensor.detach().flatten() for tensor in weights]).float().cpu().numpy()
        partial = self.folder / f"partial-{self.peer}"
        own.tofile(partial)
        os.replace(partial, self._of(f"{LEFT}-{number}", self.peer))
        self._of(f"{LEFT}-{number - 2}", self.peer).unlink(missing_ok=True)
        found = [self._read(path, len(own)) for path in self._await(number)]
        mean = torch.from_numpy(np.mean([values for values in found if values is not None], axis=0, dtype=np.float32))
        parts = mean.to(weights[0].device).split([tensor.numel() for tensor in weights])
        for tensor, part in zip(weights, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
        self.meetings += 1
        return True

    def _number(self) -> int:
        return int(self.clock() // self.every)

    def _of(self, what: str, peer: int | str) -> Path:
        return self.folder / f"{what}-{peer}"

    def _await(self, number: int) -> list[Path]:
        """The files of a meeting, once everyone's are there or patience is over."""
        until = time.monotonic() + PATIENCE
        while True:
            came = {path.name.rpartition("-")[2]: path for path in self.folder.glob(f"{LEFT}-{number}-*")}
            expected = {path.name.rpartition("-")[2] for path in self.folder.glob(f"{HERE}-*")} - self._late
            self._late -= came.keys()
            if expected <= came.keys():
                return sorted(came.values())
            if time.monotonic() > until:
                self._late |= expected - came.keys()
                return sorted(came.values())
            time.sleep(POLL)

    @staticmethod
    def _read(path: Path, size: int) -> np.ndarray | None:
        """A run's weights; None of one that has gone, or that trains something else."""
        try:
            values = np.fromfile(path, np.float32)
        except FileNotFoundError:
            return None
        return values if len(values) == size else None
