"""`OmnieProcessor`: the `Encoder` for users of Transformers (`AutoProcessor`, `pipeline`, `Trainer`). No rule of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, ClassVar

from transformers import BatchFeature, ProcessorMixin
from transformers.processing_utils import MultiModalData
from transformers.utils import cached_file

from omnie import carried, inputs
from omnie.errors import CheckpointError, InputError, OptionError
from omnie.messages import Kind
from omnie.processor import foreign, image, tokens
from omnie.processor.audio import mel_frames
from omnie.processor.encode import Encoder, Layout, collate
from omnie.processor.hf import HUB, OmnieTokenizer
from omnie.processor.settings import FILE, OWN_KEYS, ProcessorSettings
from omnie.processor.tokenizer import Backend, Tokenizer

NAMES = (
    "input_ids", "attention_mask", "mm_token_type_ids", "position_ids", "pixel_values", "image_grid_thw",
    "pixel_values_videos", "video_grid_thw", "input_features", "audio_lengths",
)  # fmt: skip
FORMATS = (None, "np", "pt")


class OmnieProcessor(ProcessorMixin):
    """Texts, pictures, sounds and clips, or whole chats, to model inputs.

    `encoder` is what it wraps. Rows of a batch are padded on the left. A string given as `text` is a rendered prompt: the
    special tokens in it count. Text from users belongs into `apply_chat_template`, or through `omnie.processor.chat.escape`.

    Args:
        tokenizer: A tokenizer of Transformers, made by `OmnieTokenizer.of` or `from_pretrained`.
        settings: Fields of `ProcessorSettings`.
    """

    image_token, video_token, audio_token = tokens.IMAGE, tokens.VIDEO, tokens.AUDIO
    image_token_id, video_token_id, audio_token_id = (tokens.ID[name] for name in (tokens.IMAGE, tokens.VIDEO, tokens.AUDIO))

    published: ClassVar[Callable[..., Any] | None] = None
    """(name, options) -> the encoder of a published folder, or None when the name means none. Which formats there are is known
    floors above (`checkpoint/`), so `omnie.register()` fills it in."""

    def __init__(self, tokenizer: OmnieTokenizer, **settings: Any):
        self.tokenizer = tokenizer
        self.chat_template = None  # the template is code: omnie.processor.chat
        for key in OWN_KEYS:
            settings.pop(key, None)
        backend = Backend.from_str(tokenizer.backend_tokenizer.to_str())
        self.encoder = Encoder(Tokenizer(backend), ProcessorSettings.of(settings))

    @property
    def settings(self) -> ProcessorSettings:
        return self.encoder.settings

    @property
    def model_input_names(self) -> list[str]:
        return list(NAMES)

    @classmethod
    def of(cls, encoder: Encoder) -> "OmnieProcessor":
        """The processor around an encoder's tokenizer and settings."""
        values = {key: value for key, value in encoder.settings.to_dict().items() if key not in OWN_KEYS}
        return cls(OmnieTokenizer.of(encoder.tokenizer, encoder.settings), **values)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """From a folder (or a repository of the Hub) that holds `tokenizer.json` and `processor_config.json`.

        Keyword arguments that `ProcessorSettings` knows replace what the folder says. Of a published folder comes an
        `ErnieProcessor`, which has the folder's own tokenizer, chat template and pictures.
        """
        encoder = cls.published(pretrained_model_name_or_path, kwargs) if cls.published is not None else None
        if encoder is not None:
            return cls._of_published(encoder)
        changes = {key: kwargs.pop(key) for key in ProcessorSettings.__dataclass_fields__ if key in kwargs}
        where = {name: kwargs[name] for name in HUB if kwargs.get(name) is not None}
        found = [cached_file(str(pretrained_model_name_or_path), name, **where) for name in ("tokenizer.json", FILE)]
        if None in found:
            raise CheckpointError("processor files are missing", value=pretrained_model_name_or_path)
        settings = ProcessorSettings.load(found[1]).to_dict() | changes
        return cls.of(Encoder(Tokenizer.load(found[0]), ProcessorSettings.of(settings)))

    @staticmethod
    def _of_published(encoder: Any) -> Any:
        from omnie.processor.ernie.hf import ErnieProcessor

        return ErnieProcessor(encoder)

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write `tokenizer.json`, `tokenizer_config.json` and `processor_config.json`."""
        if push_to_hub:
            raise OptionError("processor is not pushed to the Hub", value="push_to_hub=True", hint="upload the saved folder")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(folder)
        self.encoder.tokenizer.save(folder / "tokenizer.json")
        self.settings.save(folder, auto_map=carried.PROCESSOR_MAP)
        return [str(folder / name) for name in ("tokenizer.json", "tokenizer_config.json", FILE)]

    def to_dict(self) -> dict[str, Any]:
        return self.settings.to_dict()

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoProcessor") -> None:
        """Nothing: `save_pretrained` names the Auto class."""

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
            raise InputError("processor got no text", hint=f"pass text with {self.image_token} where the image stands")
        check_options(options, return_tensors)
        given: dict[Kind, Any] = {"image": images, "video": videos, "audio": audio}
        items = {kind: items_of(kind, value, fps) for kind, value in given.items()}
        rows = [self._row(row, items) for row in ([text] if isinstance(text, str) else text)]
        for kind, rest in items.items():
            if sum(1 for _ in rest):
                raise InputError(f"more {kind} items than placeholders in the text", hint=f"write {kind}'s token for each")
        return self._batch(rows, return_tensors)

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        chat_template: str | None = None,
        *,
        tools: Sequence[Any] | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = None,
        return_assistant_tokens_mask: bool = False,
        return_labels: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """A chat, or a list of chats, in the content-list form, as a string or (with `tokenize`) as model inputs.

        The string holds media as their runs of placeholders. With `tokenize` and without `return_dict` only the ids come
        back, as in Transformers. `return_labels` adds `labels` (assistant turns, -100 elsewhere). `tools` are functions with
        type hints and docstrings, or objects as OpenAI's interface has them (`processor.tools.read`); how the assistant calls
        them is read by `encoder.parse`.
        """
        if chat_template is not None:
            raise OptionError("other chat templates are not supported", value=chat_template[:40])
        if continue_final_message and add_generation_prompt:
            raise OptionError("continue_final_message and add_generation_prompt exclude each other")
        check_options({**options, **(processor_kwargs or {})}, return_tensors)
        batched = bool(conversation) and not isinstance(conversation[0], Mapping)
        offer = self.encoder.offer(foreign.tools(tools or ()))
        chats = [[*offer, *foreign.messages(one)] for one in (conversation if batched else [conversation])]
        how = {"generation_prompt": add_generation_prompt, "continue_final": continue_final_message}
        if not tokenize:
            rendered = [self.encoder.render(one, **how) for one in chats]
            return rendered if batched else rendered[0]
        rows = [self.encoder.encode(one, **how) for one in chats]
        extra = {"assistant_masks"} if return_assistant_tokens_mask else set()
        batch = self._batch(rows, return_tensors, extra | ({"labels"} if return_labels else set()))
        return batch if return_dict else batch["input_ids"]

    def question(
        self, prompt: str | Sequence[str], multimodal_input: Mapping[str, Any] | None = None, return_tensors: str | None = "pt"
    ) -> BatchFeature:
        """One user's question (or several) about the same texts, pictures, tables, sounds and clips, ready for `generate`.

        Args:
            multimodal_input: One item or a list under each of "text", "images", "tables", "documents", "audio", "video".
        """
        prompts = [prompt] if isinstance(prompt, str) else prompt
        rows = [self.encoder.encode([foreign.question(one, multimodal_input or {})]) for one in prompts]
        return self._batch(rows, return_tensors)

    def replace_image_token(self, image_inputs: Mapping[str, Any], image_idx: int, **_: Any) -> str:
        """The run of placeholders of one image of a batch."""
        return self.image_token * inputs.image_tokens(image_inputs["image_grid_thw"][image_idx])

    def replace_audio_token(self, audio_inputs: Mapping[str, Any], audio_idx: int, **_: Any) -> str:
        """The run of placeholders of one sound of a batch."""
        return self.audio_token * inputs.audio_tokens(int(audio_inputs["audio_lengths"][audio_idx]))

    def _get_num_multimodal_tokens(
        self,
        image_sizes: Sequence[Sequence[int]] | None = None,
        video_sizes: Sequence[Sequence[int]] | None = None,
        audio_lengths: Sequence[int] | None = None,
        **_: Any,
    ) -> MultiModalData:
        """Tokens of items of which only the size is known: (height, width); (frames, height, width), all frames taken, without
        the time stamps and the sound; samples at 16 kHz. The name is Transformers'."""
        found: dict[str, list[int]] = {}
        if image_sizes is not None:
            most = self.settings.image_max_pixels
            grids = [image.grid_of_picture(high, wide, self.settings, most) for high, wide in image_sizes]
            found["num_image_tokens"] = [inputs.image_tokens(grid) for grid in grids]
            found["num_image_patches"] = [rows * columns for _, rows, columns in grids]
        if video_sizes is not None:
            found["num_video_tokens"] = [self._video_count(*size) for size in video_sizes]
        if audio_lengths is not None:
            found["num_audio_tokens"] = [inputs.audio_tokens(mel_frames(length)) for length in audio_lengths]
        return MultiModalData(**found)

    def _video_count(self, frames: int, height: int, width: int) -> int:
        _, rows, columns = image.grid_of_frame(height, width, self.settings)
        frames = min(frames, self.settings.video_max_frames)
        return inputs.video_tokens((frames + frames % inputs.TEMPORAL_MERGE, rows, columns))

    def _row(self, text: str, items: Mapping[Kind, Iterator[Any]]) -> dict[str, Any]:
        layout = Layout(self.settings)
        return self.encoder.encode_segments(foreign.fill(text, items, layout.add), layout)

    def _batch(self, rows: list[dict[str, Any]], return_tensors: str | None, extra: Set[str] = frozenset()) -> BatchFeature:
        data = collate(rows)
        if "assistant_masks" in extra:
            data["assistant_masks"] = (data["labels"] >= 0).astype("int64")
        return BatchFeature(
            {name: value for name, value in data.items() if name in {*NAMES, *extra}}, tensor_type=return_tensors
        )


