"""A tool and a request that it answers, as both kinds of makers return it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omnie.messages import Tool

WHOLE = {"stock", "age", "platform", "year"}
"""Kinds whose values are whole numbers."""


@dataclass(frozen=True)
class Asked:
    """A tool, a request for it and the arguments that this one gives. `template` names the wording as the family that it is,
    `about` what the tool is about: requests about something else are not for it; `kinds`: parameter -> kind of its values."""

    tool: Tool
    request: str
    arguments: Mapping[str, Any]
    template: str
    about: str
    kinds: Mapping[str, str]

    @property
    def given(self) -> list[str]:
        """The kinds of the arguments that this request gives."""
        return [self.kinds[name] for name in self.arguments]

    @property
    def needed(self) -> list[str]:
        """The kinds of the parameters that may not be left out."""
        return [self.kinds[name] for name in self.tool.parameters["required"]]

    @property
    def call(self) -> str:
        """The call that answers the request, as JSON."""
        return json.dumps({"name": self.tool.name, "arguments": self.arguments}, ensure_ascii=False)


def declared(name: str, description: str, kinds: Mapping[str, str], optional: Iterable[str] = ()) -> Tool:
    """A tool whose parameters (name -> kind of value) are strings or whole numbers."""
    left_out = set(optional)
    properties = {key: {"type": "integer" if kind in WHOLE else "string"} for key, kind in kinds.items()}
    required = [key for key in kinds if key not in left_out]
    return Tool(name, description, {"type": "object", "properties": properties, "required": required})


def valued(kind: str, value: str) -> str | int:
    """A value as an argument: a number where its kind is one."""
    return int(value) if kind in WHOLE else value
