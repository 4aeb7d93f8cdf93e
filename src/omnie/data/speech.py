"""Spoken sentences and what may be asked about them: write them down, answer them, tell the language, find a word.

Voices live in `voices.py`, sentences in `sentences.py`, rooms and noise in `acoustics.py`.
"""

from collections.abc import Callable, Iterator

import numpy as np

from omnie.data.audio.acoustics import coloured, placed, recorded, resample, transmitted
from omnie.data.audio.sentences import draw_sentence, pools, spell
from omnie.data.audio.voices import RATE, draw_voice, speak
from omnie.data.example import Example, Generator, Scoring, Split
from omnie.data.text_logic import equation
from omnie.data.turns import Turn, followed
from omnie.data.words import Language
from omnie.media.types import Audio
from omnie.messages import Part, text

Questions = dict[Split, dict[Language, tuple[str, ...]]]

TRANSCRIBE: Questions = {
    "train": {
        "en": (
            *("What is said?", "Write down what is said.", "Transcribe the recording.", "What does the voice say?"),
            *("What does she say?", "What do you hear?", "Transcribe this.", "Type what you hear.", "Which words are said?"),
            *("Please write this down.", "What was said?", "Give me the transcript.", "Put the recording into writing."),
            *("What does the speaker say?", "Write down the sentence.", "What is the sentence?", "Repeat what was said."),
            *("Note down what the voice says.", "What is being said here?", "Take this down for me."),
            *("Turn the voice note into text.", "Can you write out this recording?", "Put what you hear into text."),
            *("Tell me word for word what is said.", "Let me read what was recorded.", "Word for word, please."),
            *("I need this in writing.", "Write out each word that is spoken.", "Text of this voice message, please."),
            *("Spell out what was recorded.", "Give me the words of this recording.", "Jot down the speech."),
        ),
        "de": (
            *("Was wird gesagt?", "Schreibe auf, was gesagt wird.", "Schreibe die Aufnahme ab.", "Was sagt die Stimme?"),
            *("Was sagt sie?", "Was hörst du?", "Schreibe das auf.", "Tippe, was du hörst.", "Welche Wörter werden gesagt?"),
            *("Bitte schreibe es mit.", "Was wurde gesagt?", "Gib mir den Wortlaut.", "Bringe die Aufnahme zu Papier."),
            *("Was sagt der Sprecher?", "Schreibe den Satz auf.", "Wie lautet der Satz?", "Wiederhole, was gesagt wurde."),
            *("Notiere, was die Stimme sagt.", "Was wird hier gerade gesagt?", "Schreib mir das bitte mit."),
            *("Mach aus der Sprachnachricht einen Text.", "Kannst du diese Aufnahme abtippen?", "Wort für Wort, bitte."),
            *("Sag mir Wort für Wort, was gesagt wird.", "Ich möchte lesen, was aufgenommen wurde."),
            *(
                "Übertrage das Gehörte in Text.",
                "Ich brauche das schriftlich.",
                "Schreibe jedes Wort auf, das gesprochen wird.",
            ),
            *("Den Text dieser Sprachnachricht, bitte.", "Schreibe nieder, was aufgenommen wurde."),
            *("Gib mir die Wörter dieser Aufnahme.", "Schreib das Gesprochene auf.", "Notiere die Rede."),
        ),
    },
    "validation": {
        "en": ("Please transcribe this.", "What are the exact words?", "Set down each word of it."),
        "de": ("Bitte schreibe das ab.", "Wie ist der genaue Text?", "Erfasse jedes Wort davon."),
    },
    "heldout": {
        "en": ("What does the recording say?", "Write down the spoken words."),
        "de": ("Was wird in der Aufnahme gesagt?", "Schreibe die gesprochenen Worte auf."),
    },
}
ANSWER: Questions = {
    "train": {
        "en": (
            *("Answer the spoken question.", "Answer the question in the recording.", "What is the answer?"),
            *("Please answer.", "Answer her.", "Work out what is asked.", "Give the answer to the question."),
            *("Answer this voice note.", "Listen and answer.", "Can you answer that?", "Solve the spoken task."),
            *("And the answer?", "Reply to the voice.", "What should one reply to this?", "Find the answer, please."),
            *("The recording asks something. Answer it.", "Tell me the result of what is asked here."),
            *("What comes out of that?", "Do what the voice asks for.", "Respond to the question in this recording."),
            *("Someone asks something here; what is right?", "I need the answer to this voice message."),
        ),
        "de": (
            *("Beantworte die gesprochene Frage.", "Beantworte die Frage in der Aufnahme.", "Wie lautet die Antwort?"),
            *("Bitte antworte.", "Antworte ihr.", "Rechne aus, was gefragt ist.", "Gib die Antwort auf die Frage."),
            *("Höre zu und antworte.", "Kannst du das beantworten?", "Löse die gesprochene Aufgabe.", "Und die Antwort?"),
            *("Antworte der Stimme.", "Was muss man darauf antworten?", "Finde bitte die Antwort.", "Was kommt dabei heraus?"),
            *("In der Aufnahme wird etwas gefragt. Antworte darauf.", "Nenne das Ergebnis dessen, was hier gefragt ist."),
            *("Tu, worum die Stimme bittet.", "Reagiere auf die Frage in dieser Aufnahme."),
            *("Hier fragt jemand etwas; was ist richtig?", "Ich brauche die Antwort auf diese Sprachnachricht."),
        ),
    },
    "validation": {
        "en": ("Answer what is asked.", "So what is the solution?", "Please reply to that."),
        "de": ("Beantworte, was gefragt wird.", "Was ist also die Lösung?", "Bitte antworte darauf."),
    },
    "heldout": {
        "en": ("What is the answer to the spoken question?", "Answer the question that you hear."),
        "de": ("Was ist die Antwort auf die gesprochene Frage?", "Beantworte die Frage, die du hörst."),
    },
}
ALONE = 0.4
"""Share of the spoken questions that come without a written one, in training."""
LANGUAGE: Questions = {
    "train": {
        "en": (
            *("Is this German or English?", "Which language is spoken?", "Is the voice speaking German or English?"),
            *("Name the language.", "What language is it?", "In which language is this?", "Is she speaking English or German?"),
            *("Which of the two, English or German?", "Tell me the language of the recording.", "Language?"),
            *("What is the speaker's language?", "Does that sound German or English to you?", "Which language was recorded?"),
            *("What language does the voice use?", "In what language do they talk?", "Listen: which language?"),
        ),
        "de": (
            *("Ist das Deutsch oder Englisch?", "Welche Sprache wird gesprochen?", "Spricht sie Deutsch oder Englisch?"),
            *("Nenne die Sprache.", "Welche Sprache ist es?", "In welcher Sprache ist das?", "Welche Sprache spricht sie?"),
            *("Welche der beiden, Englisch oder Deutsch?", "Sag mir die Sprache der Aufnahme.", "Sprache?"),
            *("Was ist die Sprache des Sprechers?", "Klingt das für dich nach Deutsch oder Englisch?"),
            *(
                "Welche Sprache wurde aufgenommen?",
                "Welche Sprache benutzt die Stimme?",
                "In was für einer Sprache redet man da?",
            ),
        ),
    },
    "validation": {
        "en": ("Which language is this?", "What tongue do they speak?", "English, or rather German?"),
        "de": ("Welche Sprache ist das?", "In welcher Sprache redet sie?", "Englisch, oder eher Deutsch?"),
    },
    "heldout": {
        "en": ("What language do you hear?", "German or English?"),
        "de": ("Welche Sprache hörst du?", "Deutsch oder Englisch?"),
    },
}
KEYWORD: Questions = {
    "train": {
        "en": (
            *('Is the word "{word}" said?', 'Does the voice say "{word}"?', 'Can you hear the word "{word}"?'),
            *('Is "{word}" one of the words?', 'Do you hear "{word}"?', 'Is "{word}" in it?', 'Was "{word}" mentioned?'),
            *('Did she say "{word}"?', 'Was "{word}" among the words?', 'Does the speaker use the word "{word}"?'),
            *('"{word}": is it said?', 'Check whether "{word}" is said.', 'Does "{word}" occur?', 'Is there a "{word}" in it?'),
            *('Tell me if the voice says "{word}".', 'Have you heard "{word}"?', 'Is "{word}" part of the sentence?'),
        ),
        "de": (
            *('Wird das Wort „{word}“ gesagt?', 'Sagt die Stimme „{word}“?', 'Ist das Wort „{word}“ zu hören?'),
            *('Ist „{word}“ eines der Wörter?', 'Hörst du „{word}“?', 'Kommt „{word}“ vor?', 'Wurde „{word}“ erwähnt?'),
            *('Hat sie „{word}“ gesagt?', 'War „{word}“ unter den Wörtern?', 'Benutzt der Sprecher das Wort „{word}“?'),
            *('„{word}“: wird das gesagt?', 'Prüfe, ob „{word}“ gesagt wird.', 'Fällt das Wort „{word}“?'),
            *('Ist „{word}“ dabei?', 'Sag mir, ob die Stimme „{word}“ sagt.', 'Hast du „{word}“ gehört?'),
            *('Ist „{word}“ Teil des Satzes?',),
        ),
    },
    "validation": {
        "en": ('Is "{word}" spoken?', 'Could you make out "{word}"?', 'Is "{word}" among what is said?'),
        "de": ('Wird „{word}“ gesprochen?', 'Konntest du „{word}“ verstehen?', 'Gehört „{word}“ zu dem Gesagten?'),
    },
    "heldout": {
        "en": ('Does the recording contain the word "{word}"?', 'Does anyone say "{word}"?'),
        "de": ('Enthält die Aufnahme das Wort „{word}“?', 'Sagt jemand „{word}“?'),
    },
}  # fmt: skip

