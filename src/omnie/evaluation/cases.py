"""Which examples are asked: how many of each skill, and the ablation that exchanges their media. No model here."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from omnie.data import skills
from omnie.data.example import Example, Split, generator_for
from omnie.data.typed import typed
from omnie.errors import InputError, OmnieError, OptionError

CHUNK = 32
"""Examples of one skill that are drawn, asked and judged together: bounds memory, and is where media are exchanged."""


def groups(wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """The groups to report: those named, or all, in the table's order.

    Raises:
        OptionError: a name is no group.
    """
    known = tuple(skills.SHARES)
    for name in wanted:
        if name not in known:
            raise OptionError("unknown group of skills", value=name, allowed=", ".join(known))
    return tuple(name for name in known if not wanted or name in wanted)


def allot(group: str, cases: int) -> dict[str, int]:
    """`cases` shared out among a group's skills by the table's weights (largest remainders); without those that get none."""
    names = skills.skills(group)
    shares = np.array([skills.weights()[name] for name in names])
    exact = cases * shares / shares.sum()
    counts = np.floor(exact + 1e-9).astype(int)
    for place in np.argsort(np.round(counts - exact, 9), kind="stable")[: cases - counts.sum()]:  # equal remainders are equal
        counts[place] += 1
    return {name: int(count) for name, count in zip(names, counts) if count}


def chunks(skill: str, split: Split, count: int, shuffle: bool, hurried: bool = False) -> Iterator[list[Example]]:
    """The first `count` examples of a skill, in chunks of about equal size.

    Args:
        shuffle: Exchange media inside a chunk.
        hurried: Ask as people type.
    """
    for indices in np.array_split(np.arange(count), math.ceil(count / CHUNK)):
        wanted = [int(index) for index in indices]
        lender = [count] if shuffle and len(wanted) == 1 else []  # a lone example borrows from one that is not asked
        examples = [skills.example(skill, split, index) for index in wanted + lender]
        if hurried:
            rngs = [generator_for(f"typed/{skill}", split, index) for index in wanted + lender]
            examples = [typed(rng, example) for rng, example in zip(rngs, examples, strict=True)]
        yield (exchanged(examples) if shuffle else examples)[: len(wanted)]


def has_media(example: Example) -> bool:
    """Whether anything but text is shown."""
    return any(part.kind != "text" for part in example.parts)


def exchanged(examples: Sequence[Example]) -> list[Example]:
    """Each example with the media of the next one (the last with the first's); questions and answers stay."""
    lenders = [*examples[1:], *examples[:1]]
    return [
        replace(
            example,
            parts=(
                *(part for part in lender.parts if part.kind != "text"),
                *(part for part in example.parts if part.kind == "text"),
            ),
        )
        for example, lender in zip(examples, lenders)
    ]


def probe(group: str, split: Split) -> list[Example]:
    """The first example of each skill of a group, which shows early whether its fonts, pictures and voices are there.

    Raises:
        InputError: an example cannot be drawn; the message names the command that fetches what is missing.
    """
    try:
        return [skills.example(name, split, 0) for name in skills.skills(group)]
    except OmnieError as error:
        what, leave = f"no examples of {group}: {error.what}", f"leave {group} out with --skills"
        hint = f"{error.hint}; or {leave}" if error.hint else leave
        raise InputError(what, value=error.value, allowed=error.allowed, hint=hint) from error
