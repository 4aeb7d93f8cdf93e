"""What is asked about clips and how the answers are worded, German and English. Question templates belong to one split each."""

from omnie.data.audio.events import NAMES
from omnie.data.clips.paint import Thing
from omnie.data.example import Split
from omnie.data.words import Language

Questions = dict[Split, dict[Language, tuple[str, ...]]]

MOTION: Questions = {
    "train": {
        "en": (
            *("How does the {what} move?", "Which way does the {what} move?", "What does the {what} do?"),
            *("Where does the {what} go?", "In which direction does the {what} move?", "The {what} moves how?"),
            *("Tell me how the {what} moves.", "What happens to the {what}?", "Which way does the {what} go?"),
        ),
        "de": (
            *("Wie bewegt sich {what}?", "Wohin bewegt sich {what}?", "Was macht {what}?", "Wohin geht {what}?"),
            *("In welche Richtung bewegt sich {what}?", "Wie sieht die Bewegung aus: {what}?", "Was passiert: {what}?"),
            *("Sag mir, wie sich {what} bewegt.", "Bewegung: {what}?"),
        ),
    },
    "validation": {"en": ("Describe how the {what} moves.",), "de": ("Beschreibe, wie sich {what} bewegt.",)},
    "heldout": {
        "en": ("In which way is the {what} moving?", "What is the {what} doing in the clip?"),
        "de": ("Auf welche Weise bewegt sich {what}?", "Was macht {what} im Film?"),
    },
}
SOUND: Questions = {
    "train": {
        "en": (
            *("Which sound is heard?", "What is heard in the clip?", "Which sound is in the video?", "What can you hear?"),
            *("What sound is there?", "Is there a sound, and which?", "Identify the sound."),
        ),
        "de": (
            *("Welches Geräusch ist zu hören?", "Was ist im Film zu hören?", "Welches Geräusch ist im Video?", "Was hörst du?"),
            *("Welches Geräusch gibt es?", "Gibt es ein Geräusch, und welches?", "Bestimme das Geräusch."),
        ),
    },
    "validation": {"en": ("Name the sound in the clip.",), "de": ("Nenne das Geräusch im Film.",)},
    "heldout": {
        "en": ("What can be heard in this video?", "Which sound does the clip have?"),
        "de": ("Was hört man in diesem Video?", "Welches Geräusch hat der Film?"),
    },
}
WHEN: Questions = {
    "train": {
        "en": (
            *("When is {what} heard?", "At which second does {what} begin?", "When does {what} start?"),
            *("When can {what} be heard?", "At what second is {what} heard?", "When does {what} come?"),
        ),
        "de": (
            *("Wann ist {what} zu hören?", "Bei welcher Sekunde beginnt {what}?", "Wann fängt {what} an?"),
            *("Wann hört man {what}?", "In welcher Sekunde ist {what} zu hören?", "Wann kommt {what}?"),
        ),
    },
    "validation": {"en": ("At what time is {what} heard?",), "de": ("Zu welcher Zeit ist {what} zu hören?",)},
    "heldout": {
        "en": ("After how many seconds is {what} heard?", "When do you hear {what}?"),
        "de": ("Nach wie vielen Sekunden ist {what} zu hören?", "Wann ertönt {what}?"),
    },
}
OBJECT: Questions = {
    "train": {
        "en": (
            *("What moves?", "What is moving in the clip?", "Name the shape that moves, and its colour."),
            *("What do you see moving?", "What is it that moves?", "Which coloured shape moves?"),
        ),
        "de": (
            *("Was bewegt sich?", "Was bewegt sich im Film?", "Nenne die Form, die sich bewegt, und ihre Farbe."),
            *("Was siehst du sich bewegen?", "Was ist es, das sich bewegt?", "Welche farbige Form bewegt sich?"),
        ),
    },
    "validation": {"en": ("Which thing moves?",), "de": ("Welches Ding bewegt sich?",)},
    "heldout": {
        "en": ("What is it that moves in this video?", "Which object is in motion?"),
        "de": ("Was ist es, das sich in diesem Video bewegt?", "Welches Objekt ist in Bewegung?"),
    },
}
OBJECT_COLOUR: Questions = {
    "train": {
        "en": ("Which colour does the moving shape have?", "What colour is the shape that moves?"),
        "de": ("Welche Farbe hat die bewegte Form?", "Welche Farbe hat die Form, die sich bewegt?"),
    },
    "validation": {"en": ("Name the colour of the moving shape.",), "de": ("Nenne die Farbe der bewegten Form.",)},
    "heldout": {
        "en": ("What is the colour of the shape in motion?", "Of which colour is the thing that moves?"),
        "de": ("Was ist die Farbe der Form in Bewegung?", "Welche Farbe hat das, was sich bewegt?"),
    },
}
OBJECT_SHAPE: Questions = {
    "train": {
        "en": ("Which shape moves?", "What kind of shape is moving?"),
        "de": ("Welche Form bewegt sich?", "Was für eine Form bewegt sich?"),
    },
    "validation": {"en": ("Name the moving shape.",), "de": ("Nenne die bewegte Form.",)},
    "heldout": {
        "en": ("Which shape is in motion?", "What shape does the moving thing have?"),
        "de": ("Welche Form ist in Bewegung?", "Welche Form hat das, was sich bewegt?"),
    },
}
BOTH: Questions = {
    "train": {
        "en": (
            *("What happens in the clip?", "Describe the video.", "What is seen and heard?", "What is going on?"),
            *("Describe the clip with its sound.", "What do you see and hear?", "Sum up the video."),
        ),
        "de": (
            *("Was passiert im Film?", "Beschreibe das Video.", "Was ist zu sehen und zu hören?", "Was geschieht?"),
            *("Beschreibe den Film mit seinem Ton.", "Was siehst und hörst du?", "Fasse das Video zusammen."),
        ),
    },
    "validation": {"en": ("Say what moves and what is heard.",), "de": ("Sage, was sich bewegt und was zu hören ist.",)},
    "heldout": {
        "en": ("What moves and which sound is there?", "Tell me what happens in this video."),
        "de": ("Was bewegt sich und welches Geräusch gibt es?", "Erzähle, was in diesem Video passiert."),
    },
}

