"""The tools that the assistant may call, as it reads them: a system turn with one line a tool. What it answers is in `chat`.

    reserve_table(name, guests: integer, time?): Reserves a table in a restaurant

A JSON schema takes four to five times the tokens and says no more. `?` marks what may be left out; strings have no type; a
parameter's own description follows in brackets; what these signs cannot say stays JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omnie.errors import InputError
from omnie.messages import Message, Tool, text

PLAIN = {"type", "description", "title", "properties", "required", "items", "enum", "additionalProperties"}
"""Keywords of a schema that a signature can say."""


def offered(tools: Sequence[Tool]) -> list[Message]:
    """The system turn that offers the tools; nothing where there are none."""
    return [Message("system", (text("\n".join(map(signature, tools))),))] if tools else []


def signature(tool: Tool) -> str:
    """One line: name, parameters, description."""
    said = f": {_line(tool.description)}" if tool.description else ""
    return f"{tool.name}({_fields(tool.parameters)}){said}"


def read(entries: Iterable[Mapping[str, Any]]) -> list[Tool]:
    """Tools as OpenAI's interface writes them: `{"type": "function", "function": {"name", "description", "parameters"}}`, or
    the inner object alone.

    Raises:
        InputError: an entry is no such object, or two have one name.
    """
    tools = [_read(entry) for entry in entries]
    names = [tool.name for tool in tools]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError("two tools have one name", value=double, allowed="different names")
    return tools


def _read(entry: Any) -> Tool:
    inner = entry.get("function", entry) if isinstance(entry, Mapping) and entry.get("type", "function") == "function" else None
    if not isinstance(inner, Mapping):
        raise InputError("tool cannot be read", value=str(entry)[:60], allowed='{"type": "function", "function": {...}}')
    name, said, schema = inner.get("name"), inner.get("description") or "", inner.get("parameters") or {}
    if not isinstance(name, str) or not name or any(mark.isspace() or mark in "(),:" for mark in name):
        raise InputError("tool has no usable name", value=name, allowed="a word without blanks and ( ) , :")
    if not isinstance(said, str):
        raise InputError(f"tool {name} has a description that is no text", value=type(said).__name__, allowed="str")
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object" or not _listed(schema):
        allowed = '{"type": "object", "properties": {...}, "required": [...]}'
        raise InputError(f"tool {name} has parameters that are no object", value=str(schema)[:60], allowed=allowed)
    return Tool(name, said, dict(schema))


def _listed(schema: Mapping[str, Any]) -> bool:
    """Whether an object's schema names its properties, and which are required, as it should."""
    return isinstance(schema.get("properties", {}), Mapping) and isinstance(schema.get("required", []), list | tuple)


def _fields(schema: Mapping[str, Any]) -> str:
    due = schema.get("required") or ()
    fields = (schema.get("properties") or {}).items()
    return ", ".join(f"{name}{'' if name in due else '?'}{_typed(inner)}" for name, inner in fields)


def _typed(schema: Any) -> str:
    """What stands behind a parameter's name: ": integer (how many)", nothing for a string."""
    kind, said = _kind(schema), schema.get("description") if isinstance(schema, Mapping) else None
    return ("" if kind == "string" else f": {kind}") + (f" ({_line(said)})" if isinstance(said, str) and said else "")


def _kind(schema: Any) -> str:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    odd = not isinstance(schema, Mapping) or not isinstance(kind, str | None) or not schema.keys() <= PLAIN
    if odd or not _listed(schema) or not isinstance(schema.get("enum", []), list | tuple):
        return json.dumps(schema, ensure_ascii=False)
    if schema.get("enum"):
        return "|".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if kind == "array" and schema.get("items"):
        return f"[{_kind(schema['items'])}]"
    if kind == "object" and schema.get("properties"):
        return f"{{{_fields(schema)}}}"
    return kind or "any"


def _line(value: str) -> str:
    return " ".join(value.split())
