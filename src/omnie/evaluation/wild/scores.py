"""`omnie eval wild` without its command line: asks a model every case and reports scores by group."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnie import checkpoint
from omnie.errors import OptionError
from omnie.evaluation.decode import answers
from omnie.evaluation.report import provenance
from omnie.evaluation.skills import MARGIN, Progress
from omnie.evaluation.summary import Judged, judge, summary
from omnie.evaluation.wild.cases import Case, chosen, opened, read, shown
from omnie.messages import user
from omnie.model.omni import Omni
from omnie.processor import Encoder

CHUNK = 8
"""Cases that are opened, asked and judged together."""


@dataclass(frozen=True)
class WildConfig:
    """What is measured.

    Attributes:
        cases: Most cases of each group; None for all.
        groups: Groups to ask; empty for all.
        shuffle: Show each question another file of its group, so that only the question can help.

    Raises:
        OptionError: a value is out of range.
    """

    cases: int | None = None
    groups: tuple[str, ...] = ()
    shuffle: bool = False

    def __post_init__(self) -> None:
        if self.cases is not None and self.cases < 1:
            raise OptionError("cases is out of range", value=self.cases, allowed="1 or more")
        for asked in chosen(read(), self.groups, self.cases).values():
            shown(asked, self.shuffle)

    @property
    def out(self) -> Path:
        """Where the report goes unless the caller says otherwise; a partial one never takes the whole one's place."""
        count = "" if self.cases is None else str(self.cases)
        words = filter(None, ("wild", *self.groups, count, "shuffled" if self.shuffle else ""))
        return Path("benchmarks/results") / f"{'_'.join(words)}.json"


def evaluate(reference: str | Path | None, config: WildConfig, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """The report: `skills` by group and `detail` by single skill (each `score`, `n`, `low`, `high`), `cases` one by one, and
    where it comes from.

    Raises:
        CheckpointError: the model cannot be loaded.
        InputError: the model cannot be shown a case (one without audio experts, for instance).
    """
    started = time.perf_counter()
    origin = provenance(reference)
    plan = chosen(read(), config.groups, config.cases)
    model, encoder = checkpoint.load(reference)
    done, total = [], sum(map(len, plan.values()))
    for group, asked in plan.items():
        for found in ask(model, encoder, asked, config.shuffle):
            done += found
            progress(group, len(done), total)
    return report(done) | {"shuffled": config.shuffle, "seconds": round(time.perf_counter() - started, 1)} | origin


def ask(model: Omni, encoder: Encoder, cases: Sequence[Case], shuffle: bool) -> Iterator[list[tuple[Case, Judged]]]:
    """The model's answers to cases of one group, judged, a chunk at a time."""
    pairs = list(zip(cases, shown(cases, shuffle)))
    for first in range(0, len(pairs), CHUNK):
        chunk = pairs[first : first + CHUNK]
        posed = [case.examples(opened(file)) for case, file in chunk]
        longest = max(len(encoder.tokenizer.encode(answer)) for case, _ in chunk for answer in case.expected)
        said = answers(model, encoder, [[user(*examples[0].parts)] for examples in posed], longest + MARGIN)
        yield [(case, best(examples, answer)) for (case, _), examples, (answer, _) in zip(chunk, posed, said)]


def best(examples: Sequence[Any], prediction: str) -> Judged:
    """A prediction, judged against the right answer that it comes closest to; the first of equals."""
    return max((judge(example, prediction) for example in examples), key=lambda judged: judged.score)


def report(done: Sequence[tuple[Case, Judged]]) -> dict[str, Any]:
    """`skills`, `detail` and `cases` of judged answers."""
    groups, skills = ({key(case): [] for case, _ in done} for key in (lambda case: case.group, lambda case: case.skill))
    for case, judged in done:
        groups[case.group].append(judged)
        skills[case.skill].append(judged)
    return {
        "skills": {name: summary(found) for name, found in groups.items()},
        "detail": {name: summary(found) for name, found in skills.items()},
        "cases": [
            {"file": case.file, "skill": case.skill, "tool": case.tool, "question": case.question}
            | {"expected": judged.answer, "answer": judged.prediction, "score": round(judged.score, 4)}
            for case, judged in done
        ],
    }
