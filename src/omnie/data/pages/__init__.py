"""Pages to ask questions about: a picture with its text layer. Drawing is in `draw.py`.

`pages.qa` and `pages.unknown` are letters, invoices and the like: what they say is in `pages.txt` (and, in training, put
together by `compose.py`), what is asked in `questions.txt`. `pages.form` is a form with any labels, asked for by their names
(`data/text_form.py`); `scans.*` are the same without a text layer. Texts, questions and layouts belong to one split each.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from omnie.data import text_form
from omnie.data.example import Example, Generator, Split, Written
from omnie.data.pages.compose import composed, kind
from omnie.data.pages.draw import draw_page
from omnie.data.pages.style import draw_style
from omnie.data.text_qa import UNKNOWN
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import Template, complete, forms, tidy, wordings
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import LANGUAGES, pick
from omnie.media.types import Document, Page, Word
from omnie.messages import Part, text

FIELDS = (
    *("invoice", "order", "customer", "date", "due", "total", "sender", "recipient"),
    *("contact", "phone", "place", "time", "day", "room", "topic"),
)
"""Fields that may be asked for although the page lacks them."""
QUESTIONS = "pages/questions.txt"
COMPOSED = 0.7
"""Share of training's pages that are put together (`compose.py`)."""
LABEL_ENDS = re.compile(r"\d|[.,;?!](?: |$)")
"""What the words before a value have in them when they are more than its label."""
LABEL_WORDS = 4
"""Words that a label has at most: what else stands in a value's line before it is not quoted."""
ROOM = 150
"""Characters that further turns may add: about 75 tokens, for a long page has 420 and a training example at most 500."""


def question(rng: np.random.Generator, field: str, language: str, split: Split, item: str) -> tuple[str, Template]:
    """A question on a field."""
    template = pick(rng, wordings(field, language, split, QUESTIONS))
    return tidy(template.wording(rng).format(item=item)), template


def lengthen(rng: np.random.Generator, body: str, language: str, split: Split) -> str:
    """The page with a paragraph of up to six empty sentences at its end, or none."""
    count = int(rng.integers(1, 7)) if rng.random() < 0.5 else 0
    said = [pick(rng, wordings("filler", language, split, QUESTIONS)).wording(rng) for _ in range(count)]
    return "\n".join([body, "", " ".join(dict.fromkeys(said))]) if said else body


def page(rng: np.random.Generator, split: Split, known: bool) -> Example:
    """A drawn page and a question on a field that it has, or lacks."""
    language, odd = pick(rng, LANGUAGES), ()
    if split == "train" and rng.random() < COMPOSED:
        name = "composed"
        wording, odd = composed(rng, language, known)
    else:
        form = pick(rng, forms("pages/pages.txt", "page")[language, split])
        name, wording = form.name, form.wording(rng)
    body, fields = complete(rng, wording, language, split)
    askable = [name for name in fields if name != "item"]
    odd_kinds = {kind(language, name) for name in odd}
    lacked = [name for name in FIELDS if name not in fields and kind(language, name) not in odd_kinds]
    field = pick(rng, askable if known else lacked)
    asked, template = question(rng, field, language, split, fields.get("item", ""))
    style = draw_style(rng, split)
    body = lengthen(rng, body, language, split)
    families = {"template": f"{name}+{template.name}", "layout": style.name, "font": style.family, "language": language}
    drawn = draw_page(rng, body, style)
    answer = fields[field] if known else UNKNOWN[language]
    skill, scoring = ("pages.qa", "quoted") if known else ("pages.unknown", "exact")
    parts = (Part("document", Document((drawn,))), text(asked))
    quote = quotation(drawn.words, answer) if known else None
    example = Example(skill, parts, answer, scoring, families=families, written=printed(drawn), quote=quote)
    quotes = {name: quotation(drawn.words, value) for name, value in fields.items()}
    return followed(example, split, further(rng, split, language, quotes, field, lacked), room=ROOM)


def printed(page: Page) -> tuple[Written, ...]:
    """What stands where in a page's picture."""
    (height, width), words = page.image.pixels.shape[:2], page.words
    return tuple(Written(word.text, tuple(np.multiply(word.box, (width, height, width, height)).tolist())) for word in words)