ARITHMETIC: Questions = {
    "train": {
        "en": (
            *("what is {sum}", "how much is {sum}", "calculate {sum}", "tell me {sum}", "{sum}", "what does {sum} make"),
            *(
                "work out {sum}",
                "give me {sum}",
                "i want to know {sum}",
                "do you know what {sum} is",
                "the result of {sum} please",
            ),
        ),
        "de": (
            *("wie viel ist {sum}", "was ist {sum}", "berechne {sum}", "sag mir {sum}", "{sum}", "was ergibt {sum}"),
            *("rechne {sum}", "gib mir {sum}", "ich möchte wissen was {sum} ist", "weißt du wie viel {sum} ist"),
        ),
    },
    "validation": {"en": ("what do you get for {sum}",), "de": ("was bekommst du für {sum}",)},
    "heldout": {
        "en": ("please tell me how much is {sum}", "can you calculate {sum}"),
        "de": ("bitte sag mir wie viel ist {sum}", "kannst du mir sagen was {sum} ist"),
    },
}
COMPARISON: Questions = {
    "train": {
        "en": (
            *("which is {kind} {a} or {b}", "which number is {kind} {a} or {b}", "{a} or {b} which is {kind}"),
            *("tell me which is {kind} {a} or {b}", "the {kind} one of {a} and {b}"),
        ),
        "de": (
            *("was ist {kind} {a} oder {b}", "welche zahl ist {kind} {a} oder {b}", "{a} oder {b} was ist {kind}"),
            *("sag mir was {kind} ist {a} oder {b}", "was von {a} und {b} ist {kind}"),
        ),
    },
    "validation": {"en": ("is {a} {kind} or {b}",), "de": ("ist {a} {kind} oder {b}",)},
    "heldout": {"en": ("what is {kind} {a} or {b}",), "de": ("{a} oder {b} welche zahl ist {kind}",)},
}
_SIGNS: dict[Language, dict[str, str]] = {
    "en": {"+": "plus", "-": "minus", "*": "times"},
    "de": {"+": "plus", "-": "minus", "*": "mal"},
}
_KINDS: dict[Language, tuple[str, str]] = {"en": ("larger", "smaller"), "de": ("größer", "kleiner")}
_YES: dict[Language, tuple[str, str]] = {"en": ("no", "yes"), "de": ("nein", "ja")}
_LANGUAGES: dict[Language, dict[Language, str]] = {
    "en": {"en": "English", "de": "German"},
    "de": {"en": "Englisch", "de": "Deutsch"},
}


