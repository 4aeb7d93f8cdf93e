"""Contenders that compute the same, forward and backward, by turns; and the file with what came of it.

Seconds are processor time of one thread (`time.thread_time`); each figure is the median of a few calls.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from clock import processor
from torch import Tensor

OFF = 2e-2
"""By how much the results of two contenders may differ, as a share: bfloat16's rounding."""

Contender = Callable[..., Tensor]


def turns(
    contenders: dict[str, Contender],
    given: list[Tensor],
    more: tuple[Any, ...],
    direction: Tensor,
    limit: tuple[str, Callable[[], float]],
    calls: int,
) -> dict[str, Any]:
    """Seconds of both passes by each contender, those of what none can do without, and their ratios.

    Args:
        contenders: Ours first; called with `given` and `more`. The results of the first two are compared.
        given: Tensors whose gradients are computed.
        direction: The gradient of what comes out.
        limit: What none can do without: its name, and what gives its seconds, once a turn.
        calls: That count; one more warms up.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    limits = []
    for call in range(calls + 1):
        results = []
        for name, contender in contenders.items():
            start = time.thread_time()
            y = contender(*given, *more)
            middle = time.thread_time()
            gradients = torch.autograd.grad(y, given, direction)
            if call:
                times[name].append((middle - start, time.thread_time() - middle))
            results.append([y, *gradients])
        if not call:
            _close(*results[:2])
        limits.append(limit[1]())
    row: dict[str, Any] = {}
    for name, found in times.items():
        row |= {f"{name}_{p}": _median(list(column)) for p, column in zip(("forward", "backward"), zip(*found), strict=True)}
    total = {name: row[f"{name}_forward"] + row[f"{name}_backward"] for name in contenders}
    ours, *others = contenders
    row[limit[0]] = _median(limits[1:])
    row |= {f"times as fast as {name}": total[name] / total[ours] for name in others}
    return row | {"share of the limit": row[limit[0]] / total[ours]}


def run(document: str | None, result: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A benchmark's command line: rows to stderr as they come, then all of them to its file."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--note", help="what else the machine did, for the file")
    parser.add_argument("--out", type=Path, default=result)
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = []
    for row in rows:
        kept.append({key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()})
        print(json.dumps(kept[-1]), file=sys.stderr, flush=True)
    given.out.write_text(json.dumps({"rows": kept, "facts": processor(given.note)}, indent=1) + "\n", "utf-8")


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _close(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        error = float((a.detach().float() - b.detach().float()).norm() / b.detach().float().norm())
        assert error < OFF, f"ours is {error:.4f} off"
