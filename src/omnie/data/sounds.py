"""Sound events to name and to count. The events live in `events.py`, the noise around them in `acoustics.py`."""

import numpy as np

from omnie.data.audio.acoustics import noise, room
from omnie.data.audio.events import EVENTS, NAMES, draw_event
from omnie.data.example import Example, Generator, Split
from omnie.data.turns import Turn, followed
from omnie.data.words import Language
from omnie.data.writing.grammar import decided
from omnie.media.types import SAMPLE_RATE, Audio
from omnie.messages import Part, text

Questions = dict[Split, dict[Language, tuple[str, ...]]]

NAME: Questions = {
    "train": {
        "en": (
            *("Which sound is this?", "What is heard?", "What makes this sound?", "Name the sound.", "What is that?"),
            *("What kind of sound is it?", "Identify the sound.", "What can you hear?", "Tell me what this sounds like."),
            "[What|Which sound] [is heard|is audible|can be heard] [here|in this|on the tape]?",
            "[Listen|Listen closely]: [what|which sound] is it?",
            "[Say|Tell me] [what is heard|what one hears|which sound this is].",
            "[Sound|Noise]?",
            "What does this sound like?",
            "[The sound|The noise]: what is it?",
            "What [noise|sound] [is that|was that|do we hear]?",
            "Do you know this sound?",
        ),
        "de": (
            *(
                "Welches Geräusch ist das?",
                "Was ist zu hören?",
                "Was macht dieses Geräusch?",
                "Nenne das Geräusch.",
                "Was ist das?",
            ),
            *("Um welches Geräusch geht es?", "Bestimme das Geräusch.", "Was kannst du hören?", "Sag mir, wonach das klingt."),
            "[Was|Welches Geräusch] [hört man|ist hörbar|kann man hören] [hier|darin|auf dem Band]?",
            "[Hör hin|Hör genau hin]: [was|welches Geräusch] ist es?",
            "[Sag|Sag mir], [was zu hören ist|was man hört|welches Geräusch das ist].",
            "[Ton|Geräusch]?",
            "Wonach klingt das?",
            "[Der Ton|Das Geräusch]: was ist es?",
            "Was für ein [Ton|Geräusch] [war das|hören wir]?",
            "Kennst du dieses Geräusch?",
        ),
    },
    "validation": {"en": ("Which noise is that?",), "de": ("Was ist das für ein Geräusch?",)},
    "heldout": {
        "en": ("What sound do you hear?", "Which sound is in the recording?"),
        "de": ("Welches Geräusch hörst du?", "Welches Geräusch ist in der Aufnahme?"),
    },
}
COUNT: Questions = {
    "train": {
        "en": (
            *("How many beeps are there?", "Count the beeps.", "How often does it beep?", "Number of beeps?"),
            *("How many times does it beep?", "How many beeps can you count?", "Give the number of beeps."),
            "[Say|Tell me] how often it beeps.",
            "[How many|What number of] beeps [is it|can be heard|are heard]?",
            "[It beeps|There is beeping]: how many times?",
            "Beeps: how many?",
            "Count how often it beeps.",
        ),
        "de": (
            *("Wie viele Pieptöne sind das?", "Zähle die Pieptöne.", "Wie oft piept es?", "Anzahl der Pieptöne?"),
            *("Wie viele Male piept es?", "Wie viele Pieptöne zählst du?", "Gib die Zahl der Pieptöne an."),
            "[Sag|Sag mir], wie oft es piept.",
            "Wie viele Pieptöne [hört man|sind zu hören|gibt es]?",
            "Es piept: wie oft?",
            "Pieptöne: wie viele?",
            "Zähle, wie oft es piept.",
        ),
    },
    "validation": {"en": ("Tell me the number of beeps.",), "de": ("Nenne die Anzahl der Pieptöne.",)},
    "heldout": {
        "en": ("How many beeps do you hear?", "How many beeps are in the recording?"),
        "de": ("Wie viele Pieptöne hörst du?", "Wie viele Pieptöne sind in der Aufnahme?"),
    },
}


def name(rng: np.random.Generator, split: Split) -> Example:
    """One event; the answer is its name. Training asks for it in the other language too."""
    event, language = str(rng.choice(list(EVENTS))), draw_language(rng)
    samples, recipe = draw_event(rng, split, event)
    start = rng.uniform(0.05, 0.6)
    audio = mix(rng, [(start, samples)], start + len(samples) / SAMPLE_RATE + rng.uniform(0.1, 0.6))
    first = _named(rng, split, event, language)
    families = {"recipe": recipe, "template": first.template}
    example = Example("sounds.name", (Part("audio", audio), text(first.question)), first.answer, families=families)
    return followed(example, split, [_named(rng, split, event, "en" if language == "de" else "de")])


def _named(rng: np.random.Generator, split: Split, event: str, language: Language) -> Turn:
    """The question for an event's name in a language."""
    template = str(rng.choice(NAME[split][language]))
    return Turn(decided(rng, template), NAMES[event][language], template)


def count(rng: np.random.Generator, split: Split) -> Example:
    """One to four equal beeps; the answer is how many."""
    number, language = int(rng.integers(1, 5)), draw_language(rng)
    samples, recipe = draw_event(rng, split, "beep")
    samples = samples[: int(0.3 * SAMPLE_RATE)] * _fade(min(len(samples), int(0.3 * SAMPLE_RATE)))
    step = len(samples) / SAMPLE_RATE + rng.uniform(0.12, 0.4)
    starts = rng.uniform(0.05, 0.4) + step * np.arange(number)
    audio = mix(rng, [(start, samples) for start in starts], starts[-1] + step + rng.uniform(0, 0.5))
    template = str(rng.choice(COUNT[split][language]))
    families = {"recipe": recipe, "template": template}
    return Example("sounds.count", (Part("audio", audio), text(decided(rng, template))), str(number), families=families)


GENERATORS: dict[str, Generator] = {"sounds.name": name, "sounds.count": count}


def mix(rng: np.random.Generator, events: list[tuple[float, np.ndarray]], seconds: float) -> Audio:
    """Events at their starts (seconds) in a track of background noise, 18 to 45 dB below them; what sticks out is cut off."""
    track = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    for start, samples in events:
        first = int(start * SAMPLE_RATE)
        piece = samples[: max(len(track) - first, 0)]
        track[first : first + len(piece)] += piece
    if rng.random() < 0.3:
        track = room(rng, track, rng.uniform(0.05, 0.2))
    track += noise(rng, len(track), rng.choice([0.0, 1.0, 1.5])) * np.float32(0.3 * 10 ** (-rng.uniform(18, 45) / 20))
    return Audio(np.clip(track * (rng.uniform(0.2, 0.95) / (np.abs(track).max() + 1e-6)), -1, 1).astype(np.float32))


def draw_language(rng: np.random.Generator) -> Language:
    """German or English, equally often."""
    return "de" if rng.random() < 0.5 else "en"


def _fade(samples: int) -> np.ndarray:
    return np.minimum(1, (samples - np.arange(samples)) / (0.02 * SAMPLE_RATE)).astype(np.float32)
