"""Seconds by the device's clock, for the jobs in `gpu/`, and what a processor was when seconds were measured on it."""

import datetime
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


def timed(run: Callable[[], Any], seconds: float = 0.15) -> float:
    """Seconds of one call: the median of several on a GPU, else one after the first."""
    run()
    if not CUDA:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    times: list[float] = []
    while sum(times) < seconds and len(times) < 50:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return sorted(times)[len(times) // 2]


def processor(note: str | None = None) -> dict[str, Any]:
    """Where and when figures of a CPU come from.

    Args:
        note: What else the machine did.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "machine": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 2),
    } | ({"note": note} if note else {})
