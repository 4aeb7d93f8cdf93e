"""Pictures to tokens: one transformer (`encoder.py`) between the ends that its kind asks for (`native.py`, `ernie.py`)."""

from collections.abc import Callable

from omnie.model.config import ErnieVisionArchitecture, VisionArchitecture
from omnie.model.vision import ernie, native
from omnie.model.vision.encoder import Mlp, VisionEncoder, VisionOutput

__all__ = ["Mlp", "VisionEncoder", "VisionOutput", "vision_encoder"]


def vision_encoder(config: VisionArchitecture, decoder_hidden: int) -> VisionEncoder:
    """The encoder of an architecture's kind."""
    return _BUILDERS[type(config)](config, decoder_hidden)


def _native(config: VisionArchitecture, decoder_hidden: int) -> VisionEncoder:
    return VisionEncoder(config, native.PatchEmbed(config), native.Merger(config, decoder_hidden))


def _ernie(config: ErnieVisionArchitecture, decoder_hidden: int) -> VisionEncoder:
    ends = ernie.PatchEmbed(config), ernie.Resampler(config, decoder_hidden)
    return VisionEncoder(config, *ends, activation=ernie.quick_gelu)


_BUILDERS: dict[type, Callable[..., VisionEncoder]] = {VisionArchitecture: _native, ErnieVisionArchitecture: _ernie}
