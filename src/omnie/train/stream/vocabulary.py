"""`python -m omnie.train.stream.vocabulary`: the built-in tokenizer, learned from the training material, half of it German.

Only the training split is read, and only what is text: questions, passages, answers, and the words of lines and of speech. The
merges follow what the model must write; how text is cut before merging is the tokenizer's own rule.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from omnie.data import skills, words
from omnie.data.audio.sentences import draw_sentence
from omnie.data.example import Example, generator_for
from omnie.errors import OmnieError, OptionError
from omnie.processor import ProcessorSettings, Tokenizer

FOLDER = Path(__file__).parents[2] / "nano"
VOCABULARY = 1024
SEED = 1
CHARACTERS = {
    "text_qa": 450_000, "text_find": 150_000, "text_extract": 150_000, "text_sentiment": 80_000, "text_logic": 80_000,
    "smalltalk": 40_000, "charts": 60_000, "pages": 80_000, "tables": 50_000, "objects": 15_000, "sounds": 8_000,
    "scenes": 40_000,
}  # fmt: skip
"""Group of skills -> characters of text to read, for each language."""
LINES = {"speech": 250_000, "writing": 300_000, "records": 25_000}
"""Made from words directly, since the sound and the picture are not needed: characters for each language."""
LIMIT = 20_000
"""Examples of one group at most: short answers on pictures are slow to draw."""


def text_of(example: Example) -> str:
    """What can be read in an example: its parts of text, the answer and the transcript, one a line."""
    parts = [part.value for part in example.parts if part.kind == "text"]
    return "\n".join([*parts, example.answer, *([example.transcript] if example.transcript else [])])


def language_of(example: Example) -> words.Language | None:
    """The language of an example, from the families that it names; None where it names none."""
    if example.families.get("language") in words.LANGUAGES:
        return example.families["language"]  # type: ignore[return-value]
    marks = example.families.get("template", "").split("/")
    return next((language for language in words.LANGUAGES if language in marks), None)


def of_group(group: str, characters: int) -> Iterator[str]:
    """Texts of a group's skills by turns, until each language has its characters (a third kind counts as half of each)."""
    names = skills.skills(group)
    left = dict.fromkeys(words.LANGUAGES, float(characters))
    for index in range(LIMIT if names else 0):
        if max(left.values()) <= 0:
            return
        example = skills.example(names[index % len(names)], "train", index, SEED)
        text, language = text_of(example), language_of(example)
        if language is None or left[language] > 0:
            yield text
            for each in words.LANGUAGES if language is None else [language]:
                left[each] -= len(text) / (2 if language is None else 1)


def spoken(rng: np.random.Generator, language: words.Language) -> str:
    """A sentence as it is transcribed, or as it would be written."""
    sentence, _ = draw_sentence(rng, "train", language)
    return sentence if rng.random() < 0.6 else f"{sentence[0].upper()}{sentence[1:]}."


def written(rng: np.random.Generator, language: words.Language) -> str:
    """A line as pictures show it: running words, a title, a sentence, a number or a date."""
    draw = int(rng.integers(6))
    if draw == 0:
        return words.title(rng, language)
    if draw == 1:
        return words.sentence(rng, language)
    if draw == 2:
        return f"{words.number_text(rng)} {words.date_text(rng, language)}"
    return words.phrase(rng, language, int(rng.integers(1, 8)))


def record(rng: np.random.Generator, language: words.Language) -> str:
    """A JSON object, as it is extracted from a text: names, places, numbers, dates, truth values."""
    values = {
        "name": lambda: f"{words.word(rng, language, 'names')} {words.word(rng, language, 'surnames')}",
        "city" if language == "en" else "ort": lambda: words.word(rng, language, "cities"),
        "product" if language == "en" else "produkt": lambda: words.word(rng, language, "products"),
        "date" if language == "en" else "datum": lambda: words.date_text(rng, language),
        "price" if language == "en" else "preis": lambda: round(float(rng.random()) * 100, 2),
        "number" if language == "en" else "anzahl": lambda: int(rng.integers(1000)),
        "words" if language == "en" else "begriffe": lambda: words.phrase(rng, language, 2).split(),
        "valid" if language == "en" else "gültig": lambda: [True, False, None][int(rng.integers(3))],
    }
    keys = rng.permutation(list(values))[: int(rng.integers(1, 5))]
    return json.dumps({str(key): values[str(key)]() for key in keys}, ensure_ascii=False)


KINDS = {"speech": spoken, "writing": written, "records": record}


def of_words(kind: str, language: words.Language, characters: int) -> Iterator[str]:
    """Lines of a kind and a language, until there are so many characters."""
    rng = generator_for(f"vocabulary/{kind}/{language}", "train", 0, SEED)
    while characters > 0:
        line = KINDS[kind](rng, language)
        characters -= len(line)
        yield line


def corpus() -> dict[str, list[str]]:
    """Source -> texts: every group of skills, and every kind of line in each language."""
    result = {group: list(of_group(group, characters)) for group, characters in CHARACTERS.items()}
    for kind, characters in LINES.items():
        result |= {f"{kind} {language}": list(of_words(kind, language, characters)) for language in words.LANGUAGES}
    return result


def tokens_per_character(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """How many tokens a character costs on average."""
    return sum(len(tokenizer.encode(text)) for text in texts) / max(1, sum(map(len, texts)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: writes `tokenizer.json` (and `processor_config.json` where there is none), prints costs as JSON."""
    parser = argparse.ArgumentParser(
        "omnie.train.stream.vocabulary", description="Learn the tokenizer from the training material."
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to (default: %(default)s)")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="number of tokens (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a tokenizer; weights that learned its ids become useless")
    options = parser.parse_args(arguments)
    try:
        if (options.out / "tokenizer.json").exists() and not options.force:
            raise OptionError("there is a tokenizer already", value=options.out, hint="choose another --out, or add --force")
        material = corpus()
        tokenizer = Tokenizer.train((text for texts in material.values() for text in texts), options.vocabulary)
    except OmnieError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(options.out / "tokenizer.json")
    if not (options.out / "processor_config.json").exists():
        ProcessorSettings().save(options.out)
    costs = {source: round(tokens_per_character(tokenizer, texts), 4) for source, texts in material.items()}
    sizes = {source: sum(map(len, texts)) for source, texts in material.items()}
    print(json.dumps({"vocabulary": len(tokenizer), "characters": sizes, "tokens per character": costs}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
