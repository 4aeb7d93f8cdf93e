"""Worker processes that make, encode and pack training examples, so that the trainer never waits. NumPy only, no torch.

The stream is deterministic: worker w of W makes the examples w, w + W, w + 2W, ... and the trainer takes batches from the
workers in turn. Every batch carries the state of its worker after it (next index, and which examples still wait in the pool),
so that a resumed run goes on with exactly the batches that the killed one would have seen.
"""

import contextlib
import os
import queue
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol

from omnie.errors import OmnieError
from omnie.train.stream.packing import Batch, Packer, Sample, collate
from omnie.train.stream.slots import Slots

PREFETCH = 4
"""Batches that each worker may be ahead of the trainer."""
SLOTS, BYTES = 2, 3072
"""Batches of a worker that lie in shared memory, and its size for each of their tokens (one of a picture has 2,352 bytes of
pixels and 56 of the rest)."""


class LoaderError(OmnieError):
    """A worker process failed or died; the message says why."""


class Source(Protocol):
    """Makes sample `index` of the stream. `progress` (0 to 1) is how far training is; a curriculum may use it."""

    def pick(self, index: int, progress: float) -> tuple[str, int]:
        """The key (skill, number) of the stream's `index`-th sample."""
        ...

    def make(self, key: tuple[str, int]) -> Sample:
        """The sample of a key; equal keys give equal samples."""
        ...


@dataclass(frozen=True)
class LoaderSettings:
    """How much the loader makes. `rows` x `length` tokens a batch; `workers` processes; `nice` lowers their priority.

    `shard` is (which, of how many) loaders that share one stream. `start` is the first index of a fresh stream.
    """

    rows: int = 8
    length: int = 512
    workers: int = 1
    pool: int = 64
    nice: int = 0
    start: int = 0
    shard: tuple[int, int] = (0, 1)

    @property
    def stride(self) -> int:
        """Workers of all loaders."""
        return self.workers * self.shard[1]


@dataclass
class _Worker:
    process: Any
    connection: Connection
    slots: Slots
    ready: queue.Queue = field(default_factory=lambda: queue.Queue(PREFETCH))


class Loader:
    """Batches, for ever, from worker processes. Use it as a context manager.

    Args:
        build: Called once in every worker; returns its `Source`. Must be picklable (a module's function or a `partial`).
        settings: Sizes.
        state: What `Loader.state` returned, to go on from there; of a loader with equal workers and shard.

    Raises:
        LoaderError: from `next` when a worker raised or died.
    """

    def __init__(self, build: Callable[[], Source], settings: LoaderSettings, state: Mapping[str, Any] | None = None):
        self.settings = settings
        context = get_context("spawn")
        self._progress = context.Value("d", 0.0, lock=False)
        self._states, self._turn = _start_states(settings, state)
        self.dropped = 0
        with _single_threaded():
            self._workers = [self._launch(context, build, index) for index in range(settings.workers)]

    def _launch(self, context: Any, build: Callable[[], Source], index: int) -> _Worker:
        ours, theirs = context.Pipe(duplex=False)
        slots = Slots(context, SLOTS, BYTES * self.settings.rows * self.settings.length)
        arguments = (build, self.settings, index, self._states[index], self._progress, slots, theirs)
        process = context.Process(target=_work, args=arguments, daemon=True, name=f"omnie-data-{index}")
        process.start()
        theirs.close()  # so that our end sees the end of the pipe when the worker dies
        worker = _Worker(process, ours, slots)
        threading.Thread(target=_receive, args=(worker,), daemon=True).start()
        return worker

    @property
    def state(self) -> dict[str, Any]:
        """Where the stream stands after the last batch that `next` returned; JSON-able."""
        shape = {"workers": self.settings.workers, "shard": list(self.settings.shard)}
        return shape | {"turn": self._turn, "states": list(self._states)}

    @property
    def waiting(self) -> int:
        """Finished batches that wait for the trainer; 0 for long means that the workers are the bottleneck."""
        return sum(worker.ready.qsize() for worker in self._workers)

    def progress(self, value: float) -> None:
        """Tells the workers how far training is (0 to 1)."""
        self._progress.value = value

    def __next__(self) -> Batch:
        worker = self._workers[self._turn]
        got = worker.ready.get()
        if not isinstance(got, Batch):
            worker.ready.put(got)
            raise _failure(worker, got)
        self._states[self._turn] = got.state
        self._turn = (self._turn + 1) % len(self._workers)
        self.dropped = sum(state.get("dropped", 0) for state in self._states)
        return got

    def __iter__(self) -> "Loader":
        return self

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(5)


