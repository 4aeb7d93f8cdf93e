"""A conversation as data: roles and parts. Standard library only; no decoding and no tokens here.

A `Message` holds parts in the order in which the user gave them. A part's value is either a reference (path, data URL, bytes)
that `omnie.media` opens, or an object that `omnie.media` has already decoded: whoever needs pixels or samples decodes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Kind = Literal["text", "image", "audio", "video", "document", "table"]

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
KINDS: tuple[Kind, ...] = ("text", "image", "audio", "video", "document", "table")


@dataclass(frozen=True)
class Part:
    """One piece of a message.

    Attributes:
        kind: What the value is.
        value: For `text` a `str`; otherwise a decoded media object of the matching class in `omnie.media.types`
            (`Image`, `Audio`, `Video`, `Document`, `Table`).
    """

    kind: Kind
    value: Any


@dataclass(frozen=True)
class Tool:
    """A function that the assistant may call.

    Attributes:
        name: What a call names.
        description: What it is good for, in a sentence.
        parameters: The JSON schema of its arguments, an object's; empty where it takes none.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolCall:
    """A function that the assistant wants called; `arguments` is a JSON object."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn. `tool_calls` is only ever set on assistant turns."""

    role: Role
    parts: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()


def text(value: str) -> Part:
    """A text part."""
    return Part("text", value)


def user(*parts: Part | str) -> Message:
    """A user turn; bare strings become text parts."""
    return Message("user", as_parts(parts))


def assistant(*parts: Part | str) -> Message:
    """An assistant turn; bare strings become text parts."""
    return Message("assistant", as_parts(parts))


def as_parts(parts: Sequence[Part | str]) -> tuple[Part, ...]:
    """Parts with every bare string wrapped as text."""
    return tuple(text(part) if isinstance(part, str) else part for part in parts)
