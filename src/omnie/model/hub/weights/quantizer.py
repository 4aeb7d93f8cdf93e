"""4 bits through Transformers' own door: `quantization_config=` of `from_pretrained`, and folders that are in 4 bits already.

`Int4Config` is what a folder's `config.json` says; a `BitsAndBytesConfig` is translated to it. The rule of what is packed is
`model/int4/plan.py`, the packing of what comes out of the files `stored.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from omnie.errors import CheckpointError, OptionError
from omnie.model import int4
from omnie.model.hub.config import OmnieConfig
from omnie.model.int4.plan import METHOD
from omnie.ops.int4_linear import GROUPS

ROUNDINGS = ("search", "plain")


class Int4Config(QuantizationConfigMixin):
    """Weights in omnie's 4-bit format.

    Args:
        group_size: Inputs that share a scale: 32, 64 or 128.
        compute_dtype: Type of the products; None: that of their inputs. A setting of this load, not of the folder.
        rounding: "search" or "plain", as `ops.int4_linear.pack` takes it; of weights that are packed while loading.
    """

    def __init__(
        self,
        bits: int = 4,
        group_size: int = GROUPS[0],
        compute_dtype: torch.dtype | None = None,
        rounding: str = "search",
        quant_method: str = METHOD,
        **unknown: Any,
    ):
        given = {"quant_method": quant_method, "bits": bits, "group_size": group_size, **unknown}
        if type(group_size) is not int or group_size not in GROUPS or given != int4.config(group_size):
            allowed = f"{int4.config(GROUPS[0])}, group_size {', '.join(map(str, GROUPS))}"
            raise OptionError("quantization_config is not usable", value=str(given)[:120], allowed=allowed)
        if rounding not in ROUNDINGS:
            raise OptionError("unknown rounding", value=rounding, allowed=", ".join(ROUNDINGS))
        self.quant_method, self.bits, self.group_size = METHOD, 4, group_size
        self.compute_dtype, self.rounding = compute_dtype, rounding

    @classmethod
    def of(cls, given: Any) -> Any:
        """Our config for a `BitsAndBytesConfig`, for its dictionary or for our own; anything else as it is.

        Our format takes the place of fp4 and nf4, and always quantises its scales a second time (that costs 0.02 points of
        error and saves 0.73 bits). `bnb_4bit_compute_dtype` is obeyed; float32, its default, means the inputs' own type, as
        in bitsandbytes for float32 and bfloat16.

        Raises:
            OptionError: the config asks for something that the format does not do.
        """
        if isinstance(given, dict) and given.get("quant_method") == METHOD:
            return cls(**given)
        if isinstance(given, dict) and (given.get("load_in_4bit") or given.get("load_in_8bit")):
            given = BitsAndBytesConfig.from_dict(given)
        if not isinstance(given, BitsAndBytesConfig):
            return given
        if given.load_in_8bit or not given.load_in_4bit:
            raise OptionError(
                "BitsAndBytesConfig asks for no 4 bits", value=f"load_in_8bit={given.load_in_8bit}", allowed="load_in_4bit=True"
            )
        defaults = BitsAndBytesConfig(load_in_4bit=True).to_dict()
        free = ("bnb_4bit_compute_dtype", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant")
        for key, value in given.to_dict().items():
            if key not in free and not key.startswith("_") and value != defaults[key]:
                raise OptionError(f"{key} is not supported", value=value, allowed=defaults[key])
        compute = given.bnb_4bit_compute_dtype
        return cls(compute_dtype=None if compute == torch.float32 else compute)

    def to_dict(self) -> dict[str, Any]:
        """What `config.json` says."""
        return int4.config(self.group_size)


class Int4Quantizer(HfQuantizer):
    """Puts modules for packed matrices in place before weights are loaded, and sees afterwards that nothing was left out."""

    quantization_config: Int4Config

    def _process_model_before_weight_loading(self, model: nn.Module, **_: Any) -> nn.Module:
        if not isinstance(model.config, OmnieConfig):  # its loader would leave the packed matrices random, with a warning
            hint = "for a published ERNIE 4.5 folder: OmnieForConditionalGeneration.from_pretrained"
            raise OptionError(
                "omnie's 4 bits are for its own classes", value=type(model).__name__, allowed="Omnie...", hint=hint
            )
        int4.install(model, self.quantization_config.group_size)
        return model

    def _process_model_after_weight_loading(self, model: nn.Module, **_: Any) -> nn.Module:
        left = [name for name in int4.targets(model)]
        empty = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
        if left or empty:
            raise CheckpointError("a matrix is not in 4 bits", value=(left + empty)[0], allowed="4 bits for every matrix")
        compute_in(model, self.quantization_config.compute_dtype)
        return model

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return False


def compute_in(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Sets the type in which products with packed matrices are computed."""
    for module in model.modules():
        if isinstance(module, int4.Int4Linear | int4.Int4Experts):
            module.compute_dtype = dtype


def quantizer_of(model: nn.Module) -> Int4Quantizer | None:
    """What puts packed modules into another model as they are in this one; None when this one is not in 4 bits."""
    groups = {group for _, group in int4.matrices(model).values()}
    return Int4Quantizer(Int4Config(group_size=groups.pop()), pre_quantized=False) if groups else None


def register() -> None:
    """Makes Transformers know the method; may be called any number of times."""
    AUTO_QUANTIZATION_CONFIG_MAPPING[METHOD] = Int4Config
    AUTO_QUANTIZER_MAPPING[METHOD] = Int4Quantizer
