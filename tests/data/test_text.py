"""Text tasks: answers follow from the question, values and templates stay in their split, grammar files are complete."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from omnie.data import pages, skills, text_find, text_form, text_qa
from omnie.data.example import SPLITS, generator_for
from omnie.data.pages import compose
from omnie.data.scoring import score
from omnie.data.text_logic import TRENDS, worked_out
from omnie.data.writing import grammar as g
from omnie.data.writing import values, vocabulary
from omnie.data.writing.grammar import complete, fill, forms, grammar, parse, tidy, wordings
from omnie.errors import InputError
from omnie.media.types import Image, Word

SPAN = ("text.qa", "text.find", "text.copy", "text.extract")
N = 150


def examples(skill, split="train", n=N):
    return [skills.example(skill, split, index) for index in range(n)]


def words(example):
    """All text of the question."""
    return "".join(part.value for part in example.parts)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("skill", ["text.qa", "text.find", "text.copy"])
def test_the_answer_is_a_span_of_the_passage(skill, split):
    for example in examples(skill, split):
        assert example.answer.casefold() in example.parts[0].value.casefold(), example


@pytest.mark.parametrize("split", SPLITS)
def test_what_training_says_is_a_quotation_of_the_passage(split):
    quoted = 0
    for example in examples("text.qa", split):
        refusal = text_qa.UNKNOWN[example.families["language"]]
        assert example.quote.casefold().endswith(example.answer.casefold()) and score(example, example.quote) == 1
        for said in (example.quote, *dict(example.more).values()):  # a name that stands behind its value is said first
            assert said == refusal or all(part in example.parts[0].value for part in (said, *said.split(": "))[-2:]), said
        quoted += len(example.quote) > len(example.answer)
    assert quoted > N / 3


@pytest.mark.parametrize(
    ("wording", "asked", "slot", "quote"),
    [
        ("{person} is employed at {company}.", "Where does Anna Keller work?", "company", "Anna Keller is employed at Solson"),
        ("She is employed at {company}.", "Where does Anna Keller work?", "company", "She is employed at Solson"),
        ("She is employed at {company}.", "Who works at Solson?", "person", "Anna Keller"),
        ("[At|] {company} works {person}.", "Where does Anna Keller work?", "company", "Anna Keller: Solson"),
        ("{person} is employed at {company}.", "Who is the boss of Anna Keller?", "person", "Anna Keller"),
    ],
    ids=["name", "pronoun", "who", "before", "unnamed"],
)
def test_an_answer_is_quoted_from_what_the_question_names(wording, asked, slot, quote):
    told = {"person": values.Value("Anna Keller", "f"), "company": values.Value("Solson")}
    said = told | ({"person": values.Value("She")} if wording.startswith("She") else {})
    wording = g.Template("any", wording.replace("She", "{person}")).wording(np.random.default_rng(0))
    passage = text_qa.Passage("en", "train", grammar("en").domains["people"], [(None, told)], [g.sentence(wording, said)])
    assert text_qa.quotation(passage, told, slot, asked) == quote


def test_a_sentence_knows_where_its_values_stand():
    """Tidied, without articles, and the same text as plain filling gives."""
    told = {"job": values.Value("artist"), "person": values.Value("Kim", "f"), "city": values.Value("Oslo")}
    for wording in (
        "{A job}  by trade , {person} lives [in|] {city} .",
        "{person} , {a job} , [|] {city}",
        "{city}: {job} {person}",
    ):
        wording = g.Template("any", wording).wording(np.random.default_rng(1))
        said = g.sentence(wording, told)
        assert said.text == tidy(fill(wording, told))
        assert all(said.quote(slot, slot) == told[slot].text for slot in told)


def test_the_answer_does_not_stand_in_the_question():
    for example in examples("text.qa"):
        assert example.answer.casefold() not in example.parts[1].value.casefold().split(), example


def test_most_questions_have_a_rival_of_the_same_relation():
    """The first relation is told of at least two subjects, so at least half of the passages must show it."""
    rivals = 0
    for index in range(N):
        rng = generator_for("rivals", "train", index)
        facts = [fact.name for fact, _ in text_qa.compose(rng, "en", "train").told]
        rivals += len(facts) > len(set(facts))
    assert rivals == N


@pytest.mark.parametrize(
    ("one", "other", "names", "expected"),
    [
        ("Anna", "Anna Keller", True, True),
        ("Ms Keller", "Anna Keller", True, True),
        ("Ms Keller", "Ms Fox", True, False),
        ("2 May", "2 May 2024", False, True),
        ("2 May", "3 May", False, False),
        ("4", "14", False, False),
    ],
)
def test_values_that_could_be_confused(one, other, names, expected):
    assert text_qa.alike(one, other, names) == text_qa.alike(other, one, names) == expected


def test_a_silent_passage_is_answered_with_the_refusal():
    """What is asked in `text.unknown` is a pair of subject and relation that the passage does not tell."""
    for example in examples("text.unknown"):
        assert example.answer == text_qa.UNKNOWN[example.families["language"]]


def spoken(template, shape):
    """All questions that a wording gives, each filled in by `shape`."""
    pieces = g.CHOICE.split(template.text)
    choices = [piece.split("|") if place % 2 else [piece] for place, piece in enumerate(pieces)]
    return {shape("".join(chosen)) for chosen in itertools.product(*choices)}


@pytest.mark.parametrize("skill", ["text.qa", "text.unknown"])
def test_further_questions_are_answered_by_the_passage_or_refused(skill, monkeypatch):
    """Each is a training question on a fact with that answer, or on nothing that the passage tells; none comes twice."""
    passages, refused, asked, compose = [], 0, 0, text_qa.compose
    monkeypatch.setattr(text_qa, "compose", lambda *args: passages.append(compose(*args)) or passages[-1])
    for index in range(N):
        example = skills.example(skill, "train", index)
        known: dict[str, set[str]] = {}
        for fact, told in passages[-1].told:
            for slot in fact.asked("train"):
                for template in fact.questions["train", slot]:
                    for question in spoken(template, lambda wording, told=told: tidy(fill(wording, told))):
                        said = text_qa.quotation(passages[-1], told, slot, question)
                        assert said.casefold().endswith(told[slot].text.casefold())
                        known.setdefault(question, set()).add(said)
        turns = ((example.parts[1].value, example.quote or example.answer), *example.more)
        refusal = text_qa.UNKNOWN[example.families["language"]]
        for question, answer in turns:
            assert known.get(question, {refusal}) == {answer}, (question, answer)
        assert len(dict(turns)) == len(turns) and len(example.more) <= 5
        refused += sum(answer == refusal for _, answer in example.more)
        asked += len(example.more)
    assert asked > 2.5 * N and (N / 6 < refused < N / 2 if skill == "text.qa" else not refused)


def undrawn(monkeypatch):
    """Pages stay blank, for which no fonts are needed."""
    blank = SimpleNamespace(words=(), image=Image(np.zeros((1, 1, 3), np.uint8)))
    monkeypatch.setattr(pages, "draw_style", lambda *_: SimpleNamespace(name="any", family="any"))
    monkeypatch.setattr(pages, "draw_page", lambda *_: blank)


@pytest.mark.parametrize("skill", ("pages.qa", "pages.unknown"))
def test_further_fields_stand_on_the_page_or_are_refused(skill, monkeypatch):
    """The page is not drawn here; `pages.unknown` has asked for what is not there already."""
    filled, refused = [], 0
    monkeypatch.setattr(pages, "complete", lambda *args: filled.append(complete(*args)) or filled[-1])
    undrawn(monkeypatch)
    for index in range(N):
        example = pages.GENERATORS[skill](generator_for(skill, "train", index), "train")
        language, fields, known = example.families["language"], filled[-1][1], {}
        item = fields.get("item")
        for name in {*fields, *pages.FIELDS} - {"item"}:
            for template in wordings(name, language, "train", pages.QUESTIONS):
                for question in spoken(template, lambda text, item=item: tidy(text.format(item=item))):
                    known.setdefault(question, set()).add(fields.get(name, text_qa.UNKNOWN[language]))
        turns = ((example.parts[1].value, example.answer), *example.more)
        assert all(known[question] == {answer} for question, answer in turns), turns
        assert len(dict(turns)) == len(turns) and 1 <= len(example.more) <= 5
        assert sum(len(question) + len(answer) for question, answer in example.more) <= pages.ROOM
        refused += sum(answer == text_qa.UNKNOWN[language] for _, answer in example.more)
        assert not pages.GENERATORS[skill](generator_for(skill, "heldout", index), "heldout").more
    assert N / 8 < refused < N / 2 if skill == "pages.qa" else not refused


@pytest.mark.parametrize("skill", ("text.form", "pages.form"))
def test_a_form_is_asked_for_by_its_labels(skill, monkeypatch):
    forms, draw = [], text_form.draw_fields
    monkeypatch.setattr(text_form, "draw_fields", lambda *args: forms.append(draw(*args)) or forms[-1])
    for index in range(N if skill == "text.form" else 20):
        try:
            example = skills.example(skill, "train", index)
        except InputError as error:  # pages need fonts
            pytest.skip(str(error))
        assert example.answer == forms[-1][0].value and len({field.value for field in forms[-1]}) == len(forms[-1])
        by = {question: field for field in forms[-1] for question in asked_for(field.name, example.families["language"])}
        for question, answer in ((example.parts[1].value, example.quote), *example.more):
            field = by[question]
            assert answer.endswith(field.value) and (answer.startswith(field.label) or skill == "pages.form")
            if skill == "text.form":
                assert answer in example.parts[0].value
        assert skills.example(skill, "heldout", index).more == ()


def asked_for(label: str, language: str) -> set[str]:
    """All training questions for a label."""
    return {
        question
        for template in wordings("form", language, "train")
        for question in spoken(template, lambda text: tidy(text.format(label)))
    }


def line(top: float, *words: str) -> list[Word]:
    return [Word(word, (0.1 * n, top, 0.1 * n + 0.08, top + 0.02)) for n, word in enumerate(words)]


def test_a_value_is_quoted_with_its_label_and_not_with_more():
    page = [
        *line(0.1, "Invoice", "no.:", "A-1"), *line(0.2, "12.", "May", "2024"), *line(0.3, "Need", "help?", "Call", "9", "5."),
        *line(0.4, "We", "are", "happy", "to", "help", "Tim", "Lee"), *line(0.5, "Date", "3", "June"), *line(0.6, "Oslo"),
    ]  # fmt: skip
    said = {"A-1": "Invoice no.: A-1", "12. May 2024": "12. May 2024", "9 5": "9 5", "Tim Lee": "Tim Lee"}
    for value, quote in (said | {"3 June": "Date 3 June", "Oslo": "Oslo", "Rome": "Rome"}).items():
        assert pages.quotation(page, value) == quote


def test_further_keys_are_looked_up_in_the_same_list(monkeypatch):
    tables, table = [], text_find.table
    monkeypatch.setattr(text_find, "table", lambda *args: tables.append(table(*args)) or tables[-1])
    for index in range(N):
        example = skills.example("text.find", "train", index)
        turns = ((example.parts[1].value, example.answer), *example.more)
        for question, answer in turns:
            templates = wordings("find", example.families["language"], "train")
            keys = {key for key in tables[-1] for template in templates
                    if question in spoken(template, lambda wording, key=key: wording.format(key))}  # fmt: skip
            (key,) = keys
            assert answer.startswith(key) and answer.endswith(tables[-1][key])
        assert len(dict(turns)) == len(turns) > 1 or len(tables[-1]) == 1


def test_what_is_to_be_repeated_stands_in_the_order():
    for example in examples("text.copy"):
        assert example.more and all(answer in order for order, answer in example.more)


@pytest.mark.parametrize("skill", SPAN)
def test_only_training_asks_on(skill):
    assert not any(example.more for split in ("validation", "heldout") for example in examples(skill, split, 20))


def test_pronouns_refer_to_the_person_before():
    """A sentence that begins with a pronoun never opens a passage."""
    openings = ("She ", "He ", "Er ", "Sie ")
    bodies = [example.parts[0].value for split in SPLITS for example in examples("text.qa", split)]
    assert any(f". {opening}" in body for body in bodies for opening in openings)
    assert not any(body.startswith(openings) for body in bodies)


def test_passages_fit_a_training_row():
    lengths = [len(words(example).split()) for example in examples("text.qa", n=400)]
    assert max(lengths) < 110 and 20 < np.mean(lengths) < 60


@pytest.mark.parametrize("split", SPLITS)
def test_extraction_asks_for_fields_that_stand_in_the_document(split):
    for example in examples("text.extract", split):
        fields = json.loads(example.answer)
        assert 2 <= len(fields) <= 4
        assert all(key in example.parts[1].value for key in fields)
        assert all(value.casefold() in example.parts[0].value.casefold() for value in fields.values())


@pytest.mark.parametrize("split", SPLITS)
def test_sums_are_right(split):
    signs = {"plus": "+", "minus": "-", "times": "*", "mal": "*", "x": "*"}
    checked = 0
    for example in examples("text.math", split):
        terms = words(example).replace("?", " ").replace(".", " ").replace("=", " ")
        for sign in "+-*":
            terms = terms.replace(sign, f" {sign} ")
        parts = [signs.get(part, part) for part in terms.split() if part.isdigit() or signs.get(part, part) in ("+", "-", "*")]
        if len(parts) == 3 and not parts[1].isdigit():
            a, b = int(parts[0]), int(parts[2])
            result = {"+": a + b, "-": a - b, "*": a * b}[parts[1]]
            assert example.answer == f"{a} {parts[1].replace('*', 'x')} {b} = {result}", example
            checked += 1
    assert checked > N / 2


def test_operand_pairs_are_not_shared():
    """No sum of the held-out split is a training sum in other words."""
    seen = {split: set() for split in SPLITS}
    from omnie.data.text_logic import operands

    for split in SPLITS:
        for index in range(500):
            seen[split].add(operands(generator_for("sums", split, index), split)[:3])
    assert not seen["train"] & seen["heldout"] and not seen["train"] & seen["validation"]


@pytest.mark.parametrize("split", SPLITS)
def test_trends_are_true(split):
    for example in examples("text.trend", split):
        listed = [int("".join(filter(str.isdigit, part))) for part in words(example).split(",") if any(map(str.isdigit, part))]
        steps = np.sign(np.diff(listed))
        true = 0 if (steps > 0).all() else 1 if (steps < 0).all() else 2 if (steps == 0).all() else 3
        assert example.answer == TRENDS[example.families["language"]][true], example


@pytest.mark.parametrize("split", SPLITS)
def test_sorted_answers_are_in_order(split):
    for example in examples("text.sort", split):
        items = example.answer.split(", ")
        assert all(item in words(example) for item in items)
        template = example.families["template"].partition("+")[0]
        if "sort.up" in template:
            assert items == sorted(items, key=int) and len(items) >= 3
        if "sort.abc" in template:
            assert items == sorted(items, key=str.casefold)


def test_reviews_hold_what_they_are_judged_by():
    """A positive and a negative review have a sentence of that mood; a neutral one has neutral sentences only."""
    moods = {"positiv": "positive", "negativ": "negative"}
    for example in examples("text.sentiment"):
        mood = moods.get(example.answer, example.answer)
        told = {name.partition("/")[0] for name in example.families["template"].split("+")} - {"sentiment"}
        assert f"review.{mood}" in told and told <= {f"review.{mood}", "review.neutral"}


def test_small_talk_answers_in_the_language_of_the_question():
    for example in examples("text.smalltalk"):
        german = any(word in example.answer.split() for word in ("Ich", "ich", "darf", "Gern", "Auf"))
        assert german == (example.families["language"] == "de")


@pytest.mark.parametrize("language", vocabulary.LANGUAGES)
def test_every_fact_has_enough_wordings(language):
    """At least 12 training sentences and 8 training questions a fact, and some of each for the other splits."""
    for domain in grammar(language).domains.values():
        for fact in domain.facts.values():
            where = (language, domain.name, fact.name)
            assert sum(t.wordings() for t in fact.sentences["train"]) >= 12, where
            asked = [t for (split, _), ts in fact.questions.items() if split == "train" for t in ts]
            assert sum(t.wordings() for t in asked) >= 8, where
            for split in SPLITS:
                assert fact.sentences[split], where
                for slot in (domain.subject, *fact.slots):
                    assert fact.questions.get((split, slot)), (*where, slot, split)


@pytest.mark.parametrize("language", vocabulary.LANGUAGES)
def test_every_template_names_slots_that_its_fact_has(language):
    for domain in grammar(language).domains.values():
        for fact in domain.facts.values():
            slots = {domain.subject, *fact.slots}
            for template in (t for ts in fact.sentences.values() for t in ts):
                assert {slot for _, slot in g.SLOT.findall(template.text)} == slots, template
            for (_, asked), templates in fact.questions.items():
                for template in templates:
                    used = {slot for _, slot in g.SLOT.findall(template.text)}
                    assert used and used < slots and asked not in used, template


@pytest.mark.parametrize(
    "line", ["sentence {x}", "s? orphan", "fact job job", "domain people"], ids=["word", "no fact", "no domain", "no subject"]
)
def test_a_malformed_grammar_says_its_line(line):
    with pytest.raises(ValueError, match="line 1"):
        parse(line, "en")


@pytest.mark.parametrize(("file", "word"), [("writing/forms.txt", "form"), ("pages/pages.txt", "page")])
def test_documents_exist_for_every_split(file, word):
    for language in vocabulary.LANGUAGES:
        for split in SPLITS:
            for form in forms(file, word)[language, split]:
                rng = generator_for(form.name, split, 0)
                body, fields = complete(rng, form.wording(rng), language, split)
                assert len(fields) >= 2 and "{" not in body and "[" not in body


def test_every_field_of_a_page_can_be_asked_for():
    for (language, split), templates in forms("pages/pages.txt", "page").items():
        for template in templates:
            for name, kind in g.FIELD.findall(template.text):
                assert kind in values.KINDS
                if name and name != "item":
                    assert wordings(name, language, split, pages.QUESTIONS)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("in  berlin .", "In berlin."), ("", ""), ("a , b", "A, b"), ("am 5.8..", "Am 5.8."), ("und so ...", "Und so...")],
    ids=["blanks", "empty", "comma", "date", "dots"],
)
def test_tidy(raw, expected):
    assert tidy(raw) == expected


def test_articles():
    lamp = values.Value("Lampe", "f")
    assert fill("{Der x} und {dem x}", {"x": lamp}) == "Die Lampe und der Lampe"
    assert fill("{a x}, {a y}", {"x": values.Value("actor"), "y": values.Value("cook")}) == "an actor, a cook"


@pytest.mark.parametrize("kind", sorted(values.KINDS))
@pytest.mark.parametrize("language", vocabulary.LANGUAGES)
def test_values_are_short_printable_and_varied(kind, language):
    drawn = {values.KINDS[kind](np.random.default_rng(i), language, "train").text for i in range(200)}
    assert len(drawn) >= 7
    assert all(0 < len(value) < 40 and value.isprintable() and value == value.strip() for value in drawn)


@pytest.mark.parametrize(("text", "alone"), [("Bäcker/Bäckerin", "Bäcker"), ("44 km/h", "44 km/h"), ("baker", "baker")])
def test_a_job_of_two_forms_stands_alone_in_one(text, alone):
    assert values.Value(text).alone == alone


def test_names_belong_to_one_split():
    drawn = {split: {vocabulary.invented(np.random.default_rng(i), split) for i in range(300)} for split in SPLITS}
    assert not drawn["train"] & drawn["heldout"] and not drawn["train"] & drawn["validation"]
    for name in ("female", "male", "last", "cities"):
        shares = [len(vocabulary.owned(vocabulary.entries(name), split)) for split in SPLITS]
        assert min(shares) >= 3 and sum(shares) == len(vocabulary.entries(name))


@pytest.mark.parametrize("skill", [skill for skill in skills.skills() if skill.startswith("text.")])
def test_every_answer_scores_full_marks(skill):
    for example in examples(skill, "heldout", 20):
        assert score(example, example.answer) == 1


@pytest.mark.parametrize("language", vocabulary.LANGUAGES)
def test_parts_of_pages_are_whole_and_not_those_of_another_split(language):
    known = compose.parts(language)
    assert set(known) == {*pages.FIELDS, compose.TITLE}
    own, *others = ("\n".join(form.text for form in forms("pages/pages.txt", "page")[language, split]) for split in SPLITS)
    for name, (kind, labels, sentences) in known.items():
        assert len(set(labels)) == len(labels) > 3
        if name != compose.TITLE:
            assert kind in values.KINDS and len(sentences) > 3 and all(said.count("{}") == 1 for said in sentences)
            told = [said.replace("{}", f"{{{name}={kind}}}") for said in sentences]
            assert not [said for said in told for other in others if said in other and said not in own]  # all letters greet


@pytest.mark.parametrize("language", vocabulary.LANGUAGES)
def test_of_the_fields_of_a_kind_the_label_of_one_at_most_says_nothing(language):
    """What it is follows from the others' labels then, so these have some."""
    found, known = 0, compose.parts(language)
    for n in range(10 * N):
        body, odd = compose.composed(np.random.default_rng(n), language)
        found += bool(odd)
        kinds = [compose.kind(language, name) for name in odd]
        assert len(set(kinds)) == len(kinds)
        for line in body.split("\n"):
            said = [name for name in known if name != compose.TITLE and f"{{{name}=" in line]
            label = line.split("{")[0].lstrip("=> ").rstrip(" |:").casefold()
            if len(said) == 1 and said[0] in odd:
                assert label and label not in {one.casefold() for one in known[said[0]][1]}, line
            elif any(compose.kind(language, name) in kinds for name in said):
                assert line.lstrip("> ") not in [f"{{{name}={known[name][0]}}}" for name in said], line
    assert 2 * N < found < 6 * N
    assert not any(compose.composed(np.random.default_rng(n), language, strange=False)[1] for n in range(N))


