"""`omnie extend`: a model that hears, from one that does not. What was written goes to stdout, progress to stderr."""

import json
import sys
from pathlib import Path

from omnie.errors import OptionError


def run(source: str, target: Path, *, audio: bool, token: str | None, seed: int, force: bool, as_json: bool) -> None:
    """Write the folder, then say what is new in it.

    Raises:
        OmnieError: the source, the target or an option cannot be used; no target is left then.
    """
    if not audio:
        raise OptionError("nothing to extend the model with", allowed="--audio")
    from omnie.extend import extend

    result = extend(source, target, token=token, seed=seed, force=force, progress=_progress)
    if as_json:
        print(json.dumps(result))
        return
    print(f"{result['new']:,} new parameters of {result['total']:,}: an audio encoder and audio experts, untrained")
    if "audio_token" in result:
        print(f"sound stands as {result['audio_token']} (id {result['id']})")
    print(f"written: {target}", file=sys.stderr)


def _progress(tensor: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        line = f"{done / total:4.0%} {tensor}"
        print(f"\r\033[K{line[:100]}" if done < total else "\r\033[K", end="", file=sys.stderr, flush=True)
