"""Warm-up, stable, decay (WSD; Hu et al. 2024, MiniCPM, section 4): the learning rate as a share of its peak.

Progress is measured in steps or in wall-clock time, so that a run with a time budget has finished its decay when time is up.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A plan for one run.

    Attributes:
        steps: Total optimiser steps, or None.
        minutes: Total training time over all resumes, or None. With both, whichever is further along counts.
        warmup: Steps from zero to the peak.
        decay: Share of the run, at its end, in which the rate falls to `floor` of the peak (1 - sqrt: Haegele et al. 2024).
    """

    steps: int | None = None
    minutes: float | None = None
    warmup: int = 100
    decay: float = 0.3
    floor: float = 0.0

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, 0 to 1."""
        by_step = step / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_step, by_time))

    def rate(self, step: int, seconds: float) -> float:
        """The learning rate of step `step` (from 0), as a share of its peak."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        into = (self.progress(step, seconds) - (1 - self.decay)) / self.decay if self.decay else 0.0
        return warm * (self.floor + (1 - self.floor) * (1 - math.sqrt(min(1.0, max(0.0, into)))))

    def done(self, step: int, seconds: float) -> bool:
        """Whether the run is over; one without steps and minutes never is."""
        return self.progress(step, seconds) >= 1.0
