"""Talk about the model itself: `text.smalltalk`, greetings, thanks, what it is and can do, and honest refusals outside of that.

Every intention has one answer per language: it is a fact to state, not a text to invent.
"""

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.writing.grammar import SLOT, fill, wordings
from omnie.data.writing.values import Value
from omnie.data.writing.vocabulary import LANGUAGES, entries, owned, pick
from omnie.messages import text

ANSWERS = {
    "chat.greeting": {"en": "Hello! What can I look at for you?", "de": "Hallo! Was darf ich mir ansehen?"},
    "chat.thanks": {"en": "You are welcome.", "de": "Gern geschehen."},
    "chat.bye": {"en": "Goodbye!", "de": "Auf Wiedersehen!"},
    "chat.who": {
        "en": "I am omnie, a small model that reads, looks and listens.",
        "de": "Ich bin omnie, ein kleines Modell, das liest, sieht und hört.",
    },
    "chat.skills": {
        "en": "I can read charts, pages and short texts, and listen to speech and clips.",
        "de": "Ich kann Diagramme, Seiten und kurze Texte lesen und Sprache und Clips anhören.",
    },
    "chat.outside": {
        "en": "That is outside what I can do. I can read charts, pages and short texts, and listen to speech and clips.",
        "de": "Das kann ich nicht. Ich kann Diagramme, Seiten und kurze Texte lesen und Sprache und Clips anhören.",
    },
}
INTENTIONS = ("chat.greeting", "chat.thanks", "chat.bye", *2 * ("chat.who", "chat.skills"), *7 * ("chat.outside",))


def smalltalk(rng: np.random.Generator, split: Split) -> Example:
    """One question without any file. Names in refused questions belong to the split where its share of the list allows."""
    language, intention = pick(rng, LANGUAGES), pick(rng, INTENTIONS)
    template = pick(rng, wordings(intention, language, split))
    wording = template.wording(rng)
    values = {}
    for _, slot in SLOT.findall(wording):
        pool = entries(slot, language)
        values[slot] = Value(pick(rng, owned(pool, split) or pool))
    asked = fill(wording, values)
    if split == "train" and rng.random() < 0.15:
        asked = asked.lower().rstrip(".?!")
    families = {"template": template.name, "language": language}
    return Example("text.smalltalk", (text(asked),), ANSWERS[intention][language], "exact", families=families)


GENERATORS: dict[str, Generator] = {"text.smalltalk": smalltalk}