ACCEPTED: dict[str, tuple[Any, ...]] = {
    "padding": (True, False, "longest", None),
    "padding_side": ("left", None),
    "truncation": (False, None),
    "add_special_tokens": (True, False, None),
    "return_attention_mask": (True, None),
    "return_mm_token_type_ids": (True, None),
    "sampling_rate": (16_000, None),
    "tools": (None, []),
    "documents": (None, []),
    "load_audio_from_video": (True, False),
}
"""Options of Transformers that change nothing here, each with the values that can be obeyed."""


def check_options(options: Mapping[str, Any], return_tensors: str | None) -> None:
    """Refuse what would not be obeyed."""
    if return_tensors not in FORMATS:
        raise OptionError("unknown tensor format", value=return_tensors, allowed="np, pt")
    for name, value in options.items():
        if name not in ACCEPTED:
            raise OptionError("unknown option of the processor", value=name, allowed=", ".join(ACCEPTED))
        if not any(value is known or value == known for known in ACCEPTED[name]):
            allowed = ", ".join(map(repr, ACCEPTED[name]))
            raise OptionError(f"option {name} is not supported", value=value, allowed=allowed)


def items_of(kind: Kind, value: Any, fps: float | None) -> Iterator[Any]:
    """Items one by one: a single one, a list, or a list of lists."""
    if value is None:
        return
    if not isinstance(value, list | tuple):
        yield foreign.media(kind, value, fps=fps)
        return
    for item in value:
        yield from items_of(kind, item, fps)
