"""`OmnieTokenizer`: the tokenizer for Transformers' `AutoTokenizer`. Given media, it hands over to `OmnieProcessor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

from omnie import carried
from omnie.errors import InputError
from omnie.processor import tokens
from omnie.processor.settings import FILE, ProcessorSettings
from omnie.processor.tokenizer import Backend, Tokenizer

if TYPE_CHECKING:
    from omnie.processor.ernie.hf import ErnieProcessor
    from omnie.processor.processor import OmnieProcessor

HUB = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
"""Options that say which files of a repository are meant."""
MEDIA = {"images": tokens.IMAGE, "videos": tokens.VIDEO, "audio": tokens.AUDIO}
"""Argument of a call -> the placeholder of its items."""
DEFAULTS = {
    "bos_token": tokens.BEGIN,
    "eos_token": tokens.END,
    "pad_token": tokens.PAD,
    "clean_up_tokenization_spaces": False,
}


class OmnieTokenizer(PreTrainedTokenizerFast):
    """Texts to ids and back. A string is a rendered prompt: the special tokens in it count.

    With `images`, `videos` or `audio` a call gives all that the model takes. Where the text has no placeholders, it is a user's
    question about the media, which come first. `AutoProcessor` with chat messages says the same more plainly.
    """

    # No `__init__` here: Transformers would build a class that has one from its vocabulary alone, without its merges.
    padding_side = "left"
    _auto_map = carried.TOKENIZER_MAP
    media_settings = ProcessorSettings()

    published: ClassVar[Callable[..., Any] | None] = None
    """As `OmnieProcessor.published`; `omnie.register()` fills it in."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, settings: ProcessorSettings) -> OmnieTokenizer:
        """Ours in Transformers' clothes."""
        backend = Backend.from_str(tokenizer.backend.to_str())
        result = cls(tokenizer_object=backend, model_max_length=settings.context, **DEFAULTS)
        result.media_settings = settings
        return result

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *args: Any, **options: Any) -> OmnieTokenizer:
        """As in Transformers; the folder's `processor_config.json` says how media are read and how long a context may be.

        Of a published folder comes a `PublishedTokenizer`, which has the folder's own tokenizer, chat template and pictures.
        """
        # AutoTokenizer is asked for a tokenizer alone: what the Hub's name means is not fetched whole for that.
        asked = not options.get("_from_auto") or Path(pretrained_model_name_or_path).is_dir()
        encoder = cls.published(pretrained_model_name_or_path, options) if cls.published is not None and asked else None
        if encoder is not None:
            return cls._of_published(encoder, options)
        where = {name: options[name] for name in HUB if options.get(name) is not None}
        path = str(pretrained_model_name_or_path)
        found = cached_file(path, FILE, _raise_exceptions_for_missing_entries=False, **where)
        settings = ProcessorSettings.load(found) if found else ProcessorSettings()
        options = DEFAULTS | {"model_max_length": settings.context} | options
        result = super().from_pretrained(path, *args, **options)
        result.media_settings = settings
        return result

    @staticmethod
    def _of_published(encoder: Any, options: Mapping[str, Any]) -> OmnieTokenizer:
        from omnie.processor.ernie.hf import PublishedTokenizer

        return PublishedTokenizer.around(encoder, options)

    def save_pretrained(self, save_directory: str | Path, *args: Any, **options: Any) -> Any:
        """As in Transformers; the folder carries the code too, and says how media are read."""
        written = super().save_pretrained(save_directory, *args, **options)
        self.media_settings.save(save_directory, auto_map=carried.PROCESSOR_MAP)
        carried.write(save_directory)
        return written

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoTokenizer") -> None:
        """Nothing: `save_pretrained` names the Auto class."""

    @property
    def placeholders(self) -> Mapping[str, str]:
        """Argument of a call -> the placeholder of its items."""
        return MEDIA

    @property
    def processor(self) -> OmnieProcessor | ErnieProcessor:
        """The processor around this tokenizer."""
        from omnie.processor.processor import OmnieProcessor

        values = {key: value for key, value in self.media_settings.to_dict().items() if key != "processor_class"}
        return OmnieProcessor(self, **values)

    def __call__(self, text: Any = None, *args: Any, **options: Any) -> Any:
        """Ids of a text or of several, as in Transformers; with media, everything that the model takes.

        Args:
            text: A string, or a list of them with a list of items (or one item) for each in `images`, `videos`, `audio`.
        """
        given = {name: options.pop(name, None) for name in MEDIA}
        media = {name: value for name, value in given.items() if value is not None and not _is_empty(value)}
        if not media:
            return super().__call__(text, *args, **options)
        rows = [text] if isinstance(text, str) else text
        if any(mark in row for name, mark in self.placeholders.items() if name in media for row in rows):
            return self.processor(text=text, **media, **options)
        chats = [_chat(row, media, None if isinstance(text, str) else n, len(rows)) for n, row in enumerate(rows)]
        how: dict[str, Any] = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
        how["return_tensors"] = options.pop("return_tensors", None)
        return self.processor.apply_chat_template(chats, processor_kwargs=options, **how)

    def apply_chat_template(self, conversation: Any, *args: Any, **options: Any) -> Any:
        """As `OmnieProcessor.apply_chat_template`, but giving ids unless told otherwise, as tokenizers do."""
        return self.processor.apply_chat_template(conversation, *args, **({"tokenize": True, "return_dict": True} | options))


def _is_empty(value: Any) -> bool:
    return isinstance(value, list | tuple) and not value


def _chat(text: str, media: dict[str, Any], row: int | None, rows: int) -> list[dict[str, Any]]:
    """A user's turn: the row's items, then the question."""
    content: list[dict[str, Any]] = []
    for name, values in media.items():
        kind = name.removesuffix("s")
        if row is not None:
            if not isinstance(values, list | tuple) or len(values) != rows:
                raise InputError(f"{name} and texts differ in number", allowed=f"{rows}, one (or a list) for each text")
            values = values[row]
        items = values if isinstance(values, list | tuple) else [values]
        content += [{"type": kind, kind: item} for item in items if item is not None]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]
