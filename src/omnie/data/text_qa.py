"""Questions on short passages: `text.qa` (the answer is a span of the passage) and `text.unknown` (the passage is silent).

A passage tells facts of several subjects of one domain; the asked relation is told of at least two of them, so that the answer
must be matched, not guessed. Some of training's relations are made up, so that matching goes by more than known wordings.
Training says an answer by quoting its sentence from what the question names on: so said, a value is what the passage goes on
with. What the question names is said first, too, where it stands behind the value. Templates and values are in `writing/`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from omnie.data.example import Example, Generator, Scoring, Split
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import Domain, Fact, Sentence, Template, broken, fill, grammar, sentence, tidy
from omnie.data.writing.invented.relations import made_up
from omnie.data.writing.values import KINDS, Value
from omnie.data.writing.vocabulary import COMPANY_FORMS, LANGUAGES, pick
from omnie.messages import text

UNKNOWN = {"en": "I cannot tell from this.", "de": "Das geht daraus nicht hervor."}
PRONOUNS = {
    ("en", "f"): "She",
    ("en", "m"): "He",
    ("de", "f"): "Sie",
    ("de", "m"): "Er",
}
TITLES = {"Ms", "Mr", "Frau", "Dr."} | {word for forms in COMPANY_FORMS.values() for form in forms for word in form.split()}
"""Words of names that many share."""
MADE_UP = 0.4
"""Share of training's passages whose relations nobody wrote down (`writing/invented/relations.py`)."""


@dataclass
class Passage:
    """A passage under construction: what it tells, sentence by sentence, and which templates said so.

    `sentences`: how each of `told` is said, once the passage is written.
    """

    language: str
    split: Split
    domain: Domain
    told: list[tuple[Fact, dict[str, Value]]] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    templates: set[str] = field(default_factory=set)

    def draw(self, rng: np.random.Generator, kind: str) -> Value:
        """A value that this passage has not used yet, and that cannot be taken for one that it has used."""
        while True:
            value = KINDS[kind](rng, self.language, self.split)
            if not any(alike(value.text, used, kind in ("person", "company")) for used in self.used):
                self.used.add(value.text)
                return value

    def tell(self, rng: np.random.Generator, fact: Fact, subject: Value) -> None:
        """Note that `fact` holds of `subject`, with fresh values."""
        values = {self.domain.subject: subject} | {slot: self.draw(rng, slot) for slot in fact.slots}
        self.told.append((fact, agreeing(values)))


def alike(one: str, other: str, names: bool) -> bool:
    """Could one be meant by the other: "2 May" by "2 May 2024", and of names "Ms Keller" by "Anna Keller"?"""
    a, b = set(one.split()), set(other.split())
    return a <= b or b <= a or (names and bool((a & b) - TITLES))


def agreeing(values: dict[str, Value]) -> dict[str, Value]:
    """German jobs in the form that agrees with the person ("Bäcker/Bäckerin")."""
    job = values.get("job")
    if job and "/" in job.text:
        male, female = job.text.split("/")
        values["job"] = Value(female if values["person"].gender == "f" else male)
    return values


def compose(rng: np.random.Generator, language: str, split: Split) -> Passage:
    """Choose a domain, two to four subjects and two to six facts; the first relation is told of at least two subjects.

    A quarter of the training passages stop at those: short ones come first in learning.
    """
    invented = split == "train" and rng.random() < MADE_UP
    domain = made_up(rng, language) if invented else pick(rng, tuple(grammar(language).domains.values()))
    passage = Passage(language, split, domain)
    subjects = [passage.draw(rng, domain.subject) for _ in range(int(rng.integers(2, 5)))]
    facts = [list(domain.facts.values())[i] for i in rng.permutation(len(domain.facts))]
    told = [(subject, facts[0]) for subject in subjects[: int(rng.integers(2, len(subjects) + 1))]]
    for _ in range(0 if split == "train" and rng.random() < 0.25 else int(rng.integers(1, 5))):
        pair = (pick(rng, subjects), pick(rng, facts[1:4]))
        if pair not in told and len(told) < 6:
            told.append(pair)
    if rng.random() < 0.5:
        told.sort(key=lambda pair: subjects.index(pair[0]))
    else:
        told = [told[i] for i in rng.permutation(len(told))]
    for subject, fact in told:
        passage.tell(rng, fact, subject)
    return passage


def write(rng: np.random.Generator, passage: Passage) -> list[str]:
    """The passage's sentences. One about the person of the sentence before may begin with a pronoun."""
    before = None
    for fact, values in passage.told:
        template = pick(rng, fact.sentences[passage.split])
        passage.templates.add(template.name)
        wording, subject = template.wording(rng), values[passage.domain.subject]
        pronoun = PRONOUNS.get((passage.language, subject.gender)) if passage.domain.subject == "person" else None
        said = values
        if pronoun and subject is before and wording.startswith("{person} ") and rng.random() < 0.6:
            said = values | {"person": Value(pronoun)}
        passage.sentences.append(sentence(wording, said))
        before = subject
    sentences = [said.text for said in passage.sentences]
    if rng.random() < 0.25:
        filler = pick(rng, grammar(passage.language).fillers[passage.split])
        passage.templates.add(filler.name)
        sentences.insert(pick(rng, (0, len(sentences))), filler.wording(rng))
    return sentences


