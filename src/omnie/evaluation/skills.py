"""`omnie eval skills` without its command line: asks a model the examples of every skill and reports scores by group.

Which examples: `cases.py`. Asking: `decode.py`. Scores: `summary.py`. What is written down beside them: `report.py`.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from omnie import checkpoint
from omnie.data.example import Example, Split
from omnie.engine.certainty import Certainty
from omnie.engine.engine import Engine
from omnie.engine.guide import Guide, Guides
from omnie.engine.request import Request, SamplingOptions
from omnie.errors import OptionError
from omnie.evaluation import cases
from omnie.evaluation.decode import answers
from omnie.evaluation.report import provenance
from omnie.evaluation.summary import Judged, chance, confidence, hardest, judge, scores, summary
from omnie.messages import user
from omnie.model.omni import Omni
from omnie.processor import Encoder, tokens

MARGIN = 24
"""Tokens that an answer may be longer than the longest that training would say in its chunk: a model that quotes more than it
need is not cut off before the value."""

Progress = Callable[[str, int, int], None]
"""Called with a skill, the cases done so far and all cases."""


@dataclass(frozen=True)
class SkillsConfig:
    """What is measured.

    Attributes:
        cases: Examples of each group.
        split: Families that the examples come from: "heldout", "validation", or "train", whose scores show what is not learned
            at all and what is not carried over.
        groups: Groups to ask; empty for all.
        shuffle: Exchange the media among the examples of a skill, so that only the questions can help; `chance` beside each
            score is then what the best single answer would score (`summary.chance`).
        guided: Ask only skills whose answers are JSON, and let the answers be nothing else (`engine.guide`), as a user does who
            gives a schema. Where tools are on offer, answers are text or calls that fit them without this: `Runtime` knows no
            other.

    Raises:
        OptionError: a value is out of range.
    """

    cases: int = 200
    split: str = "heldout"
    groups: tuple[str, ...] = ()
    shuffle: bool = False
    guided: bool = False
    typed: bool = False

    def __post_init__(self) -> None:
        if self.cases < 1:
            raise OptionError("cases is out of range", value=self.cases, allowed="1 or more")
        if self.split not in get_args(Split):
            raise OptionError("split is unknown", value=self.split, allowed="heldout, validation or train")
        cases.groups(self.groups)

    @property
    def out(self) -> Path:
        """Where the report goes unless the caller says otherwise; a partial one never takes the whole one's place."""
        split = "" if self.split == "heldout" else self.split
        chosen = cases.groups(self.groups) if self.groups else ()
        ways = (name for name, taken in (("shuffled", self.shuffle), ("guided", self.guided), ("typed", self.typed)) if taken)
        words = filter(None, ("skills", split, *chosen, *ways))
        return Path("benchmarks/results") / f"{'_'.join(words)}.json"


