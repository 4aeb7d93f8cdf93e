"""What is summed up between two reports of a run: times by phase, losses by kind and by skill, router statistics."""

import time
from collections import Counter

import torch
from torch import Tensor

from omnie.model.experts import RouterTrace
from omnie.train.objective.routers import imbalance
from omnie.train.stream.feed import Step


class Meter:
    """Sums since the last report. Losses stay on the device until then, so that metering makes no step wait for the GPU."""

    def __init__(self) -> None:
        self.trace: RouterTrace | None = None
        self._recent: dict[str, float] = {}
        self._clear()

    def _clear(self) -> None:
        self._since = time.monotonic()
        self._times: Counter[str] = Counter()
        self._sums: dict[str, list[Tensor]] = {}
        self._skills: list[tuple[tuple[str, ...], Tensor]] = []
        self._notes: dict[str, float] = {}
        self._tokens = self._slots = self._batches = 0

    @property
    def age(self) -> float:
        return time.monotonic() - self._since

    def time(self, name: str) -> "_Timer":
        return _Timer(self._times, name)

    def batch(self, step: Step) -> None:
        self._tokens, self._slots, self._batches = self._tokens + step.tokens, self._slots + step.slots, self._batches + 1

    def skills(self, names: tuple[str, ...], sums: Tensor) -> None:
        self._skills.append((names, sums))

    def add(self, name: str, value: Tensor) -> None:
        self._sums.setdefault(name, []).append(value)

    def note(self, **values: float) -> None:
        self._notes |= values

    def skill_losses(self) -> dict[str, float]:
        """Mean cross-entropy by skill, as last reported."""
        if self._skills:
            self.flush()
        return self._recent

    def flush(self) -> dict[str, float]:
        """Means since the last flush, then forgets them."""
        age, sums, counts = self.age, Counter(), Counter()
        for names, both in self._skills:
            for name, loss, count in zip(names, *both.tolist(), strict=True):
                sums[name] += loss
                counts[name] += count
        self._recent = {name: sums[name] / counts[name] for name in sorted(sums) if counts[name]}
        values = {"loss": sum(sums.values()) / max(1, sum(counts.values())), **self._notes}
        values |= {"tokens/s": self._tokens / age, "padding": 1 - self._tokens / max(1, self._slots)}
        values |= {f"share/{name}": seconds / age for name, seconds in self._times.items()}
        values |= {name: float(torch.stack(parts).mean()) for name, parts in self._sums.items()}
        values |= {f"skill/{name}": value for name, value in self._recent.items()}
        values |= {f"imbalance/{name}": value for name, value in (imbalance(self.trace) if self.trace else {}).items()}
        self._clear()
        return values


class _Timer:
    def __init__(self, times: Counter[str], name: str):
        self.times, self.name = times, name

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.times[self.name] += time.monotonic() - self.start
