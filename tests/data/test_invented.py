"""What training reads and nobody wrote: relations of one passage, words that say nothing."""

import numpy as np
import pytest

from omnie.data import skills, text_extract, text_qa
from omnie.data.example import SPLITS, generator_for
from omnie.data.writing.grammar import SLOT, every, grammar
from omnie.data.writing.invented import relations
from omnie.data.writing.invented.words import WORD, ordinary, words
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import LANGUAGES, owner

N = 300


@pytest.fixture(params=LANGUAGES)
def domains(request):
    rng = generator_for("text.qa", "train", 7)
    return request.param, [relations.made_up(rng, request.param) for _ in range(N)]


def test_every_relation_is_told_and_asked_of_both_sides(domains):
    _, found = domains
    for domain in found:
        assert 3 <= len(domain.facts) <= 4
        for fact in domain.facts.values():
            (kind,) = fact.slots
            assert kind in KINDS and kind != domain.subject
            assert set(fact.sentences) == {"train"} and set(fact.questions) == {("train", kind), ("train", domain.subject)}
            for template in fact.sentences["train"]:
                assert sorted(slot for _, slot in SLOT.findall(template.text)) == sorted((kind, domain.subject))
            for (_, sought), templates in fact.questions.items():
                for template in templates:
                    assert {slot for _, slot in SLOT.findall(template.text)} == {kind, domain.subject} - {sought}


def test_a_question_shares_words_with_its_relation_and_hardly_any_with_others(domains):
    """Else there would be nothing to find it by."""
    _, found = domains
    own, others = [], []
    for domain in found:
        facts = list(domain.facts.values())
        for fact in facts:
            asked = _words(fact.questions["train", fact.slots[0]])
            own.append(bool(asked & _words(fact.sentences["train"])))
            told = (_words(other.sentences["train"]) for other in facts if other is not fact)
            others += [len(asked & words) / len(asked) for words in told]
    assert np.mean(own) > 0.97 and np.mean(others) < 0.3


def _words(templates) -> set[str]:
    texts = (text for template in templates for text in every(template.text))
    return {word.casefold() for text in texts for word in WORD.findall(SLOT.sub(" ", text))}


def test_relations_differ_from_passage_to_passage_and_some_share_a_kind(domains):
    _, found = domains
    texts = [template.text for domain in found for fact in domain.facts.values() for template in fact.sentences["train"]]
    assert len(set(texts)) > 0.95 * len(texts)
    alike = np.mean([len({fact.slots for fact in domain.facts.values()}) < len(domain.facts) for domain in found])
    assert relations.ALIKE - 0.12 < alike < relations.ALIKE + 0.12


@pytest.mark.parametrize("skill", ["text.qa", "text.unknown"])
def test_only_training_makes_up_relations(skill):
    families = {split: [skills.example(skill, split, n).families["template"] for n in range(N)] for split in SPLITS}
    shares = {split: np.mean(["made-up" in family for family in own]) for split, own in families.items()}
    assert shares["validation"] == shares["heldout"] == 0.0
    assert abs(shares["train"] - text_qa.MADE_UP) < 0.1


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_training_s_or_nobody_s(language):
    rng = np.random.default_rng(0)
    known = {word.casefold() for word in ordinary(language)}
    drawn = [words(rng, language, 1, 3) for _ in range(N)]
    assert {len(few) for few in drawn} == {1, 2, 3}
    made_up = [word for few in drawn for word in few if word.casefold() not in known]
    assert all(owner(word) == "train" for word in made_up) and 0.1 < len(made_up) / sum(map(len, drawn)) < 0.3
    evaluation = {
        word.casefold()
        for domain in grammar(language).domains.values()
        for fact in domain.facts.values()
        for split in ("validation", "heldout")
        for template in fact.sentences[split]
        for word in WORD.findall(SLOT.sub(" ", template.text))
    }
    own = evaluation - known
    assert own and not own & {word.casefold() for few in drawn for word in few}


@pytest.mark.parametrize("language", LANGUAGES)
def test_documents_hold_their_values_as_they_are(language):
    """Where one begins a sentence, too: what is to be copied stands there letter by letter."""
    rng = generator_for("text.extract", "train", 4)
    made = [text_extract.composed(rng, language) for _ in range(5 * N)]
    assert all(value in body for body, fields in made for value in fields.values())


def test_documents_hold_values_among_other_words(monkeypatch):
    monkeypatch.setattr(text_extract, "words", lambda *_: ["OTHER"])
    rng = generator_for("text.extract", "train", 3)
    made = [text_extract.composed(rng, "en") for _ in range(N)]
    among = [("OTHER" in body or "OTHER".title() in body) for body, _ in made]
    assert 0.2 < np.mean(among) < 0.7
    assert all(value in body for body, fields in made for value in fields.values())