NO_SOUND: dict[Language, str] = {"en": "There is no sound.", "de": "Es ist kein Ton zu hören."}

MOTION_WORDS: dict[str, dict[Language, str]] = {
    "right": {"en": "to the right", "de": "nach rechts"},
    "left": {"en": "to the left", "de": "nach links"},
    "up": {"en": "up", "de": "nach oben"},
    "down": {"en": "down", "de": "nach unten"},
    "still": {"en": "not at all", "de": "gar nicht"},
    "grows": {"en": "it grows", "de": "wird größer"},
    "shrinks": {"en": "it shrinks", "de": "wird kleiner"},
    "circles": {"en": "in a circle", "de": "im Kreis"},
}
_TELLING: dict[str, dict[Language, str]] = {
    "still": {"en": "does not move", "de": "bewegt sich nicht"},
    "grows": {"en": "grows", "de": "wird größer"},
    "shrinks": {"en": "shrinks", "de": "wird kleiner"},
}
_COLOURS: dict[str, str] = {
    "red": "rot", "green": "grün", "blue": "blau", "yellow": "gelb", "orange": "orange", "purple": "violett", "white": "weiß",
    "black": "schwarz",
}  # fmt: skip
_SHAPES: dict[str, tuple[str, str]] = {
    "circle": ("der", "Kreis"), "square": ("das", "Quadrat"), "triangle": ("das", "Dreieck"), "star": ("der", "Stern"),
    "ring": ("der", "Ring"), "cross": ("das", "Kreuz"),
}  # fmt: skip
_SOUNDS: dict[str, str] = {
    "beep": "der", "bell": "die", "buzzer": "der", "alarm": "der", "siren": "die", "whistle": "die", "chord": "der",
    "drum": "die", "knock": "das", "clap": "das", "ticking": "das", "noise": "das", "bark": "das",
}  # fmt: skip


def colour_name(colour: str, language: Language) -> str:
    """ "red", "rot"."""
    return colour if language == "en" else _COLOURS[colour]


def shape_name(shape: str, language: Language) -> str:
    """ "circle", "Kreis"."""
    return shape if language == "en" else _SHAPES[shape][1]


def sound_with_article(event: str, language: Language) -> str:
    """ "the bell", "die Glocke"."""
    return f"{'the' if language == 'en' else _SOUNDS[event]} {NAMES[event][language]}"


def described(thing: Thing, language: Language) -> str:
    """To be asked about: "red circle", "der rote Kreis"."""
    if language == "en":
        return f"{thing.colour} {thing.shape}"
    article, shape = _SHAPES[thing.shape]
    return f"{article} {_COLOURS[thing.colour].removesuffix('e')}e {shape}"


def adjective(thing: Thing, language: Language) -> str:
    """As an answer: "a red circle", "ein roter Kreis"."""
    if language == "en":
        return f"{'an' if thing.colour == 'orange' else 'a'} {thing.colour} {thing.shape}"
    article, shape = _SHAPES[thing.shape]
    return f"ein {_COLOURS[thing.colour].removesuffix('e')}{'er' if article == 'der' else 'es'} {shape}"


def story(thing: Thing, motion: str, event: str | None, language: Language) -> str:
    """ "a red circle moves to the right; sound: bell", "ein roter Kreis bewegt sich nach rechts; Ton: Glocke"."""
    moves = {"en": "moves {}", "de": "bewegt sich {}"}[language].format(MOTION_WORDS[motion][language])
    seen = f"{adjective(thing, language)} {_TELLING.get(motion, {}).get(language, moves)}"
    if event is None:
        return f"{seen}; {'no sound' if language == 'en' else 'kein Ton'}"
    return f"{seen}; {'sound' if language == 'en' else 'Ton'}: {NAMES[event][language]}"
