"""`generate(prompt=..., multimodal_input=...)`: words and files in, words out. Sampling is Transformers'."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

from transformers import GenerationConfig, GenerationMixin

from omnie.errors import OptionError

ANSWER = 256
"""Longest answer to a prompt in words, in tokens, unless told otherwise."""


class PromptGenerationMixin(GenerationMixin):
    """`GenerationMixin`, which takes ids, for prompts in words too."""

    processor_of: ClassVar[Callable[..., Any] | None] = None
    """Model folder -> processor. Processors live beside the model, not below it, so `omnie.register()` fills it in."""

    def generate(
        self,
        inputs: Any = None,
        generation_config: GenerationConfig | None = None,
        *args: Any,
        prompt: str | list[str] | None = None,
        multimodal_input: dict[str, Any] | None = None,
        processor: Any = None,
        **options: Any,
    ) -> Any:
        """As in Transformers; with `prompt`, the answer's text (a list of texts for a list of prompts).

        Args:
            prompt: The question.
            multimodal_input: What it is about: one item or a list under each of "text", "images", "tables", "documents",
                "audio", "video".
            processor: Encodes prompt and media; None: the one in the folder that the model came from.
            options: As in Transformers. A length given here goes before one in `generation_config`.
        """
        generation_config = _with_length_of(generation_config, options)
        if prompt is None:
            if multimodal_input is not None:
                raise OptionError("multimodal_input comes without a prompt", hint="pass prompt=...")
            return super().generate(inputs, generation_config, *args, **options)
        processor = processor or self._own_processor()
        batch = processor.question(prompt, multimodal_input).to(self.device)
        if generation_config is None and not {"max_length", "max_new_tokens"} & options.keys():
            options["max_new_tokens"] = ANSWER
        made = super().generate(None, generation_config, *args, **batch, **options)
        rows = (made if hasattr(made, "shape") else made.sequences)[:, batch["input_ids"].shape[1] :]
        texts = [processor.decode(row, skip_special_tokens=True) for row in rows]
        return texts[0] if isinstance(prompt, str) and len(texts) == 1 else texts

    def _own_processor(self) -> Any:
        folder = self.config.name_or_path
        if self.processor_of is None or not folder:
            raise OptionError("the model has no processor", value=folder or None, hint="pass processor=AutoProcessor...")
        return type(self).processor_of(folder)


def _with_length_of(config: GenerationConfig | None, options: dict[str, Any]) -> GenerationConfig | None:
    """The config without its `max_new_tokens` when the call says `max_length`: Transformers would obey the config."""
    said = options.get("max_length") is not None and options.get("max_new_tokens") is None
    if config is None or not said or config.max_new_tokens is None:
        return config
    config = copy.deepcopy(config)
    config.max_new_tokens = None
    return config