def quotation(words: Sequence[Word], value: str) -> str:
    """A value as its line says it, if the line begins with a few words and the value: "Invoice number: NB-30814".

    Said after its label, a value is what follows the label on the page, and the reader sees where it comes from.
    """
    wanted, said = value.split(), [word.text.rstrip(".,;") for word in words]
    wanted[-1] = wanted[-1].rstrip(".,;")
    for at in range(len(said) - len(wanted) + 1):
        if said[at : at + len(wanted)] == wanted:
            same = [abs(word.box[1] - words[at].box[1]) < 0.5 * (word.box[3] - word.box[1]) for word in words[:at]]
            label = [word.text for word, here in zip(words, same, strict=False) if here]
            plain = not LABEL_ENDS.search(" ".join(label))
            return " ".join([*label, value]) if plain and len(label) <= LABEL_WORDS else value
    return value


def further(
    rng: np.random.Generator, split: Split, language: str, fields: dict[str, str], first: str, lacked: Sequence[str]
) -> Iterator[Turn]:
    """Two to four more fields of the page; a third of the time one that it lacks comes in between.

    Args:
        fields: What the page says: field name -> value, as it is to be said.
        first: The field that was asked for already; one that the page lacks is not asked for again.
        lacked: Fields that the page does not have.
    """
    askable = [name for name in fields if name not in ("item", first)]
    chosen = [askable[place] for place in rng.permutation(len(askable))[: int(rng.integers(2, 5))]]
    if first in fields and rng.random() < 1 / 3:
        chosen.insert(int(rng.integers(len(chosen) + 1)), pick(rng, lacked))
    for name in chosen:
        asked, template = question(rng, name, language, split, fields.get("item", ""))
        yield Turn(asked, fields.get(name, UNKNOWN[language]), template.name)


def qa(rng: np.random.Generator, split: Split) -> Example:
    """A question that the page answers."""
    return page(rng, split, known=True)


def unknown(rng: np.random.Generator, split: Split) -> Example:
    """A question that the page does not answer."""
    return page(rng, split, known=False)


def form(rng: np.random.Generator, split: Split) -> Example:
    """A form whose labels are asked for by name."""
    language = pick(rng, LANGUAGES)
    fields = text_form.draw_fields(rng, language, split, 10)
    asked, template = text_form.question(rng, fields[0].name, language, split)
    style = draw_style(rng, split)
    drawn = draw_page(rng, lengthen(rng, sheet(rng, fields, language, split), language, split), style)
    families = {"template": template.name, "layout": style.name, "font": style.family, "language": language}
    parts = (Part("document", Document((drawn,))), text(asked))

    def quote(field: text_form.Field) -> str:
        return quotation(drawn.words, field.value)

    example = Example("pages.form", parts, fields[0].value, "quoted", families=families, quote=quote(fields[0]))
    return followed(example, split, text_form.further(rng, language, split, fields[1:], quote), room=ROOM)


def sheet(rng: np.random.Generator, fields: list[text_form.Field], language: str, split: Split) -> str:
    """The form's lines in any order, in blocks, under a company's name or a topic; now and then with an address."""
    head = KINDS[pick(rng, ("company", "topic"))](rng, language, split).text
    lines = [tidy(f"{pick(rng, ('#', '#', '##'))} {head}")]
    if rng.random() < 0.4:
        at = int(rng.integers(len(lines) + 1))
        lines[at:at] = [f"{pick(rng, ('', '> '))}{KINDS[kind](rng, language, split).text}" for kind in ("person", "city")]
    for place in rng.permutation(len(fields)):
        if rng.random() < 0.2:
            lines.append(pick(rng, ("", "---", f"## {tidy(KINDS['topic'](rng, language, split).text)}")))
        lines.append(f"= {fields[place].label} | {fields[place].value}")
    return "\n".join(lines)


def scanned(make: Generator, rng: np.random.Generator, split: Split) -> Example:
    """The same of a page without its text layer, as a scanner gives it: what stands there has to be read in the picture."""
    made = make(rng, split)
    (drawn,) = made.parts[0].value.pages
    parts = (Part("document", Document((replace(drawn, words=()),))), *made.parts[1:])
    return replace(made, skill=made.skill.replace("pages.", "scans."), parts=parts, written=printed(drawn))


GENERATORS: dict[str, Generator] = {
    "pages.qa": qa, "pages.unknown": unknown, "pages.form": form,
    "scans.qa": partial(scanned, qa), "scans.form": partial(scanned, form),
}  # fmt: skip
