"""Batches through shared memory: a pipe moves 64 KiB at a time, and the trainer's thread that reads it must have Python's lock
for every one of them, while the training itself holds that lock to launch kernels."""

import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

ALIGN = 64


class Slots:
    """Blocks of memory that a worker fills and the trainer empties, in turn.

    Args:
        context: Of `multiprocessing`; the object goes to the worker as an argument of its process.
        count: Batches that may lie in them.
        size: Bytes of a slot; what needs more goes through the pipe.
    """

    def __init__(self, context: Any, count: int, size: int):
        self._memory = [context.RawArray("b", size) for _ in range(count)]
        self._free = context.Semaphore(count)
        self._size, self._turn = size, 0

    def send(self, value: object, pipe: Connection) -> None:
        """The worker's side: waits for a free slot, fills it, and tells the trainer."""
        buffers: list[pickle.PickleBuffer] = []
        header = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        places, end = _places([view.nbytes for view in views])
        if end > self._size:
            pipe.send_bytes(pickle.dumps((None, pickle.dumps(value, protocol=5), [])))
            return
        self._free.acquire()
        memory = memoryview(self._memory[self._turn]).cast("B")
        for view, (begin, stop) in zip(views, places, strict=True):
            memory[begin:stop] = view
        pipe.send_bytes(pickle.dumps((self._turn, header, places)))
        self._turn = (self._turn + 1) % len(self._memory)

    def receive(self, pipe: Connection, load: Callable[..., Any] = pickle.loads) -> Any:
        """The trainer's side: the next value; its arrays lie in memory of their own.

        Raises:
            EOFError, OSError: the worker has gone.
        """
        slot, header, places = load(pipe.recv_bytes())
        if slot is None:
            return load(header)
        whole = np.frombuffer(self._memory[slot], np.uint8, places[-1][1] if places else 0).copy()  # without Python's lock
        self._free.release()
        return load(header, buffers=[whole[begin:stop].data for begin, stop in places])


def _places(sizes: list[int]) -> tuple[list[tuple[int, int]], int]:
    """(begin, end) of each block, aligned, and the end of the last."""
    places, end = [], 0
    for size in sizes:
        begin = -(-end // ALIGN) * ALIGN
        end = begin + size
        places.append((begin, end))
    return places, end
