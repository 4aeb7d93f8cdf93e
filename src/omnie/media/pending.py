"""Starting the process that decodes, and taking its results: `start`, `load` and their forms for several files.

Decoding runs beside the caller, who may import torch meanwhile. Nothing gets a name in the file system, so nothing is left
behind. No decoder is imported here.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from omnie.errors import MediaError
from omnie.media.limits import Limits
from omnie.media.source import Reference, Source, anonymous_file, open_source
from omnie.messages import Kind, Part

if TYPE_CHECKING:
    from omnie.media.types import Audio, Document, Image, Table, Video

    Media = Image | Audio | Video | Document | Table | str
else:
    Media = Any  # NumPy is not worth importing for a name

_GRACE_SECONDS = 5.0
"""How much longer than the child's own alarm the parent waits before it ends the child."""


def load(reference: Reference, *, limits: Limits | None = None, audio: bool = True) -> Media:
    """Decode a file in a child process and wait for it.

    Args:
        reference: A path, a `data:` URL or bytes. The kind is told by the content.
        limits: What the file may cost; the default `Limits()` if left out.
        audio: Whether a clip's sound track is wanted; without it, sound that cannot be decoded is no error.

    Returns:
        `Image`, `Audio`, `Video`, `Document`, `Table`, or `str` for a plain text file.

    Raises:
        MediaError: The file cannot be used; one line that says why.
    """
    return start(reference, limits=limits, audio=audio).result()


def load_all(references: Sequence[Reference], *, limits: Limits | None = None, audio: bool = True) -> list[Media]:
    """`load` for several files in one child process, in order. The first file that cannot be used raises."""
    return [pending.result() for pending in start_all(references, limits=limits, audio=audio)]


def start(reference: Reference, *, limits: Limits | None = None, audio: bool = True) -> "Pending":
    """Begin to decode a file; arguments as in `load`.

    Raises:
        MediaError: The file cannot even be opened. What is wrong with its content is raised by `Pending.result`.
    """
    return start_all([reference], limits=limits, audio=audio)[0]


def start_all(references: Sequence[Reference], *, limits: Limits | None = None, audio: bool = True) -> "list[Pending]":
    """Begin to decode several files one after the other in one child process; as `start`."""
    limits = limits or Limits()
    sources: list[Source] = []
    try:
        for reference in references:
            sources.append(open_source(reference, limits))
        child = _Child(sources, limits, audio) if sources else None
    finally:
        for source in sources:
            os.close(source.descriptor)
    return [Pending(child, index) for index in range(len(sources)) if child]


def as_part(media: Media) -> Part:
    """A message part whose kind is that of the media; a `str` becomes text.

    Raises:
        TypeError: `media` is nothing that `load` returns.
    """
    from omnie.media import types

    kinds: dict[type, Kind] = {
        str: "text",
        types.Image: "image",
        types.Audio: "audio",
        types.Video: "video",
        types.Document: "document",
        types.Table: "table",
    }
    if type(media) not in kinds:
        raise TypeError(f"no media: {type(media).__name__}")
    return Part(kinds[type(media)], media)


class Pending:
    """A file that is being decoded."""

    def __init__(self, child: "_Child", index: int):
        self._child, self._index = child, index

    def result(self) -> Media:
        """Wait for the decoded media; may be called again.

        Raises:
            MediaError: The file cannot be used.
        """
        return self._child.result(self._index)

    def cancel(self) -> None:
        """End the decoding, of this file and of those that were started with it."""
        self._child.close()


class _Child:
    """One child process and the file into which it writes."""

    def __init__(self, sources: list[Source], limits: Limits, audio: bool):
        self.limits, self.names = limits, [source.name for source in sources]
        self.outcome: list[Media | MediaError] | None = None
        self.lock = threading.Lock()  # several threads may wait for files of one child
        self.output = anonymous_file("omnie-result")
        try:
            self.process = _spawn([self.output, *(source.descriptor for source in sources)])
        except BaseException:
            os.close(self.output)
            raise
        # Also when the caller drops the result, or the interpreter ends.
        self.close = weakref.finalize(self, _end, self.process, self.output)
        job = {
            "result": self.output,
            "audio": audio,
            "limits": limits.as_dict(),
            "sources": [[source.descriptor, source.name, source.size] for source in sources],
        }
        with contextlib.suppress(BrokenPipeError):  # a child that is already gone says why by how it ended
            _pipe(self.process.stdin).write(json.dumps(job).encode() + b"\n")
            _pipe(self.process.stdin).flush()

    def result(self, index: int) -> Media:
        with self.lock:
            if self.outcome is None:
                try:
                    self.outcome = self._wait()
                finally:
                    self.close()
        outcome = self.outcome[index]
        if isinstance(outcome, MediaError):
            raise outcome
        return outcome

    def _wait(self) -> list[Media | MediaError]:
        if not self.close.alive:
            cancelled = self._failure("the decoding was cancelled", "a decoding that is waited for", "start it again")
            return [cancelled] * len(self.names)
        # The end of its output is the end of the child; waiting for that, unlike for the process, does not poll.
        poll = select.poll()
        poll.register(_pipe(self.process.stdout))
        if not poll.poll(1000 * (self.limits.decode_seconds * len(self.names) + _GRACE_SECONDS)):
            return [self._died(-signal.SIGALRM)] * len(self.names)
        status = self.process.wait()
        if status != 0:
            return [self._died(status)] * len(self.names)
        from omnie.media.wire import Reader

        try:
            _seal(self.output)
            reader = Reader(self.output)
            return [reader.result(index) for index in range(len(self.names))]
        except (ValueError, KeyError, TypeError, IndexError, OSError, RecursionError):
            return [self._died(status)] * len(self.names)

    def _died(self, status: int) -> MediaError:
        limits = self.limits
        if status in (-signal.SIGALRM, -signal.SIGXCPU):
            hint = "shorten it, or raise the limit 'decode_seconds'"
            return self._failure("the file takes too long to decode", f"{limits.decode_seconds:g} s", hint)
        # Libraries that run out of memory abort; which of the two it was cannot be told apart.
        allowed = f"an undamaged file that decodes in {limits.memory_bytes:,} bytes"
        return self._failure("the file made its decoder fail", allowed, "make it smaller, or export it again")

    def _failure(self, what: str, allowed: str, hint: str) -> MediaError:
        return MediaError(what, value=", ".join(self.names), allowed=allowed, hint=hint)


def _spawn(descriptors: list[int]) -> "subprocess.Popen[bytes]":
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    # One thread and few arenas: otherwise NumPy and malloc reserve most of the address space for nothing.
    extra = {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "omnie.media.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env={**os.environ, **extra},
        start_new_session=True,  # Ctrl-C is the caller's to handle
    )


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _seal(descriptor: int) -> None:
    """From here on nobody, whatever the child may have left running, can change what is about to be read."""
    if hasattr(fcntl, "F_ADD_SEALS"):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)


def _end(process: "subprocess.Popen[bytes]", output: int) -> None:
    process.kill()
    with contextlib.suppress(BrokenPipeError):
        _pipe(process.stdin).close()
    _pipe(process.stdout).close()
    process.wait()
    os.close(output)