def transcribe(rng: np.random.Generator, split: Split) -> Example:
    """A sentence to write down."""
    spoken = _language(rng)
    sentence, pattern = draw_sentence(rng, split, spoken)
    return _example(rng, split, "speech.transcribe", TRANSCRIBE, sentence, spoken, pattern, lambda _: sentence, "wer")


def answer(rng: np.random.Generator, split: Split) -> Example:
    """A spoken question about numbers; the answer is the sum as it was understood and its result, or one of the numbers."""
    spoken = _language(rng)
    sentence, result, pattern = question(rng, split, spoken)
    return _example(rng, split, "speech.answer", ANSWER, sentence, spoken, pattern, lambda _: result)


def question(rng: np.random.Generator, split: Split, spoken: Language) -> tuple[str, str, str]:
    """A question about numbers, its answer, and its pattern."""
    return (_arithmetic if rng.random() < 0.75 else _comparison)(rng, split, spoken)


def language(rng: np.random.Generator, split: Split) -> Example:
    """A sentence whose language is asked for."""
    spoken = _language(rng)
    sentence, pattern = draw_sentence(rng, split, spoken)
    return _example(rng, split, "speech.language", LANGUAGE, sentence, spoken, pattern, lambda asked: _LANGUAGES[asked][spoken])


