"""The process that decodes untrusted bytes: `python -m omnie.media.child`. It never imports torch or transformers.

It gets open files and one line of JSON, and writes its results into another open file (`wire.py`). Before it looks at any
input it gives up the right to more memory, time and file size than `Limits` allow, and it ends when its parent does.
"""

import json
import os
import resource
import signal
import sys
import threading
from typing import IO, Any

from omnie.errors import MediaError
from omnie.media.limits import Limits
from omnie.media.source import Source

_CPU_SHARE = 4
"""Processor seconds per second of allowed time: decoders use a few threads. The clock on the wall is the sharper limit."""


def main() -> None:
    """Decode one job: `{"result": descriptor, "audio": bool, "limits": {...}, "sources": [[descriptor, name, size], ...]}`."""
    job = json.loads(sys.stdin.buffer.readline())
    limits = Limits(**job["limits"])
    _confine(limits, len(job["sources"]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from omnie.media.wire import Writer

    writer = Writer(job["result"])
    for descriptor, name, size in job["sources"]:
        source = Source(descriptor, name, size)
        try:
            writer.add(_guarded(source, limits, job["audio"]))
        except MediaError as error:
            writer.fail(_named(error, source))
    writer.finish()
    sys.stdout.flush()
    os._exit(0)  # without the seconds that libraries may take to clean up


def _confine(limits: Limits, count: int) -> None:
    seconds = limits.decode_seconds * count
    signal.setitimer(signal.ITIMER_REAL, seconds)  # ends the process even from within a decoder's loop
    for what, amount in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, int(seconds * _CPU_SHARE) + 1),
        (resource.RLIMIT_FSIZE, limits.memory_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        amount = int(amount) if hard == resource.RLIM_INFINITY else min(int(amount), hard)
        try:
            resource.setrlimit(what, (amount, amount))
        except (ValueError, OSError):
            if what != resource.RLIMIT_AS or sys.platform == "linux":  # macOS has no limit on address space
                raise


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # returns when the parent closes its end, which it also does by dying
    os._exit(1)


def _guarded(source: Source, limits: Limits, audio: bool) -> Any:
    """`decode`, with everything that decoders raise turned into a `MediaError`."""
    try:
        with os.fdopen(source.descriptor, "rb") as file:
            return decode(file, source, limits, audio)
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError(
            "the file needs too much memory to decode",
            value=None,
            allowed=f"{limits.memory_bytes:,} bytes",
            hint="make it smaller, or raise the limit 'memory_bytes'",
        ) from error
    except Exception as error:
        raise MediaError(
            "the file cannot be decoded",
            value=f"{type(error).__name__}: {error}"[:200],
            allowed="an undamaged file",
            hint="export it again, or convert it to another format",
        ) from error


def decode(file: IO[bytes], source: Source, limits: Limits, audio: bool) -> Any:
    """Decode an open file in this process, without any guard but the limits that its headers can be checked against."""
    from omnie.media.kinds import recognise

    kind = recognise(file)
    if kind.family == "image":
        from omnie.media import image

        return image.decode(file, kind, limits)
    if kind.family == "sound":
        from omnie.media import audio as sound

        return sound.decode(file, kind, limits)
    if kind.family == "movie":
        from omnie.media import video

        return video.decode(file, kind, limits, audio)
    if kind.family == "pdf":
        from omnie.media import pdf

        return pdf.decode(file, limits)
    from omnie.media import table

    if kind.family == "workbook":
        return table.decode_workbook(file, limits)
    return table.decode_csv(file, source.stem, limits) if kind.family == "table" else table.decode_text(file, limits)


def _named(error: MediaError, source: Source) -> MediaError:
    value = source.name if error.value is None else f"{source.name}: {error.value}"
    return MediaError(error.what, value=value, allowed=error.allowed, hint=error.hint)


if __name__ == "__main__":
    main()
