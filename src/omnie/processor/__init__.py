"""Messages to model inputs and back. `Encoder` needs neither torch nor Transformers; `OmnieProcessor` and
`OmnieTokenizer` load late.
"""

from typing import Any

from omnie.processor.encode import Encoder
from omnie.processor.settings import ProcessorSettings
from omnie.processor.tokenizer import Tokenizer

__all__ = ["Encoder", "OmnieProcessor", "OmnieTokenizer", "ProcessorSettings", "Tokenizer"]


def __getattr__(name: str) -> Any:
    if name == "OmnieProcessor":
        from omnie.processor.processor import OmnieProcessor

        return OmnieProcessor
    if name == "OmnieTokenizer":
        from omnie.processor.hf import OmnieTokenizer

        return OmnieTokenizer
    raise AttributeError(name)
