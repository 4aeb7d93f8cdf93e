"""The `ErnieEncoder` for users of Transformers: as a processor, which needs no torchvision as theirs does, and a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import BatchFeature

from omnie.errors import InputError, OptionError
from omnie.messages import Kind, Part
from omnie.processor import foreign
from omnie.processor.ernie.encode import ErnieEncoder
from omnie.processor.hf import HUB, MEDIA, OmnieTokenizer
from omnie.processor.processor import check_options, items_of
from omnie.processor.tokenizer import Backend

ROWS = ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids", "position_ids")
"""Arrays with a token axis; padded with 0 on the left."""


class ErnieProcessor:
    """Chats, or questions about files, to model inputs. `OmnieProcessor.from_pretrained` makes one of a published folder."""

    def __init__(self, encoder: ErnieEncoder):
        self.encoder = encoder

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        videos: Any = None,
        audio: Any = None,
        *,
        return_tensors: str | None = None,
        fps: float | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Rendered prompts with a placeholder for each item; items of all rows in one list (or a list a row), in order.

        Raises:
            InputError: There are more placeholders than items, or more items than placeholders.
        """
        if text is None:
            raise InputError("processor got no text", hint="pass a rendered prompt")
        check_options(options, return_tensors)
        given: dict[Kind, Any] = {"image": images, "video": videos, "audio": audio}
        items = {kind: items_of(kind, value, fps) for kind, value in given.items()}
        rows = [self._row(row, items) for row in ([text] if isinstance(text, str) else text)]
        for kind, rest in items.items():
            if sum(1 for _ in rest):
                mark = self.encoder.names.get(kind)
                raise InputError(
                    f"more {kind} items than placeholders in the text", allowed=mark or "none: the model takes none"
                )
        return collated(rows, return_tensors)

    def _row(self, text: str, items: Mapping[Kind, Iterator[Any]]) -> dict[str, np.ndarray]:
        counts = {kind: text.count(self.encoder.names[kind]) for kind in items if kind in self.encoder.names}
        parts = [Part(kind, foreign.next_item(kind, items)) for kind, count in counts.items() for _ in range(count)]
        return self.encoder.encode_rendered(text, parts)

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = None,
        enable_thinking: bool | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """A chat, or a list of chats, in the content-list form, as a string or (with `tokenize`) as model inputs.

        Args:
            enable_thinking: The chat template's switch; None leaves it to the template.
        """
        check_options({**options, **(processor_kwargs or {})}, return_tensors)
        if continue_final_message:
            raise OptionError(
                "a published chat template leaves no turn open", value="continue_final_message=True", allowed="False"
            )
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


class PublishedTokenizer(OmnieTokenizer):
    """A published folder's tokenizer; given media, `ErnieProcessor` takes over. `OmnieTokenizer.from_pretrained` makes one."""

    encoder: ErnieEncoder

    @classmethod
    def around(cls, encoder: ErnieEncoder, options: Mapping[str, Any]) -> PublishedTokenizer:
        """The encoder's tokenizer in Transformers' clothes.

        Args:
            options: Of `from_pretrained`.

        Raises:
            OptionError: one would not be obeyed.
        """
        known = {*OBEYED, *ALWAYS, *HUB}
        unknown = sorted(name for name in options if name not in known and not name.startswith("_"))
        if unknown:
            allowed = ", ".join(OBEYED)
            raise OptionError("unknown option for a published tokenizer", value=", ".join(unknown), allowed=allowed)
        how = {"model_max_length": encoder.facts.context, "clean_up_tokenization_spaces": False}
        how |= {name: options[name] for name in OBEYED if options.get(name) is not None}
        backend = Backend.from_str(encoder.tokenizer.backend.to_str())
        result = cls(tokenizer_object=backend, **encoder.template.tokens, **how)
        result.encoder, result.name_or_path = encoder, str(encoder.folder)
        return result

    def save_pretrained(self, save_directory: str | Path, *args: Any, **options: Any) -> tuple[str, ...]:
        """Copies the folder's own files."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.save(folder)
        return tuple(str(file) for file in folder.iterdir() if file.name.startswith("tokenizer"))

    @property
    def placeholders(self) -> Mapping[str, str]:
        names = self.encoder.names
        return {argument: names[kind] for argument in MEDIA if (kind := argument.removesuffix("s")) in names}

    @property
    def processor(self) -> ErnieProcessor:
        return ErnieProcessor(self.encoder)


OBEYED = ("model_max_length", "padding_side", "truncation_side")
"""Options of `from_pretrained` that change a tokenizer."""
ALWAYS = ("trust_remote_code", "use_fast")
"""Options that ask for what is always done."""


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
