"""One conversation to the arrays of `omnie.inputs` with a published folder's own tokenizer, chat template and pictures.

What is counted comes first: pixels are touched only when the conversation fits the context.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnie import inputs
from omnie.errors import CheckpointError, InputError, OptionError
from omnie.messages import Message, Part, Tool
from omnie.processor.ernie import settings, template
from omnie.processor.ernie.layout import MODALITIES, Layout
from omnie.processor.ernie.settings import ClipSettings, PictureSettings
from omnie.processor.ernie.template import Template
from omnie.processor.ernie.tokenizer import SHIELD, ErnieTokenizer, content

ROLES = ("system", "user", "assistant")
SPELLINGS = {
    "image": "<|IMAGE_PLACEHOLDER|>",
    "image_start": "<|IMAGE_START|>",
    "image_end": "<|IMAGE_END|>",
    "video": "<|VIDEO_PLACEHOLDER|>",
    "video_start": "<|VIDEO_START|>",
    "video_end": "<|VIDEO_END|>",
}
"""Our name of a token -> its spelling where `NAME_token` in the tokenizer's settings names no other."""
ENDS = ("</s>", "<|end_of_sentence|>")
"""Tokens that end an answer, besides those that the folder's settings name."""


@dataclass(frozen=True)
class Facts:
    """What the encoder must know of the model. `placeholders`: `Architecture.placeholders`; `context` in tokens."""

    context: int
    vocabulary: int
    placeholders: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ErnieEncoder:
    """Messages to arrays, as `omnie.processor.Encoder`. Build one with `load`.

    Attributes:
        folder: Where the tokenizer, the template and the font come from.
        thinking: The chat template's switch; None leaves it to the template.
    """

    folder: Path
    tokenizer: ErnieTokenizer
    template: Template
    facts: Facts
    pictures: PictureSettings
    clips: ClipSettings
    stop: frozenset[int]
    names: Mapping[str, str]
    thinking: bool | None = None

    @classmethod
    def load(cls, folder: str | Path, facts: Facts) -> ErnieEncoder:
        """From a published folder.

        Raises:
            CheckpointError: a file is missing, or the tokenizer does not fit the model.
        """
        folder = Path(folder)
        values = settings.read(folder / "tokenizer_config.json")
        names = {name: content(values.get(f"{name}_token") or SPELLINGS.get(name, "")) for name in facts.placeholders}
        spelled = {f"{name}_token": content(values[f"{name}_token"]) for name in template.TOKENS if values.get(f"{name}_token")}
        special = {*names.values(), *spelled.values(), *ENDS}
        tokenizer = ErnieTokenizer.load(folder, values.get("add_prefix_space"), special)
        _check_tokens(tokenizer, facts, names, folder)
        return cls(
            folder,
            tokenizer,
            Template.load(folder, spelled),
            facts,
            *settings.load(folder),
            stop=_ends(tokenizer, folder, spelled.get("eos_token")),
            names=names,
        )

    def save(self, folder: str | Path) -> None:
        """Copies what `load` reads; a token for sound is written into the tokenizer's files."""
        folder = Path(folder)
        copy_files(self.folder, folder, self.clips)
        if "audio" in self.names:
            values = settings.read(folder / "tokenizer_config.json") | {"audio_token": self.names["audio"]}
            (folder / "tokenizer_config.json").write_text(json.dumps(values, indent=2) + "\n", "utf-8")
            self.tokenizer.save(folder)

    def hearing(self, token: str, number: int) -> ErnieEncoder:
        """The same encoder, in which a token stands for sound; it becomes part of the tokenizer where it is not yet."""
        self.tokenizer.add(token, number)
        placeholders, names = {**self.facts.placeholders, "audio": number}, {**self.names, "audio": token}
        return replace(self, facts=replace(self.facts, placeholders=placeholders), names=names)

    def with_looks(self, looks: int | None) -> ErnieEncoder:
        """None and 1 leave it alone.

        Raises:
            OptionError: these models look once.
        """
        if looks not in (None, 1):
            raise OptionError("the model looks at media once", value=f"looks={looks}", allowed="1")
        return self

    def looks(self, arrays: Mapping[str, np.ndarray]) -> Sequence[Mapping[str, np.ndarray]]:
        """None behind the first."""
        return ()

    def with_thinking(self, thinking: bool | None) -> ErnieEncoder:
        """The same encoder with the template's switch set.

        Raises:
            OptionError: the template has none.
        """
        if thinking is not None and not self.template.can_think:
            raise OptionError("the model has no switch for thinking", value=f"thinking={thinking}", allowed="no such option")
        return replace(self, thinking=thinking)

    def offer(self, tools: Sequence[Tool]) -> list[Message]:
        """Nothing.

        Raises:
            OptionError: there are tools.
        """
        if tools:
            names = ", ".join(tool.name for tool in tools)
            raise OptionError("the model's chat template offers no tools", value=names[:60], allowed="no tools")
        return []

    def encode(
        self, messages: Iterable[Message], generation_prompt: bool = True, continue_final: bool = False
    ) -> dict[str, np.ndarray]:
        """One conversation as arrays (names, axes and types: `omnie.inputs`, without the batch axis).

        Raises:
            InputError: a part cannot be used, or the conversation is longer than the context.
        """
        if continue_final:
            raise OptionError("a published chat template leaves no turn open", value="continue_final=True", allowed="False")
        layout = self._layout()
        return self._arrays(self._render(messages, layout, generation_prompt), layout)

    def encode_rendered(self, prompt: str, media: Iterable[Part]) -> dict[str, np.ndarray]:
        """A rendered conversation, whose special tokens count, as `encode`; the media of its placeholders in order."""
        layout = self._layout()
        for part in media:
            layout.items(part)
        return self._arrays(prompt, layout)

    def render(self, messages: Iterable[Message], generation_prompt: bool = True) -> str:
        """The conversation as a string, each medium as one placeholder; shields taken away."""
        return self._render(messages, self._layout(), generation_prompt).replace(SHIELD, "")

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Text of ids; special tokens are left out unless asked for."""
        return self.tokenizer.decode((int(number) for number in ids), special=special)

    def _layout(self) -> Layout:
        return Layout(self.tokenizer, self.pictures, self.clips, self.names, self.folder)

    def _render(self, messages: Iterable[Message], layout: Layout, generation_prompt: bool) -> str:
        entries = [self._entry(message, layout) for message in messages]
        return self.template.render(entries, generation_prompt=generation_prompt, thinking=self.thinking)

    def _entry(self, message: Message, layout: Layout) -> dict[str, Any]:
        """A message as chat templates take it."""
        if message.role not in ROLES or message.tool_calls:
            what = "a tool call" if message.tool_calls else f"a {message.role} turn"
            raise InputError(f"the model's chat template has no place for {what}", allowed=", ".join(ROLES))
        items = [item for part in message.parts for item in layout.items(part)]
        if all(item["type"] == "text" for item in items):
            return {"role": message.role, "content": "".join(item["text"] for item in items)}
        return {"role": message.role, "content": items}

    def _arrays(self, prompt: str, layout: Layout) -> dict[str, np.ndarray]:
        result = self._tokens(prompt, layout)
        result["position_ids"] = inputs.positions(result["mm_token_type_ids"], *layout.grids())
        return result | layout.arrays()

    def _tokens(self, prompt: str, layout: Layout) -> dict[str, np.ndarray]:
        """Ids with every placeholder as often as its medium has tokens, and the modality of each."""
        ids = np.array(self.tokenizer.encode(prompt), dtype=np.int64)
        repeats = np.ones(len(ids), dtype=np.int64)
        for name, token in self.facts.placeholders.items():
            if name in MODALITIES:
                places, counts = np.flatnonzero(ids == token), layout.counts(name)
                if len(places) != len(counts):
                    raise InputError(
                        "the model's chat template leaves out a medium",
                        value=f"{len(places)} places for {len(counts)} of {name}",
                    )
                repeats[places] = counts
        self._check_context(int(repeats.sum()), layout)
        ids = np.repeat(ids, repeats)
        types, routes = np.zeros((2, len(ids)), dtype=np.int64)
        for name, token in self.facts.placeholders.items():
            modality = MODALITIES[name.split("_")[0]]
            routes[ids == token] = modality
            if name in MODALITIES:
                types[ids == token] = modality
        return {"input_ids": ids, "mm_token_type_ids": types, "moe_mm_token_type_ids": routes}

    def _check_context(self, tokens: int, layout: Layout) -> None:
        if tokens >= self.facts.context:
            media = ", ".join(f"{name}: {sum(layout.counts(name))}" for name in MODALITIES if layout.counts(name))
            raise InputError(
                "conversation is too long",
                value=f"{tokens} tokens ({media or 'text'})",
                allowed=f"fewer than {self.facts.context} tokens",
                hint="give fewer or smaller files",
            )


def _check_tokens(tokenizer: ErnieTokenizer, facts: Facts, names: Mapping[str, str], folder: Path) -> None:
    """The tokens that the model's config names must be the tokenizer's, and fit the embedding."""
    for name, number in facts.placeholders.items():
        found = tokenizer.backend.token_to_id(names[name]) if names[name] else None
        if found != number:
            raise CheckpointError(
                "tokenizer lacks a special token",
                value=f"{name} {names[name]!r} is {'missing' if found is None else f'id {found}'} in {folder}",
                allowed=f"a special token with id {number}, as config.json says",
                hint="copy tokenizer.json and tokenizer_config.json again",
            )
    if len(tokenizer) > facts.vocabulary:
        raise CheckpointError(
            "tokenizer is larger than the model's vocabulary",
            value=f"{len(tokenizer)} in {folder}",
            allowed=f"{facts.vocabulary}",
        )


def _ends(tokenizer: ErnieTokenizer, folder: Path, end: str | None) -> frozenset[int]:
    """Ids with which the assistant ends its turn."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        value = settings.read(folder / name).get("eos_token_id")
        found |= {number for number in (value if isinstance(value, list) else [value]) if type(number) is int}
    spelled = (tokenizer.backend.token_to_id(token) for token in (*ENDS, *([end] if end else [])))
    return frozenset(found | {number for number in spelled if number is not None})


COPIED = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json",
    "chat_template.jinja", "chat_template.json", "preprocessor_config.json", "video_preprocessor_config.json",
    "processor_config.json", "generation_config.json",
)  # fmt: skip
"""Files of a published folder that are neither weights nor their description."""


def copy_files(source: Path, target: Path, clips: ClipSettings) -> None:
    """The files that an encoder reads, into another folder."""
    for name in (*COPIED, Path(clips.font).name):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
