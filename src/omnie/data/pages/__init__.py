"""Pages to ask questions about: `pages.qa` and `pages.unknown`, a picture with its text layer. Drawing is in `draw.py`.

What pages say is in `pages.txt`, what is asked in `questions.txt`; both belong to one split line by line, as do the layouts.
"""

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.grammar import Template, complete, forms, tidy, wordings
from omnie.data.pages.draw import draw_page
from omnie.data.pages.style import draw_style
from omnie.data.text_qa import UNKNOWN
from omnie.data.vocabulary import LANGUAGES, pick
from omnie.media.types import Document
from omnie.messages import Part, text

FIELDS = (
    "invoice", "order", "customer", "date", "due", "total", "sender", "recipient", "contact", "phone", "place", "time", "day", "room",
    "topic", "itemprice",
)  # fmt: skip
"""Fields that may be asked for although the page lacks them."""


def question(rng: np.random.Generator, field: str, language: str, split: Split, item: str) -> tuple[str, Template]:
    """A question on a field."""
    template = pick(rng, wordings(field, language, split, "pages/questions.txt"))
    return tidy(template.wording(rng).format(item=item)), template


def page(rng: np.random.Generator, split: Split, known: bool) -> Example:
    """A drawn page and a question on a field that it has, or lacks."""
    language = pick(rng, LANGUAGES)
    form = pick(rng, forms("pages/pages.txt", "page")[language, split])
    body, fields = complete(rng, form.wording(rng), language, split)
    askable = [name for name in fields if name != "item"]
    field = pick(rng, askable if known else [name for name in FIELDS if name not in fields and name != "itemprice"])
    asked, template = question(rng, field, language, split, fields.get("item", ""))
    style = draw_style(rng, split)
    families = {"template": f"{form.name}+{template.name}", "layout": style.name, "font": style.family, "language": language}
    document = Document((draw_page(rng, body, style),))
    answer = fields[field] if known else UNKNOWN[language]
    return Example(f"pages.{'qa' if known else 'unknown'}", (Part("document", document), text(asked)), answer, "exact", families=families)


def qa(rng: np.random.Generator, split: Split) -> Example:
    """A question that the page answers."""
    return page(rng, split, known=True)


def unknown(rng: np.random.Generator, split: Split) -> Example:
    """A question that the page does not answer."""
    return page(rng, split, known=False)


GENERATORS: dict[str, Generator] = {"pages.qa": qa, "pages.unknown": unknown}