def test_what_a_page_lacks_is_not_of_a_kind_whose_label_says_nothing(monkeypatch):
    """It could be the field behind that label. The page is not drawn here."""
    undrawn(monkeypatch)
    made, lacked, composed, further = [], [], pages.composed, pages.further
    monkeypatch.setattr(pages, "composed", lambda *args: made.append((args[1], composed(*args))) or made[-1][1])
    monkeypatch.setattr(pages, "further", lambda *args: lacked.append(args[-1]) or further(*args))
    found = 0
    for index in range(N):
        made.clear()
        skills.example("pages.qa", "train", index)
        for language, (_, odd) in made:
            found += bool(odd)
            kinds = {compose.kind(language, name) for name in odd}
            assert lacked[-1] and not kinds & {compose.kind(language, name) for name in lacked[-1]}
        made.clear()
        skills.example("pages.unknown", "train", index)
        assert not any(odd for _, (_, odd) in made)
    assert found > N / 6


@pytest.mark.parametrize(
    ("a", "sign", "b", "steps"),
    [
        (347, "+", 285, ["7+5=12", "4+8+1=13", "3+2+1=6"]),
        (403, "-", 187, ["13-7=6", "9-8=1", "3-1=2"]),
        (500, "-", 1, ["10-1=9", "9-0=9", "4-0=4"]),
        (999, "+", 1, ["9+1=10", "9+0+1=10", "9+0+1=10"]),
        (100, "-", 100, ["0-0=0", "0-0=0", "1-1=0"]),
    ],
)
def test_sums_are_worked_out_from_the_right(a, sign, b, steps):
    assert worked_out(a, sign, b) == steps


@pytest.mark.parametrize("split", SPLITS)
def test_sums_of_three_digits_are_right_step_by_step(split):
    for example in examples("text.digits", split):
        said = [example.quote, *dict(example.more).values()]
        assert score(example, example.quote) == 1 and score(example, example.answer) == 1
        for quote in said:
            task, _, rest = quote.partition(": ")
            steps, _, result = rest.partition(" = ")
            a, sign, b = task.split()
            assert int(result) == (int(a) + int(b) if sign == "+" else int(a) - int(b))
            assert steps == ", ".join(worked_out(int(a), sign, int(b)))