def _start_states(settings: LoaderSettings, state: Mapping[str, Any] | None) -> tuple[list[dict], int]:
    if state:
        return list(state["states"]), state["turn"]
    first = settings.start + settings.shard[0] * settings.workers
    return [{"next": first + index, "pending": [], "dropped": 0} for index in range(settings.workers)], 0


def resume(settings: LoaderSettings, states: Sequence[Mapping[str, Any]]) -> tuple[LoaderSettings, Mapping[str, Any] | None]:
    """Where a loader goes on, given the states of all loaders of the stream.

    Its own state if the stream was divided as it is now; else a fresh stream that begins after everything ever begun.
    """
    own = [s for s in states if s["workers"] == settings.workers and list(s["shard"]) == list(settings.shard)]
    if own:
        return settings, own[0]
    return replace(settings, start=max((worker["next"] for s in states for worker in s["states"]), default=0)), None


@contextlib.contextmanager
def _single_threaded():
    """Children inherit one thread each for NumPy's and others' pools; the trainer's own threads are not touched."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _receive(worker: _Worker) -> None:
    """Moves batches from the pipe to the queue; the last thing it puts is the failure."""
    try:
        while True:
            worker.ready.put(worker.slots.receive(worker.connection))
    except (EOFError, OSError) as error:
        worker.ready.put(error)


def _failure(worker: _Worker, got: object) -> LoaderError:
    if isinstance(got, str):
        return LoaderError("a data worker failed", value=got.strip().splitlines()[-1], hint="full cause:\n" + got)
    worker.process.join(5)
    return LoaderError(
        "a data worker died",
        value=f"{worker.process.name}, exit code {worker.process.exitcode}",
        hint="a negative code is a signal (-9: out of memory); use fewer --workers",
    )


def _work(
    build: Callable, settings: LoaderSettings, index: int, state: dict, progress: Any, slots: Slots, pipe: Connection
) -> None:
    try:
        if settings.nice:
            os.nice(settings.nice)
        for batch in batches(build(), settings, state, lambda: progress.value):
            slots.send(batch, pipe)
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # the trainer has gone
    except BaseException:
        slots.send(traceback.format_exc(), pipe)


def batches(source: Source, settings: LoaderSettings, state: dict, progress: Callable[[], float]):
    """The batches of one worker, for ever, from `state` on; what a worker process runs.

    Args:
        source: Makes samples.
        settings: Sizes; `settings.stride` is the stride of the stream.
        state: `next` (index into the stream), `pending` (keys in the pool, oldest first), `dropped`.
        progress: Asked for every sample.

    Yields:
        Batches whose `state` is this worker's state after the batch.
    """
    packer = Packer(settings.rows, settings.length, settings.pool)
    for key in state["pending"]:
        packer.add(source.make((key[0], key[1])))
    packer.dropped, following = state["dropped"], state["next"]
    while True:
        while not packer.ready:
            packer.add(source.make(source.pick(following, progress())))
            following += settings.stride
        rows = packer.take()
        after = {"next": following, "pending": [list(s.key) for s in packer.pool], "dropped": packer.dropped}
        yield collate(rows, settings.length, after)