def evaluate(reference: str | Path | None, config: SkillsConfig, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """The report: `skills` by group and `detail` by single skill (each `score`, `n`, `low`, `high`, and `confidence` unless
    media are shuffled; in `detail` also the `scores` of the cases in their order, for `compare`), and where it comes from.
    Beside them, but never for held-out examples, `hardest` by skill (`summary.hardest`): what to learn from.

    Raises:
        CheckpointError: the model cannot be loaded.
        InputError: a group's fonts, pictures or voices are missing; the model does not take a group's media.
        OptionError: with `shuffle`, when none of the groups has media; with `guided`, when none has JSON for answers; the
            model's chat template offers no tools.
    """
    started = time.perf_counter()
    origin = provenance(reference)
    plan = planned(config)
    model, encoder = checkpoint.load(reference)
    for example in cases.probe("tools", config.split) if "tools" in plan else ():
        encoder.offer(example.tools)
    judged, seconds = ask(model, encoder, plan, config, progress)

    def row(done: Sequence[Judged]) -> dict[str, Any]:
        return summary(done) | ({"chance": chance(done)} if config.shuffle else confidence(done))

    worst = {name: rows for name, done in judged.items() if config.split != "heldout" and (rows := hardest(done))}
    spent = {group: sum(seconds[name] for name in names) / sum(names.values()) for group, names in plan.items()}
    result = {
        "skills": {group: row([case for name in names for case in judged[name]]) for group, names in plan.items()},
        "detail": {name: row(done) | {"scores": scores(done)} for name, done in judged.items()},
        "split": config.split,
        "shuffled": config.shuffle,
        "guided": config.guided,
        "typed": config.typed,
        "seconds_per_case": {group: round(each, 4) for group, each in spent.items()},
        "seconds": round(time.perf_counter() - started, 1),
    }
    return result | ({"hardest": worst} if worst else {}) | origin


def planned(config: SkillsConfig) -> dict[str, dict[str, int]]:
    """Group -> skill -> cases. With `shuffle`, only skills with media; with `guided`, only those whose answers are JSON."""
    plan = {}
    for group in cases.groups(config.groups):
        left_out = {
            example.skill
            for example in cases.probe(group, config.split)
            if (config.shuffle and not cases.has_media(example)) or (config.guided and example.scoring != "json")
        }
        names = {name: n for name, n in cases.allot(group, config.cases).items() if name not in left_out}
        plan |= {group: names} if names else {}
    if not plan:
        what, allowed = ("guide", "groups with JSON") if config.guided else ("shuffle", "groups with media")
        raise OptionError(f"there is nothing to {what}", value=", ".join(config.groups), allowed=allowed)
    return plan


def ask(
    model: Omni, encoder: Encoder, plan: dict[str, dict[str, int]], config: SkillsConfig, progress: Progress
) -> tuple[dict[str, list[Judged]], dict[str, float]]:
    """Judged answers and seconds by skill."""
    guides = Guides(encoder.tokenizer.backend, min(encoder.stop)) if config.guided else None
    judged: dict[str, list[Judged]] = {}
    seconds: dict[str, float] = {}
    done, total = 0, sum(n for names in plan.values() for n in names.values())
    for name, count in (item for names in plan.values() for item in names.items()):
        started, judged[name] = time.perf_counter(), []
        for examples in cases.chunks(name, config.split, count, config.shuffle, config.typed):
            judged[name] += answered(model, encoder, examples, guides)
            done += len(examples)
            progress(name, done, total)
        seconds[name] = time.perf_counter() - started
    return judged, seconds


def answered(model: Omni, encoder: Encoder, examples: Iterable[Example], guides: Guides | None = None) -> list[Judged]:
    """The model's answers to examples of one skill, judged.

    Args:
        guides: Makes the guides of answers that are JSON, if they are to be nothing else.
    """
    examples = list(examples)
    limit = max(len(encoder.tokenizer.encode(example.quote or example.answer)) for example in examples) + MARGIN
    conversations = [[*encoder.offer(example.tools), user(*example.parts)] for example in examples]
    read = partial(only_call, encoder) if examples[0].scoring == "call" else None
    if examples[0].tools:
        made = (called(model, encoder, example, limit) for example in examples)
        return [judge(example, (read or encoder.decode)(ids), sure) for example, (ids, sure) in zip(examples, made)]
    guided = [guide(guides, example) for example in examples] if guides else None
    found = answers(model, encoder, conversations, limit, read, guided)
    return [judge(example, prediction, sure) for example, (prediction, sure) in zip(examples, found)]


def called(model: Omni, encoder: Encoder, example: Example, limit: int) -> tuple[list[int], float]:
    """The answer to an example that has tools on offer, as `omnie ask --tools` gives it, and its probability."""
    guides = Guides(encoder.tokenizer.backend, min(encoder.stop))
    inputs = encoder.encode([*encoder.offer(example.tools), user(*example.parts)])
    options = SamplingOptions(max_tokens=limit)
    request = Request(inputs, options, frozenset(encoder.stop), guides.calls(example.tools))
    certainty = Certainty()
    engine = Engine(model, context=model.config.max_position_embeddings)
    return list(engine.generate(request, certainty=certainty)), certainty.confidence


def guide(guides: Guides, example: Example) -> Guide:
    """What the answer may be: JSON with the keys that are asked for."""
    keys = list(json.loads(example.answer))
    properties = {key: {"type": "string"} for key in keys}
    return guides.json({"type": "object", "properties": properties, "required": keys, "additionalProperties": False})


def only_call(encoder: Encoder, ids: Sequence[int]) -> str:
    """The call that an answer is, as JSON; nothing where it makes none or several, or says something beside it."""
    said = encoder.parse([*ids, tokens.ID[tokens.END]])
    if len(said) != 1 or said[0].parts or len(said[0].tool_calls) != 1:
        return ""
    call = said[0].tool_calls[0]
    return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
