"""omnie: one mixture-of-experts model for text, image, audio and video input.

The shop window. `import omnie` costs nothing: every name below loads its module when it is first touched.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WINDOW = {
    "Runtime": "omnie.runtime",
    "SamplingOptions": "omnie.engine.request",
    "OmnieConfig": "omnie.model",
    "OmnieForConditionalGeneration": "omnie.model",
    "OmnieProcessor": "omnie.processor",
    "OmnieError": "omnie.errors",
    "Message": "omnie.messages",
    "Part": "omnie.messages",
    "user": "omnie.messages",
    "assistant": "omnie.messages",
}

__all__ = ["__version__", *_WINDOW]


def __getattr__(name: str) -> Any:
    if name not in _WINDOW:
        raise AttributeError(f"module 'omnie' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_WINDOW[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
