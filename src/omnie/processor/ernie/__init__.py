"""ERNIE 4.5's published tokenizers, chat templates, pictures and clips. Neither torch nor Transformers is imported here."""

from omnie.processor.ernie.encode import ErnieEncoder, Facts

__all__ = ["ErnieEncoder", "Facts"]
