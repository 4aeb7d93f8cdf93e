"""The chat template of a published folder: a Jinja text that turns messages into one string. It runs in Jinja's sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnie.errors import CheckpointError, InputError, OptionError

FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
SWITCH = "enable_thinking"
"""The template's variable that turns thinking on or off."""
TOKENS = ("bos", "eos", "cls", "sep", "pad", "unk", "mask")


class Template:
    """A template, and the spellings of tokens that it may ask for ("cls_token", ...)."""

    def __init__(self, source: str, tokens: Mapping[str, str]):
        self.source, self.tokens = source, dict(tokens)
        self._compiled = _compiled(source)

    @classmethod
    def load(cls, folder: Path, tokens: Mapping[str, str]) -> Template:
        """The template in a folder: in a file of its own, or in the tokenizer's settings.

        Raises:
            CheckpointError: there is none, or it is no Jinja text.
        """
        for name in FILES:
            file = folder / name
            if file.is_file() and (source := _source(file)) is not None:
                return cls(source, tokens)
        raise CheckpointError(
            "chat template is missing",
            value=folder,
            allowed=" or ".join(FILES[:2]) + f", or chat_template in {FILES[2]}",
            hint="base models have none: take the chat model's",
        )

    @property
    def can_think(self) -> bool:
        """Whether the template has the switch."""
        return SWITCH in self.source

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, generation_prompt: bool = True, thinking: bool | None = None
    ) -> str:
        """The messages as one string.

        Args:
            thinking: Turns the switch; None leaves it to the template.

        Raises:
            OptionError: the template has no switch.
            InputError: the template refuses the messages.
        """
        from jinja2 import TemplateError

        if thinking is not None and not self.can_think:
            raise OptionError("the model cannot be told to think", value=f"thinking={thinking}", allowed="no such option")
        switch = {} if thinking is None else {SWITCH: thinking}
        try:
            return self._compiled.render(messages=messages, add_generation_prompt=generation_prompt, **self.tokens, **switch)
        except (TemplateError, TypeError) as error:
            raise InputError("the model's chat template refuses the conversation", value=error) from None


def _source(file: Path) -> str | None:
    try:
        text = file.read_text("utf-8")
        found = text if file.suffix == ".jinja" else json.loads(text).get("chat_template")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError("chat template cannot be read", value=f"{file}: {error}") from None
    if isinstance(found, list):  # several, by name
        found = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}.get("default")
    if found is not None and not isinstance(found, str):
        raise CheckpointError("chat template is no text", value=f"{type(found).__name__} in {file}", allowed="a Jinja text")
    return found


def _compiled(source: str) -> Any:
    from jinja2 import TemplateError
    from jinja2.exceptions import TemplateRuntimeError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateRuntimeError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value, **how: json.dumps(value, ensure_ascii=False, **how)
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise CheckpointError("chat template cannot be read", value=error) from None
