"""Decoding without a child process, for tests of what decoders make of a file; the child has tests of its own."""

import os
from pathlib import Path
from typing import Any

from omnie.media.child import decode
from omnie.media.limits import Limits
from omnie.media.source import open_source


def decoded(reference: bytes | str | Path, *, audio: bool = True, **limits: float) -> Any:
    """The media in a file or in bytes."""
    bounds = Limits(**limits)  # type: ignore[arg-type]
    source = open_source(reference, bounds)
    with os.fdopen(source.descriptor, "rb") as file:
        return decode(file, source, bounds, audio)