def keyword(rng: np.random.Generator, split: Split) -> Example:
    """A sentence, and whether a certain word is in it; half of the time it is."""
    spoken = _language(rng)
    sentence, pattern = draw_sentence(rng, split, spoken)
    word = _keyword(rng, sentence, spoken)
    said = word in sentence.split()
    return _example(
        rng, split, "speech.keyword", KEYWORD, sentence, spoken, pattern, lambda asked: _YES[asked][said], word=word
    )


def _keyword(rng: np.random.Generator, sentence: str, spoken: Language) -> str:
    """A word to listen for; half of the time it is in the sentence."""
    return str(rng.choice(sentence.split() if rng.random() < 0.5 else pools(spoken)["word"]))


GENERATORS: dict[str, Generator] = {
    "speech.transcribe": transcribe,
    "speech.answer": answer,
    "speech.language": language,
    "speech.keyword": keyword,
}


def draw_speech(rng: np.random.Generator, split: Split, sentence: str, spoken: Language) -> tuple[Audio, dict[str, str]]:
    """The sentence, spoken by a voice of the split and recorded somewhere; and the families it drew on."""
    voice = draw_voice(rng, split, spoken)
    size = (0.84, 1.19) if split == "train" else (0.92, 1.09)
    samples = resample(speak(sentence, voice), RATE, warp=rng.uniform(*size))
    if split == "train":  # held-out voices differ from these in their colour above all
        samples = coloured(rng, samples)
    samples = placed(samples, rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.3))
    audio = recorded(rng, transmitted(rng, samples) if split == "train" else samples)
    return audio, {"voice": voice.variant}


def _example(
    rng: np.random.Generator,
    split: Split,
    skill: str,
    questions: Questions,
    sentence: str,
    spoken: Language,
    pattern: str,
    reply: Callable[[Language], str],
    scoring: Scoring = "exact",
    **slots: str,
) -> Example:
    asked = spoken if rng.random() < 0.75 else _language(rng)
    template = str(rng.choice(questions[split][asked]))
    audio, families = draw_speech(rng, split, sentence, spoken)
    parts: tuple[Part, ...] = (Part("audio", audio), text(template.format(**slots)))
    if skill == "speech.answer" and split == "train" and rng.random() < ALONE:
        parts = parts[:1]
    families |= {"template": template, "sentence": pattern}
    example = Example(skill, parts, reply(asked), scoring, sentence, families)
    return followed(example, split, _further(rng, split, skill, sentence, spoken, asked, slots.get("word", "")))


def _further(
    rng: np.random.Generator, split: Split, skill: str, sentence: str, spoken: Language, asked: Language, known: str
) -> Iterator[Turn]:
    """What else may be asked about a recording, what gives away least first: an answer is to be heard, not read above.

    Args:
        asked: The language of the questions.
        known: The word that was asked for already.
    """

    def turn(questions: Questions, answer: str, **slots: str) -> Turn:
        template = str(rng.choice(questions[split][asked]))
        return Turn(template.format(**slots), answer, template)

    if skill != "speech.language":
        yield turn(LANGUAGE, _LANGUAGES[asked][spoken])
    for _ in range(2 if skill == "speech.transcribe" else 1):
        word = _keyword(rng, sentence, spoken)
        if word != known:
            known = word
            yield turn(KEYWORD, _YES[asked][word in sentence.split()], word=word)
    if skill != "speech.transcribe":
        yield turn(TRANSCRIBE, sentence)


def _language(rng: np.random.Generator) -> Language:
    return "de" if rng.random() < 0.5 else "en"


def _arithmetic(rng: np.random.Generator, split: Split, spoken: Language) -> tuple[str, str, str]:
    sign = str(rng.choice(["+", "-", "*"]))
    a, b = (int(number) for number in rng.integers(0, 11 if sign == "*" else 21, 2))
    if sign == "-":
        a, b = max(a, b), min(a, b)
    pattern = str(rng.choice(ARITHMETIC[split][spoken]))
    said = f"{spell(a, spoken)} {_SIGNS[spoken][sign]} {spell(b, spoken)}"
    return pattern.format(sum=said), equation(a, sign, b), f"{spoken}: {pattern}"


def _comparison(rng: np.random.Generator, split: Split, spoken: Language) -> tuple[str, str, str]:
    a, b = (int(number) for number in rng.choice(100, 2, replace=False))
    larger = rng.random() < 0.5
    pattern = str(rng.choice(COMPARISON[split][spoken]))
    said = pattern.format(kind=_KINDS[spoken][not larger], a=spell(a, spoken), b=spell(b, spoken))
    return said, str(max(a, b) if larger else min(a, b)), f"{spoken}: {pattern}"
