"""How exact attention has to be (`exact`, `certified:EPS` or `fast:BUDGET`), and products with 4-bit matrices. Free of torch,
so that an option fails early."""

from __future__ import annotations

from dataclasses import dataclass

from omnie.errors import OptionError

DEFAULTS = {"exact": 0.0, "certified": 1e-3, "fast": 0.25}
MEANING = {
    "certified": "an eps above 0 and below 1: the largest share of a row's attention that may be dropped",
    "fast": "a budget above 0, up to 1: the share of tiles that is computed",
}

ACTIVATIONS = {"int8": "fast; within a stated error", "float": "nothing rounded besides the matrices"}
"""What a processor multiplies 4-bit matrices with (`ops/int4_linear/cpu.py`)."""


def check_activations(name: str) -> None:
    """Raises `OptionError` unless `name` is one of `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        allowed = "; ".join(f"{kind} ({meaning})" for kind, meaning in ACTIVATIONS.items())
        raise OptionError("unknown activations", value=name, allowed=allowed)


@dataclass(frozen=True)
class Level:
    """A mode of dynamic attention.

    Attributes:
        name: `exact` computes all that the mask lets through; `certified` drops tiles as long as every row is proved to lose at
            most `value` of its softmax mass; `fast` computes the `value` share of tiles that look heaviest, and proves
            nothing (for a lone query it forms all scores, and reads the values of that share).
        value: eps or budget.

    Raises:
        OptionError: the name is unknown or the value out of range.
    """

    name: str = "exact"
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in DEFAULTS:
            raise OptionError(
                "unknown attention", value=self.name, allowed=", ".join(DEFAULTS), hint="for example certified:1e-3"
            )
        top = self.value < 1 or (self.name == "fast" and self.value == 1)
        if self.name != "exact" and not (self.value > 0 and top):
            raise OptionError(f"attention {self.name} is out of range", value=self.value, allowed=MEANING[self.name])

    @classmethod
    def parse(cls, text: str) -> Level:
        """From `NAME` or `NAME:VALUE`."""
        name, colon, number = text.partition(":")
        try:
            value = float(number) if colon else DEFAULTS.get(name, 0.0)
        except ValueError:
            raise OptionError("attention's value is no number", value=number, allowed=MEANING.get(name, "none")) from None
        if name == "exact" and colon:
            raise OptionError("exact attention takes no value", value=text, allowed="exact")
        return cls(name, value)

    def __str__(self) -> str:
        return self.name if self.name == "exact" else f"{self.name}:{self.value:g}"


EXACT = Level()
