"""`ErnieProcessor`: the `ErnieEncoder` for users of Transformers. It needs no torchvision, which Transformers' own one does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature

from omnie.errors import OptionError
from omnie.processor import foreign
from omnie.processor.ernie.encode import ErnieEncoder
from omnie.processor.processor import check_options

ROWS = ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids", "position_ids")
"""Arrays with a token axis; padded with 0 on the left."""


class ErnieProcessor:
    """Chats, or questions about files, to model inputs. `OmnieProcessor.from_pretrained` makes one of a published folder."""

    def __init__(self, encoder: ErnieEncoder):
        self.encoder = encoder

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = None,
        enable_thinking: bool | None = None,
        **options: Any,
    ) -> Any:
        """A chat, or a list of chats, in the content-list form, as a string or (with `tokenize`) as model inputs.

        Args:
            enable_thinking: The chat template's switch; None leaves it to the template.
        """
        check_options(options, return_tensors)
        encoder = self.encoder.with_thinking(enable_thinking)
        batched = bool(conversation) and not isinstance(conversation[0], Mapping)
        chats = [foreign.messages(one) for one in (conversation if batched else [conversation])]
        if not tokenize:
            rendered = [encoder.render(one, add_generation_prompt) for one in chats]
            return rendered if batched else rendered[0]
        batch = collated([encoder.encode(one, add_generation_prompt) for one in chats], return_tensors)
        return batch if return_dict else batch["input_ids"]

    def question(
        self, prompt: str | Sequence[str], multimodal_input: Mapping[str, Any] | None = None, return_tensors: str | None = "pt"
    ) -> BatchFeature:
        """One user's question (or several) about the same texts, pictures, tables, documents, sounds and clips."""
        prompts = [prompt] if isinstance(prompt, str) else prompt
        rows = [self.encoder.encode([foreign.question(one, multimodal_input or {})]) for one in prompts]
        return collated(rows, return_tensors)

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Text of one row of ids."""
        return self.encoder.decode(ids, special=not skip_special_tokens)

    def batch_decode(self, rows: Iterable[Iterable[int]], skip_special_tokens: bool = False) -> list[str]:
        """Text of each row of ids."""
        return [self.decode(row, skip_special_tokens) for row in rows]

    def save_pretrained(self, save_directory: str, push_to_hub: bool = False) -> None:
        """Copies the folder's own files."""
        if push_to_hub:
            raise OptionError("processor is not pushed to the Hub", value="push_to_hub=True", hint="upload the saved folder")
        self.encoder.save(save_directory)


def collated(rows: Sequence[dict[str, np.ndarray]], return_tensors: str | None) -> BatchFeature:
    """Encoded conversations as one batch, features one row's after the other's."""
    length = max(len(row["input_ids"]) for row in rows)
    result = {name: np.stack([_padded(row[name], length) for row in rows]) for name in ROWS}
    result["attention_mask"] = np.stack([_padded(np.ones_like(row["input_ids"]), length) for row in rows])
    for name in dict.fromkeys(name for row in rows for name in row if name not in ROWS):
        result[name] = np.concatenate([row[name] for row in rows if name in row])
    return BatchFeature(result, tensor_type=return_tensors)


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    return np.pad(array, [(length - len(array), 0)] + [(0, 0)] * (array.ndim - 1))