def quotation(passage: Passage, values: dict[str, Value], slot: str, asked: str) -> str:
    """A value as its sentence says it, from the last value before it that the question names: "Ann Lee works at Solson".

    Where what the question names comes behind it alone, the nearest of that is said first: "Wulmdorf: 11 hours" of "It takes 11
    hours to Wulmdorf". A pronoun stands for the name of its person, but is no answer: then the value stands alone, as it does
    where its sentence has nothing that the question names.
    """
    said = next(said for (_, told), said in zip(passage.told, passage.sentences, strict=True) if told is values)
    named = [other for other in values if other != slot and values[other].text.casefold() in asked.casefold()]
    before = [other for other in named if said.spans[other] < said.spans[slot]]
    if said.quote(slot, slot).casefold() != values[slot].text.casefold():
        return values[slot].text
    if named and not before:
        nearest = min(named, key=lambda other: said.spans[other])
        return f"{said.quote(nearest, nearest)}: {said.quote(slot, slot)}"
    return said.quote(max(before, key=lambda other: said.spans[other], default=slot), slot)


def question(rng: np.random.Generator, fact: Fact, values: dict[str, Value], slot: str, split: Split) -> tuple[str, Template]:
    """A question of `split` for `slot` of a fact."""
    template = pick(rng, fact.questions[split, slot])
    return tidy(fill(template.wording(rng), values)), template


def choose_slot(rng: np.random.Generator, fact: Fact, subject: str, split: Split) -> str:
    """Which slot to ask for: a value in 70 % of the questions, otherwise the subject."""
    slots = fact.asked(split)
    values = [slot for slot in slots if slot != subject]
    return pick(rng, values) if values and (subject not in slots or rng.random() < 0.7) else subject


def finish(
    rng: np.random.Generator, skill: str, passage: Passage, body: list[str], asked: str, template: Template, answer: str,
    scoring: Scoring = "exact", quote: str | None = None,
) -> Example:  # fmt: skip
    """The example: passage part first, question last."""
    families = {"template": "+".join(sorted(passage.templates | {template.name})), "language": passage.language}
    parts = (text(broken(rng, " ".join(body))), text(asked))
    return Example(skill, parts, answer, scoring, families=families, quote=quote)


def qa(rng: np.random.Generator, split: Split) -> Example:
    """A passage and a question whose answer is a span of it."""
    passage = compose(rng, pick(rng, LANGUAGES), split)
    body = write(rng, passage)
    shared = [told for told in passage.told if sum(told[0] is fact for fact, _ in passage.told) > 1]
    fact, values = pick(rng, shared if rng.random() < 0.8 else passage.told)
    slot = choose_slot(rng, fact, passage.domain.subject, split)
    asked, template = question(rng, fact, values, slot, split)
    quote = quotation(passage, values, slot, asked)
    example = finish(rng, "text.qa", passage, body, asked, template, values[slot].text, "quoted", quote)
    return followed(example, split, further(rng, passage, (values, slot)))


def unknown(rng: np.random.Generator, split: Split) -> Example:
    """A passage and a question on a subject or a relation of which it says nothing."""
    passage = compose(rng, pick(rng, LANGUAGES), split)
    body = write(rng, passage)
    asked, template = silent(rng, passage)
    example = finish(rng, "text.unknown", passage, body, asked, template, UNKNOWN[passage.language])
    return followed(example, split, further(rng, passage))


def silent(rng: np.random.Generator, passage: Passage) -> tuple[str, Template]:
    """A question that the passage does not answer: on a subject or a relation of which it says nothing."""
    told = {(id(values[passage.domain.subject]), fact.name) for fact, values in passage.told}
    fact, values = pick(rng, passage.told)
    subject = values[passage.domain.subject]
    silent = [f for f in passage.domain.facts.values() if (id(subject), f.name) not in told]
    if silent and rng.random() < 0.5:
        fact = pick(rng, silent)
    else:
        subject = passage.draw(rng, passage.domain.subject)
    values = agreeing({passage.domain.subject: subject} | {slot: passage.draw(rng, slot) for slot in fact.slots})
    slot = pick(rng, [slot for slot in fact.asked(passage.split) if slot != passage.domain.subject])
    return question(rng, fact, values, slot, passage.split)


def further(rng: np.random.Generator, passage: Passage, first: tuple[dict[str, Value], str] | None = None) -> Iterator[Turn]:
    """Three to five more questions, other facts before other sides of the same fact; a third of the time one has no answer.

    Args:
        first: The values and the slot that were asked for already; None where the passage did not answer.
    """
    subject, split, count = passage.domain.subject, passage.split, int(rng.integers(3, 6))
    order = [passage.told[i] for i in rng.permutation(len(passage.told))]
    order.sort(key=lambda told: first is not None and told[1] is first[0])
    sides = [(fact, values, choose_slot(rng, fact, subject, split)) for fact, values in order]
    sides += [(fact, values, slot) for fact, values, one in sides for slot in fact.asked(split) if slot != one]
    sides = [side for side in sides if first is None or side[1] is not first[0] or side[2] != first[1]]
    unanswered = int(rng.integers(count)) if first and rng.random() < 1 / 3 else None
    for place, (fact, values, slot) in enumerate(sides[:count]):
        if place == unanswered:
            asked, template = silent(rng, passage)
            yield Turn(asked, UNKNOWN[passage.language], template.name)
        else:
            asked, template = question(rng, fact, values, slot, split)
            yield Turn(asked, quotation(passage, values, slot, asked), template.name)


GENERATORS: dict[str, Generator] = {"text.qa": qa, "text.unknown": unknown}
