"""What is asked about clips and how the answers are worded, German and English. Question templates belong to one split each;
`[a|b]` picks one."""

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
            "Say [how|which way] the {what} [moves|goes].",
            "The {what}: [how|which way|where] does it [move|go]?",
            "[Look|Watch] what the {what} does: [what|which way] is it?",
            "Does the {what} move, [and how|and where to]?",
            "[Movement|Motion|Direction] of the {what}?",
            "[During the clip|In this film|Here], [how|which way] does the {what} move?",
            "Follow the {what}: where does it go?",
            "What [kind of movement|movement] does the {what} make?",
            "The {what} [goes|moves] where?",
        ),
        "de": (
            *("Wie bewegt sich {what}?", "Wohin bewegt sich {what}?", "Was macht {what}?", "Wohin geht {what}?"),
            *("In welche Richtung bewegt sich {what}?", "Wie sieht die Bewegung aus: {what}?", "Was passiert: {what}?"),
            *("Sag mir, wie sich {what} bewegt.", "Bewegung: {what}?"),
            "[Sag|Beschreib], [wie|wohin] sich {what} bewegt.",
            "{what}: [wie|wohin] geht die Bewegung?",
            "Achte auf das, was {what} tut: [was|wohin] ist es?",
            "Bewegt sich {what}, [und wie|und wohin]?",
            "[Bewegung|Richtung] von: {what}?",
            "[In diesem Film|Hier|Im Lauf des Films]: [wie|wohin] bewegt sich {what}?",
            "Folge mit den Augen: {what}. Wohin geht es?",
            "Welche Bewegung macht {what}?",
            "Was tut {what}?",
            "Wie bewegt {what} sich [im Clip|hier]?",
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
            "[What|Which sound] [is heard|is audible|can you hear] [in the film|in this clip|in the recording|here|meanwhile]?",
            "[What|Which sound] do you hear [in this video|in the film|in the clip|here|during it]?",
            "[Listen|Listen to the clip]: [what|which sound] is it?",
            "[Sound|Noise] of the [clip|film|video]?",
            "[Say|Tell me|Name] [what is heard|what one hears|the sound you hear] [in it|in the video|in this film|here].",
            "What does [the video|this clip|the film] sound like?",
            "What [noise|sound] [goes with|comes with|belongs to] the pictures?",
            "Is anything heard? [What|Which sound] is it?",
            "What is on the sound track?",
            "[The sound|The noise]: what is it?",
            "[What|Which sound] can one hear in [this film|this clip|the video]?",
        ),
        "de": (
            *("Welches Geräusch ist zu hören?", "Was ist im Film zu hören?", "Welches Geräusch ist im Video?", "Was hörst du?"),
            *("Welches Geräusch gibt es?", "Gibt es ein Geräusch, und welches?", "Bestimme das Geräusch."),
            "[Was|Welches Geräusch] [ist hörbar|hört man|kannst du hören|ist zu hören] [im Clip|in diesem Film|hier|dabei]?",
            "[Was|Welches Geräusch] hörst du [in diesem Video|im Film|im Clip|hier|dabei]?",
            "[Hör hin|Hör dir den Clip an]: [was|welches Geräusch] ist es?",
            "[Ton|Geräusch] [des Clips|des Films|des Videos]?",
            "[Sag|Sag mir|Nenne], [was zu hören ist|was man hört|welches Geräusch du hörst] [im Video|hier|darin].",
            "Wie klingt [das Video|dieser Clip|der Film]?",
            "Welches Geräusch [gehört zu|kommt mit] den Bildern?",
            "Hört man etwas? [Was|Welches Geräusch] ist es?",
            "Was ist auf der Tonspur?",
            "[Der Ton|Das Geräusch]: was ist es?",
            "[Was|Welches Geräusch] kann man [in diesem Film|in diesem Clip|im Video] hören?",
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
            "[From|At] which second [is {what} heard|can you hear {what}|does {what} sound]?",
            "{what}: when?",
            "[Say|Tell me] when {what} [begins|is heard|comes|starts].",
            "At what [time|moment] does {what} [begin|start|come]?",
            "How many seconds pass before {what} [begins|is heard|comes]?",
            "[Start|Beginning|Time] of: {what}?",
            "After how many seconds does {what} [begin|start|come]?",
            "When does one hear {what}?",
        ),
        "de": (
            *("Wann ist {what} zu hören?", "Bei welcher Sekunde beginnt {what}?", "Wann fängt {what} an?"),
            *("Wann hört man {what}?", "In welcher Sekunde ist {what} zu hören?", "Wann kommt {what}?"),
            "[Ab|Bei] welcher Sekunde [hört man {what}|ist {what} hörbar|ertönt {what}]?",
            "{what}: wann?",
            "[Sag|Sag mir], wann {what} [beginnt|zu hören ist|kommt|anfängt].",
            "[Zu welchem Zeitpunkt|In welchem Augenblick] [beginnt|kommt] {what}?",
            "Wie viele Sekunden vergehen, bis {what} [beginnt|zu hören ist|kommt]?",
            "[Anfang|Beginn|Zeit] von: {what}?",
            "Nach wie vielen Sekunden [beginnt|kommt] {what}?",
            "Wann kann man {what} hören?",
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
            "[Say|Tell me|Name] what [moves|is moving] [in it|here|in the film].",
            "Something moves: what is it?",
            "[The moving thing|The thing in motion]: what is it?",
            "What [goes|travels] through the picture?",
            "Which [coloured figure|thing with its colour] is [moving|on the move]?",
            "What [moves|is moving] [in this film|in the video|here]?",
            "Which [thing|object] do you see moving?",
            "Who or what moves?",
        ),
        "de": (
            *("Was bewegt sich?", "Was bewegt sich im Film?", "Nenne die Form, die sich bewegt, und ihre Farbe."),
            *("Was siehst du sich bewegen?", "Was ist es, das sich bewegt?", "Welche farbige Form bewegt sich?"),
            "[Sag|Sag mir|Nenne], was sich [hier|darin|im Video] bewegt.",
            "Etwas bewegt sich: was ist es?",
            "[Das bewegte Ding|Das, was sich bewegt]: was ist es?",
            "Was [zieht|wandert] durch das Bild?",
            "Welche [farbige Figur|Form und Farbe] bewegt sich?",
            "Was bewegt sich [in diesem Film|im Video|hier]?",
            "Welches [Objekt|Etwas] siehst du sich bewegen?",
            "Wer oder was bewegt sich?",
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
        "en": (
            *("Which colour does the moving shape have?", "What colour is the shape that moves?"),
            "[Colour|Color] of what moves?",
            "[Say|Give|Tell me] the colour of [what moves|the moving thing|the thing that moves].",
            "What moves has which colour?",
            "In which colour is [the moving shape|what moves]?",
            "Which colour is [it that moves|the thing that moves]?",
        ),
        "de": (
            *("Welche Farbe hat die bewegte Form?", "Welche Farbe hat die Form, die sich bewegt?"),
            "Farbe [von dem, was sich bewegt|der bewegten Figur]?",
            "[Sag|Gib|Sag mir] die Farbe [der bewegten Figur|von dem, was sich bewegt].",
            "Was sich bewegt, hat welche Farbe?",
            "In welcher Farbe ist [die bewegte Form|das, was sich bewegt]?",
            "Welche Farbe ist es, die sich bewegt?",
        ),
    },
    "validation": {"en": ("Name the colour of the moving shape.",), "de": ("Nenne die Farbe der bewegten Form.",)},
    "heldout": {
        "en": ("What is the colour of the shape in motion?", "Of which colour is the thing that moves?"),
        "de": ("Was ist die Farbe der Form in Bewegung?", "Welche Farbe hat das, was sich bewegt?"),
    },
}
OBJECT_SHAPE: Questions = {
    "train": {
        "en": (
            *("Which shape moves?", "What kind of shape is moving?"),
            "Shape of what moves?",
            "[Say|Tell me|Give] the shape of [what moves|the moving thing|the thing that moves].",
            "What moves has which shape?",
            "Which [figure|form] [moves|is on the move]?",
            "What moves, a circle, a star or what?",
        ),
        "de": (
            *("Welche Form bewegt sich?", "Was für eine Form bewegt sich?"),
            "Form [von dem, was sich bewegt|der bewegten Figur]?",
            "[Sag|Gib|Sag mir] die Form [der bewegten Figur|von dem, was sich bewegt] an.",
            "Was sich bewegt, hat welche Form?",
            "Welche [Figur|Gestalt] [bewegt sich|ist unterwegs]?",
            "Was bewegt sich, ein Kreis, ein Stern oder was?",
        ),
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
            "[Say|Tell me] what [moves and what sounds|is seen and what is heard|one sees and hears].",
            "[Picture|Pictures] and sound: what [is there|happens]?",
            "[Tell|Report] what [happens|goes on] [in this clip|in the film|here].",
            "What [happens|goes on] [in this video|in the film|here], [with sound|in picture and sound]?",
            "[Describe|Sum up] [this clip|the film|what happens] [in one sentence|briefly].",
            "What is in [this|the] [clip|film]?",
            "What moves and what [sounds|is heard]?",
        ),
        "de": (
            *("Was passiert im Film?", "Beschreibe das Video.", "Was ist zu sehen und zu hören?", "Was geschieht?"),
            *("Beschreibe den Film mit seinem Ton.", "Was siehst und hörst du?", "Fasse das Video zusammen."),
            "[Sag|Sag mir], was [sich bewegt und was klingt|zu sehen und was zu hören ist|man sieht und hört].",
            "Bild und Ton: was [gibt es|passiert]?",
            "[Berichte|Erzähl], was [in diesem Film|im Clip|hier] [geschieht|vor sich geht].",
            "Was [passiert|geschieht] [in diesem Video|im Clip|hier], [mit Ton|in Bild und Ton]?",
            "[Beschreibe|Fasse zusammen], was [im Clip|hier] geschieht, [in einem Satz|kurz].",
            "Was ist in [diesem|dem] [Clip|Film]?",
            "Was bewegt sich und was [klingt|hört man]?",
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
