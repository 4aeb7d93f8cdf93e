"""Values of a published config.json that are about to be computed with, checked one by one; no table lives here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnie.errors import CheckpointError


def count(values: Mapping[str, Any], key: str, least: int = 1) -> int:
    """A whole number; how large it may be is checked by `Architecture.check`."""
    value = values[key]
    if type(value) is not int or value < least:
        raise CheckpointError(f"{key} is not usable", value=str(value)[:80], allowed=f"a whole number, {least} or more")
    return value


def check_fixed(values: Mapping[str, Any], only: Mapping[str, Any]) -> None:
    """Raises `CheckpointError` where a setting has another value than the one that the model can do."""
    for key, allowed in only.items():
        if values[key] != allowed:
            raise CheckpointError(f"{key} is not supported", value=str(values[key])[:80], allowed=str(allowed))


def head_dim(values: Mapping[str, Any]) -> int:
    """Channels of a head, stated or the hidden ones shared out among the heads."""
    if values["head_dim"] is None:
        return count(values, "hidden_size") // count(values, "num_attention_heads")
    return count(values, "head_dim")


def rope_theta(fields: Mapping[str, Any], default: float, kind: str = "default") -> Any:
    """The base of the rotary angles, from newer or older places; other kinds of angles are refused."""
    parameters = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    if not isinstance(parameters, dict) or parameters.get("rope_type", parameters.get("type", kind)) != kind:
        raise CheckpointError(
            "the rotary embedding is of an unknown kind", value=str(parameters)[:80], allowed=f"rope_type {kind}"
        )
    return parameters.get("rope_theta", fields.get("rope_theta", default))


def section(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of the config that is an object of its own; empty when it is left out."""
    value = fields.get(key)
    if value is not None and not isinstance(value, dict):
        raise CheckpointError(f"{key} is not usable", value=str(value)[:80], allowed="a JSON object")
    return value or {}
