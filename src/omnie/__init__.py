"""omnie: one mixture-of-experts model for text, image, audio and video input.

The shop window. `import omnie` costs nothing: every name below loads its module when it is first touched.

Transformers' Auto classes know the model after `omnie.register()`, which runs by itself when one of `omnie.OmnieConfig`,
`omnie.OmnieForConditionalGeneration`, `omnie.OmnieProcessor` is touched, and at import when Transformers is already there.
"""

import sys
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WINDOW = {
    "Runtime": "omnie.runtime",
    "load": "omnie.checkpoint",
    "SamplingOptions": "omnie.engine.request",
    "OmnieConfig": "omnie.model",
    "OmnieForConditionalGeneration": "omnie.model",
    "OmnieModel": "omnie.model",
    "OmnieProcessor": "omnie.processor",
    "OmnieTokenizer": "omnie.processor",
    "OmnieError": "omnie.errors",
    "Message": "omnie.messages",
    "Part": "omnie.messages",
    "Tool": "omnie.messages",
    "ToolCall": "omnie.messages",
    "user": "omnie.messages",
    "assistant": "omnie.messages",
}

_TRANSFORMERS = ("OmnieConfig", "OmnieForConditionalGeneration", "OmnieModel", "OmnieProcessor", "OmnieTokenizer")

__all__ = ["__version__", "register", *_WINDOW]


def register() -> None:
    """Make Transformers' Auto classes know the model, its processor and its tokenizer; may be called any number of times.

    It loads torch and Transformers. Afterwards `AutoModelForCausalLM.from_pretrained(folder)`, `AutoProcessor`, `pipeline` and
    the rest take omnie's model folders.
    """
    from transformers import AutoProcessor, AutoTokenizer

    from omnie import checkpoint
    from omnie.model import hub
    from omnie.processor.hf import OmnieTokenizer
    from omnie.processor.processor import OmnieProcessor

    hub.register()
    hub.OmniePreTrainedModel.int8 = (checkpoint.SCALE, checkpoint.dequantised)
    hub.OmnieForConditionalGeneration.published = staticmethod(checkpoint.published)
    OmnieProcessor.published = OmnieTokenizer.published = staticmethod(checkpoint.published_encoder)
    hub.OmnieForConditionalGeneration.processor_of = OmnieProcessor.from_pretrained
    AutoProcessor.register(hub.OmnieConfig, OmnieProcessor, exist_ok=True)
    AutoTokenizer.register(hub.OmnieConfig, tokenizer_class=OmnieTokenizer, exist_ok=True)


def __getattr__(name: str) -> Any:
    if name not in _WINDOW:
        raise AttributeError(f"module 'omnie' has no attribute {name!r}; it offers {', '.join(__all__)}")
    if name in _TRANSFORMERS:
        register()
    return getattr(import_module(_WINDOW[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


if "transformers" in sys.modules:  # who has paid for Transformers may expect its Auto classes to work at once
    register()
