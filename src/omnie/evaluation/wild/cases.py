"""The labelled files beside this module: which there are, what is asked about each, which answers are right. No model here."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from omnie import media
from omnie.data.example import Example, Scoring
from omnie.data.skills import group_of
from omnie.errors import InputError, OptionError
from omnie.messages import Part, text

HERE = Path(__file__).parent
KEYS = {"skill", "expected", "scoring", "question"}
"""Of a case in `cases.toml`; only a recording that asks itself goes without a question."""


@dataclass(frozen=True)
class Case:
    """A question about a file.

    Attributes:
        skill: Dotted name, as in the table of skills; the part before the dot is the reported group.
        file: Name in `files/`.
        question: What is asked; None where the recording asks.
        expected: Every right way to answer; the best one counts.
        scoring: How an answer is judged against one of `expected`.
        tool: What made the file.
    """

    skill: str
    file: str
    question: str | None
    expected: tuple[str, ...]
    scoring: Scoring
    tool: str

    @property
    def group(self) -> str:
        return group_of(self.skill)

    def examples(self, shown: Part) -> list[Example]:
        """The question beside `shown`, once with each right answer."""
        parts = (shown, *([text(self.question)] if self.question else []))
        return [Example(self.skill, parts, answer, self.scoring) for answer in self.expected]


def read(folder: Path = HERE) -> tuple[Case, ...]:
    """All cases of `cases.toml` in a folder, in its order.

    Raises:
        InputError: it is not there or no TOML, or a case is incomplete or names a file that is not there.
    """
    path = folder / "cases.toml"
    try:
        files = tomllib.loads(path.read_text("utf-8"))["file"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError("the cases cannot be read", value=path, hint=str(error)) from error
    for file in files:
        if not {"name", "tool", "case"} <= file.keys() or not (folder / "files" / file["name"]).is_file():
            raise InputError("a file of the cases is incomplete or missing", value=file.get("name"), allowed="name, tool, case")
    return tuple(_case(file, entry) for file in files for entry in file["case"])


def _case(file: dict[str, Any], entry: dict[str, Any]) -> Case:
    if not KEYS - {"question"} <= entry.keys() <= KEYS or not entry["expected"] or entry["scoring"] not in get_args(Scoring):
        raise InputError("a case is incomplete", value=f"{file['name']}: {entry}", allowed=", ".join(sorted(KEYS)))
    expected = tuple(entry["expected"])
    return Case(entry["skill"], file["name"], entry.get("question"), expected, entry["scoring"], file["tool"])


def chosen(cases: Sequence[Case], groups: Sequence[str] = (), most: int | None = None) -> dict[str, list[Case]]:
    """The first `most` cases of each wanted group, or all, in the order in which groups first come.

    Raises:
        OptionError: a name is no group of these cases.
    """
    known: dict[str, list[Case]] = {}
    for case in cases:
        known.setdefault(case.group, []).append(case)
    for name in groups:
        if name not in known:
            raise OptionError("unknown group of cases", value=name, allowed=", ".join(known))
    return {name: found[:most] for name, found in known.items() if not groups or name in groups}


def shown(cases: Sequence[Case], shuffle: bool = False) -> list[str]:
    """Which file goes with each case: its own, or with `shuffle` the next other one of these cases (the last's is the first).

    Raises:
        OptionError: there is only one file, so nothing can be exchanged.
    """
    files = list(dict.fromkeys(case.file for case in cases))
    if not shuffle:
        return [case.file for case in cases]
    if len(files) < 2:
        raise OptionError("there is nothing to exchange", value=files[0], allowed="two files a group or more")
    lender = dict(zip(files, [*files[1:], files[0]]))
    return [lender[case.file] for case in cases]


@cache
def opened(file: str, folder: Path = HERE) -> Part:
    """A file of the cases, decoded.

    Raises:
        MediaError: it cannot be decoded.
    """
    return media.as_part(media.load(str(folder / "files" / file)))
