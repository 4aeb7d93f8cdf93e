"""`omnie quantize`: a model folder to 4 bits. The table of bytes goes to stdout, progress to stderr."""

import json
import resource
import sys
from functools import partial
from pathlib import Path


def run(source: str, target: Path, *, group: int, rounding: str, calibrate: int | None, force: bool, as_json: bool) -> None:
    """Convert, then say how many bytes which part of the model takes.

    Raises:
        OmnieError: the source, the target or an option cannot be used; no target is left then.
    """
    from omnie.quantise.convert import quantise
    from omnie.quantise.report import table

    fitted = None
    if calibrate is not None:
        from omnie.evaluation.calibration import conversations

        fitted = partial(conversations, count=calibrate)
    how = {"group": group, "rounding": rounding, "calibration": fitted, "force": force}
    result = quantise(source, target, **how, progress=_progress)  # type: ignore[arg-type]
    # Kibibytes on Linux, bytes on macOS; of the whole process, Python and torch included.
    unit = 1 if sys.platform == "darwin" else 1024
    result["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if as_json:
        print(json.dumps(result))
        return
    print(table(result))
    size = f"{result['file_bytes'] / 1e6:.2f} MB in weight files, {result['peak_memory_bytes'] / 1e6:.0f} MB of memory"
    print(f"written: {target} ({size}, {result['seconds']:.0f} s)", file=sys.stderr)


def _progress(tensor: str, done: int, total: int) -> None:
    line = f"{done / total:4.0%} {tensor}"
    if sys.stderr.isatty():
        print(f"\r\033[K{line[:100]}" if done < total else "\r\033[K", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)
