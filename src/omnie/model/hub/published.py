"""Folders in a published format through `from_pretrained`: which of its options are obeyed. Formats are not read here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import GenerationConfig

from omnie.errors import OptionError
from omnie.model.hub.weights import Int4Config, compute_in
from omnie.model.omni import Omni

if TYPE_CHECKING:
    from omnie.model.hub.generation import OmnieForConditionalGeneration

OBEYED = (
    "dtype",
    "torch_dtype",
    "device_map",
    "attn_implementation",
    "quantization_config",
    "low_cpu_mem_usage",
    "trust_remote_code",
    "local_files_only",
)
"""Options of `from_pretrained` for a published folder. The last three ask for what is always done."""


class Published(NamedTuple):
    """A folder in a published format, and what fills a model from it.

    Attributes:
        load: (folder, dtype=...) -> the model; dtype None: as is best.
        load_packing: (folder, group size, rounding, dtype=...) -> the model in 4 bits, packed while it is read.
    """

    folder: Path
    load: Callable[..., Omni]
    load_packing: Callable[..., Omni]

    def face(self, kind: type[OmnieForConditionalGeneration], options: dict[str, Any]) -> Any:
        """The loaded model; an option that would not be obeyed is an error."""
        unknown = sorted(name for name, value in options.items() if name not in OBEYED and value is not None)
        if unknown:
            allowed = f"{', '.join(OBEYED)}"
            raise OptionError("unknown option for a published folder", value=", ".join(unknown), allowed=allowed)
        device = _device(options.get("device_map"))
        model = self._model(kind, _dtype(options), four_bits(options.get("quantization_config")))
        model.config.name_or_path = str(self.folder)
        if (self.folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(self.folder)
        if options.get("attn_implementation") is not None:
            model.set_attn_implementation(options["attn_implementation"])
        return model.to(device)

    def _model(self, kind: type[OmnieForConditionalGeneration], dtype: torch.dtype | None, packing: Int4Config | None) -> Any:
        if packing is None:
            omni = self.load(self.folder, dtype=dtype)
        else:
            omni = self.load_packing(self.folder, packing.group_size, packing.rounding, dtype=dtype)
        # A saved folder says by its placeholders, if only that there are none, that its tokenizer is the published one.
        omni.config = dataclasses.replace(omni.config, placeholders=omni.config.placeholders or {})
        model = kind.of(omni)
        if packing is not None:
            compute_in(model, packing.compute_dtype)
        return model


def four_bits(given: Any) -> Int4Config | None:
    """What `quantization_config` asks for: 4 bits in omnie's format, or nothing.

    Raises:
        OptionError: it asks for something else.
    """
    wanted = Int4Config.of(given)
    if wanted is None or isinstance(wanted, Int4Config):
        return wanted
    raise OptionError(
        "quantization_config is not usable for a published folder",
        value=str(wanted.to_dict() if hasattr(wanted, "to_dict") else wanted)[:120],
        allowed=f"BitsAndBytesConfig(load_in_4bit=True), Int4Config(), or its dictionary {Int4Config().to_dict()}",
        hint="other formats are not read",
    )


def _dtype(options: dict[str, Any]) -> torch.dtype | None:
    found = next((value for name in ("dtype", "torch_dtype") if (value := options.get(name)) not in (None, "auto")), None)
    return getattr(torch, found) if isinstance(found, str) else found


def _device(given: Any) -> Any:
    if isinstance(given, dict):
        raise OptionError("a published folder is loaded to one device", value=str(given)[:80], allowed="auto, or a device")
    return ("cuda" if torch.cuda.is_available() else "cpu") if given == "auto" else given or "cpu"
