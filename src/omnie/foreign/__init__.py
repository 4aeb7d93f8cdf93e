"""Published model folders in our terms: which of their settings is which of ours, which of their tensors make up one of ours.

Nothing is read or written here (`checkpoint/` does that). Known is ERNIE 4.5 in Transformers 5.19's format: `text.py` has
the settings of the text models, `multimodal.py` those of the models for images and video, `parts.py` the tensors. Both
directions use the same tables, so what is exported is what is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from omnie.errors import OptionError
from omnie.foreign import multimodal, text
from omnie.foreign.parts import EXTRA, Part, parts, stored_name
from omnie.model.config import Architecture

__all__ = ["EXTRA", "READERS", "Part", "parts", "published", "stored_name"]

READERS: dict[str, Callable[[dict[str, Any]], Architecture]] = {
    **dict.fromkeys(text.DEFAULTS, text.architecture),
    multimodal.MULTIMODAL: multimodal.architecture,
    multimodal.ORIGINAL: lambda fields: multimodal.architecture(multimodal.of_original(fields)),
}
"""Published `model_type` -> what makes an architecture of its config.json."""


def published(config: Architecture) -> dict[str, Any]:
    """The published config.json of an architecture.

    Raises:
        OptionError: the architecture has something that the published format cannot say.
    """
    kind = multimodal if "vision" in config.expert_groups else text
    values = kind.published(config)
    again = READERS[values["model_type"]](values)
    if kind is text:  # text has equal positions on all axes, however they share the channels
        again = replace(again, rope_sections=config.rope_sections)
    for name in vars(again):
        if getattr(again, name) != getattr(config, name):
            raise OptionError(
                f"{name} has no counterpart in the {values['model_type']} format",
                value=str(getattr(config, name))[:80],
                allowed=f"{getattr(again, name)}",
            )
    return values
