"""Further questions about the media of an example. What is asked is decided by the generators.

Drawing a picture and looking at it cost far more than one answer, so training asks on while the picture is there. Validation
and held-out examples ask their first question only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from omnie.data.example import Example, Scoring, Split

ROOM = 290
"""Characters that further turns about a picture may add: about 140 tokens, where a large picture is about 150."""
TURN_MARKS = 6
"""What the role and end tokens of a turn count for, in characters."""


@dataclass(frozen=True)
class Turn:
    """A question and its answer; `template` names the wording as the family that it is, `quote` is as in `Example`."""

    question: str
    answer: str
    template: str
    scoring: Scoring = "exact"
    quote: str | None = None

    @property
    def said(self) -> str:
        """What training says."""
        return self.quote or self.answer


def followed(example: Example, split: Split, turns: Iterable[Turn | None], most: int | None = None,
             room: int | None = None) -> Example:  # fmt: skip
    """The example with further turns, and their wordings in its "template" family, joined by `+`; unchanged outside training.

    Args:
        turns: Candidates in their order, None where one does not apply; may be lazy, and is read only as far as needed. A
            question that was asked already is left out.
        most: So many turns at most.
        room: So many characters at most in all; a turn that does not fit is left out and a shorter one may come after it.
    """
    if split != "train":
        return example
    asked = {part.value for part in example.parts if part.kind == "text"}
    taken = list(_chosen(turns, asked, most, room))
    wordings = dict.fromkeys([example.families["template"], *(turn.template for turn in taken)])
    families = {**example.families, "template": "+".join(wordings)}
    return replace(example, families=families, more=tuple((turn.question, turn.said) for turn in taken))


def _chosen(turns: Iterable[Turn | None], asked: set[str], most: int | None, room: int | None) -> Iterator[Turn]:
    left = float("inf") if most is None else most
    space = float("inf") if room is None else room
    for turn in turns if left > 0 else ():
        if turn is None or turn.question in asked:
            continue
        size = len(turn.question) + len(turn.said) + TURN_MARKS
        if size > space:
            continue
        yield turn
        asked.add(turn.question)
        left, space = left - 1, space - size
        if left == 0:
            return
