"""The model. `Omni` needs torch alone; Transformers' face of it (`hub/`) loads when one of the names below is touched."""

from importlib import import_module
from typing import Any

__all__ = ["OmnieConfig", "OmnieForConditionalGeneration", "OmnieModel"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("omnie.model.hub"), name)
    raise AttributeError(f"module 'omnie.model' has no attribute {name!r}; it offers {', '.join(__all__)}")
