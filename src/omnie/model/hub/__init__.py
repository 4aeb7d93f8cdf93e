"""The Transformers face of the model: `from_pretrained`, `generate`, `Trainer`, the Auto classes. No layer is defined here.

The modules and the names of the weights are those of `omni.py`. Whole to part: `generation.py` (the model with its head),
`prompt.py` (questions in words), `body.py` (everything before it), `positions.py` (where none are given), `media.py`, `base.py`
(what both share), `weights/` (what comes out of files: int8, 4 bits), `published.py` (folders in other formats), `attention.py`
(FlashMask), `config.py`.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM

from omnie.model.hub.attention import register as register_attention
from omnie.model.hub.base import OmniePreTrainedModel
from omnie.model.hub.body import OmnieModel
from omnie.model.hub.config import OmnieConfig
from omnie.model.hub.generation import OmnieForConditionalGeneration
from omnie.model.hub.weights import Int4Config
from omnie.model.hub.weights import register as register_quantizer

__all__ = ["Int4Config", "OmnieConfig", "OmnieForConditionalGeneration", "OmnieModel", "OmniePreTrainedModel", "register"]


def register() -> None:
    """Makes the Auto classes know the model; may be called any number of times."""
    register_quantizer()
    register_attention()
    AutoConfig.register(OmnieConfig.model_type, OmnieConfig, exist_ok=True)
    AutoModel.register(OmnieConfig, OmnieModel, exist_ok=True)
    for face in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
        face.register(OmnieConfig, OmnieForConditionalGeneration, exist_ok=True)
