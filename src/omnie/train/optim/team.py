"""Several processes of one machine that train one model on its CPU cores, one core each.

Operators split over threads wait for each other hundreds of times a step, and on cores that others use too each wait is long.
Processes meet three times a step. Weights, optimiser state and gradients lie in shared memory: after its backward pass each
process averages the gradients of its own share of the parameters and updates these for all (as ZeRO does; Rajbhandari et al.
2020). Process 0 leads: it alone decides, logs and saves. The others are forked from it before the first backward pass.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from omnie.errors import OmnieError

STEP, STATE, STOP = 1.0, 2.0, 3.0
"""Orders of the leader: do a step, send the state of your stream, end."""
ALIGN = 64
POLL = 5e-4


class TeamError(OmnieError):
    """A process of the team died."""


class Team:
    """One process's view of the team; a team of one costs nothing.

    Args:
        size: Processes.
    """

    def __init__(self, size: int = 1):
        self.rank, self.size = 0, size
        self._arrived = torch.zeros(size, dtype=torch.int64).share_memory_()
        self._order = torch.zeros(2, dtype=torch.float64).share_memory_()
        self._squares = torch.zeros(size, dtype=torch.float64).share_memory_()
        self._tokens = torch.zeros(size, dtype=torch.int64).share_memory_()
        self._members: list[tuple[Any, Any]] = []

    def mine(self, index: int) -> bool:
        """Whether this process updates parameter `index`."""
        return index % self.size == self.rank

    # Setting up

    def share(self, parameters: list[nn.Parameter], states: list[list[Tensor]], buffers: Iterable[Tensor]) -> None:
        """Moves weights, buffers and optimiser state into shared memory, and makes room for everyone's gradients.

        Args:
            parameters: All of them, in the same order in every process.
            states: Lists of optimiser tensors; their entries are replaced.
            buffers: Changed by the leader alone.
        """
        if self.size == 1:
            return
        for holder in (*parameters, *buffers):
            holder.data = _shared([holder.data])[0]
        for tensors in states:
            tensors[:] = _shared(tensors)
        self._grads = [_shared([torch.zeros_like(p.data) for p in parameters]) for _ in range(self.size)]
        self._present = torch.zeros(self.size, len(parameters), dtype=torch.bool).share_memory_()

    @contextlib.contextmanager
    def forked(self, follow: Callable[["Team", Any], None]) -> Iterator[None]:
        """Within it the other processes run `follow(team, pipe)`."""
        try:
            self._fork(follow)
            yield
        finally:
            self._close()

    def _fork(self, follow: Callable[["Team", Any], None]) -> None:
        context = multiprocessing.get_context("fork")
        for rank in range(1, self.size):
            ours, theirs = context.Pipe()
            process = context.Process(target=self._run, args=(rank, follow, theirs), name=f"omnie-train-{rank}")
            process.start()
            self._members.append((process, ours))

    def _run(self, rank: int, follow: Callable, pipe: Any) -> None:
        self.rank, self._members, self._leader = rank, [], os.getppid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # the leader ends the team; an ignored signal would be inherited by workers
        follow(self, pipe)

    # Working together

    def order(self, what: float, rate: float = 0.0) -> None:
        """The leader tells all what comes next."""
        self._order[0], self._order[1] = what, rate
        self.meet()

    def await_order(self) -> tuple[float, float]:
        """What the leader ordered, and the schedule's rate."""
        self.meet()
        return float(self._order[0]), float(self._order[1])

    def meet(self) -> None:
        """Waits until every process is here.

        Raises:
            TeamError: another process has died.
        """
        if self.size == 1:
            return
        self._arrived[self.rank] += 1
        mine = int(self._arrived[self.rank])
        polls = 0
        while int(self._arrived.min()) < mine:
            time.sleep(POLL)
            polls += 1
            if polls % 200 == 0:
                self._check()

    def _check(self) -> None:
        if self.rank and os.getppid() != self._leader:
            raise SystemExit(1)
        for process, _ in self._members:
            if process.exitcode is not None:
                raise TeamError("a training process died", value=f"{process.name}, exit code {process.exitcode}")

    def average(self, parameters: list[nn.Parameter]) -> dict[int, Tensor]:
        """The mean gradient of each parameter that this process updates, by index; those that nobody has are left out."""
        if self.size == 1:
            return {n: p.grad for n, p in enumerate(parameters) if p.grad is not None}
        self._present[self.rank] = torch.tensor([p.grad is not None for p in parameters])
        given = [(slot, p.grad) for slot, p in zip(self._grads[self.rank], parameters, strict=True) if p.grad is not None]
        torch._foreach_copy_([slot for slot, _ in given], [grad for _, grad in given])
        self.meet()
        present = self._present.tolist()
        result = {}
        for n in range(len(parameters)):
            if self.mine(n) and any(row[n] for row in present):
                result[n] = sum(self._grads[rank][n].float() for rank, row in enumerate(present) if row[n]) / self.size
        return result

    def norm(self, own: float) -> float:
        """The global norm, from each process's sum of squares."""
        self._squares[self.rank] = own
        self.meet()
        return float(self._squares.sum()) ** 0.5

    def count(self, tokens: int) -> None:
        """Adds to this process's tokens."""
        self._tokens[self.rank] += tokens

    @property
    def tokens(self) -> int:
        """Of all processes."""
        return int(self._tokens.sum())

    def states(self) -> list[Any]:
        """What every other process answers to the order `STATE`."""
        if self._members:
            self.order(STATE)
        return [pipe.recv() for _, pipe in self._members]

    def _close(self) -> None:
        if self._members and all(process.exitcode is None for process, _ in self._members):
            with contextlib.suppress(TeamError):
                self.order(STOP)
        for process, _ in self._members:
            process.join(10)
            process.kill()
        self._members = []


def _shared(tensors: list[Tensor]) -> list[Tensor]:
    """Copies in one block of shared memory a dtype: one file handle instead of one a tensor."""
    result: list[Tensor] = [torch.empty(0)] * len(tensors)
    for dtype in {tensor.dtype for tensor in tensors}:
        chosen = [n for n, tensor in enumerate(tensors) if tensor.dtype == dtype]
        sizes = [-(-tensors[n].numel() // ALIGN) * ALIGN for n in chosen]
        parts = torch.empty(sum(sizes), dtype=dtype).share_memory_().split(sizes)
        for n, part in zip(chosen, parts, strict=True):
            result[n] = part[: tensors[n].numel()].view(tensors[n].shape).copy_(tensors[n])
    return result
