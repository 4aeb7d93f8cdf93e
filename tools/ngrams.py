"""Tells a model what is usually written and said: `python tools/ngrams.py OUT MODEL` writes MODEL to OUT, with the n-grams of
training's texts (`model/reading/ngrams.py`).

Counted is what stands in training's pictures and clips, is spoken in its recordings, and a part of what its questions say:
pages are full of sentences. Nothing of other splits is looked at.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnie import checkpoint
from omnie.data import skills
from omnie.data.audio.sentences import draw_sentence
from omnie.data.speech import question
from omnie.data.writing.vocabulary import LANGUAGES
from omnie.inputs import TAB
from omnie.model.omni import Omni
from omnie.model.reading import ngrams
from omnie.model.reading.words import NGRAMS

PICTURES = {
    "charts.title": 500, "charts.value": 400, "tables.lookup": 500, "lines.read": 2500, "lines.block": 300, "lines.sum": 400,
    "pages.qa": 250, "scenes.object": 60, "objects.colour": 300,
}  # fmt: skip
TEXTS = {
    "text.qa": 300, "text.extract": 125, "text.form": 100, "tables.text_lookup": 100, "text.smalltalk": 50,
    "text.sentiment": 100, "tools.call": 150,
}  # fmt: skip
"""Examples of training whose texts are counted, by skill: what is seen in them, and what is asked."""
SPOKEN = 20000
"""Sentences and spoken questions a language."""


def written() -> Iterator[str]:
    """Texts that pictures may show, those that may have others beside them with what parts them."""
    for skill, count in PICTURES.items():
        for example in (skills.example(skill, "train", index) for index in range(count)):
            seen = [example.transcript] if example.transcript else [own.text for own in example.written if own.thing is None]
            yield from (own + TAB for own in seen)
    for skill, count in TEXTS.items():
        for example in (skills.example(skill, "train", index) for index in range(count)):
            yield from (line for part in example.parts if part.kind == "text" for line in str(part.value).splitlines())


def spoken() -> Iterator[str]:
    """Sentences that recordings may hold."""
    rng = np.random.default_rng(0)
    for _ in range(SPOKEN):
        for language in LANGUAGES:
            yield draw_sentence(rng, "train", language)[0]
            yield question(rng, "train", language)[0]


def told(model: Omni) -> Omni:
    """The model with n-grams, in place."""
    reading, config = model.model.reading, model.config
    if reading is None:
        sys.exit("the model reads nothing")
    texts = {"image": written, "audio": spoken}
    known = {}
    for medium in reading:
        table = ngrams.table((text.encode() for text in texts[medium]()), 1 << 20)
        table = table[table[:, -1] > 0]
        reading[medium].ngrams = table
        known[NGRAMS[medium]] = len(table)
    model.config = model.model.config = replace(config, reading={**(config.reading or {}), **known})
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("model", help="a model folder or a built-in model")
    given = parser.parse_args()
    if given.out.exists():
        sys.exit(f"{given.out} exists already")
    model, encoder = checkpoint.load(given.model)
    checkpoint.save(told(model), encoder, given.out)
    print({name: model.config.reading[name] for name in NGRAMS.values() if name in model.config.reading})


if __name__ == "__main__":
    main()
