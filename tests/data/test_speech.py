"""Speech and sound events: splits share no voice, pattern, recipe or template; what is heard agrees with the answer."""

import itertools
import multiprocessing
import re

import numpy as np
import pytest

from omnie.data import sounds, speech
from omnie.data.audio.acoustics import recorded
from omnie.data.audio.events import EVENTS, NAMES, draw_event
from omnie.data.audio.patterns import PATTERNS
from omnie.data.audio.sentences import fill, pools, spell
from omnie.data.audio.synthesis import RECIPES
from omnie.data.audio.voices import LOCALES, VARIANTS, Voice, speak
from omnie.data.example import SPLITS, generator_for
from omnie.data.writing.grammar import every
from omnie.media.types import SAMPLE_RATE

GENERATORS = speech.GENERATORS | sounds.GENERATORS


def examples(skill, split, count=8):
    return [GENERATORS[skill](generator_for(skill, split, index), split) for index in range(count)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("skill", GENERATORS)
def test_an_example_depends_on_its_seed_alone(skill, split):
    first = examples(skill, split, 4)
    again = [GENERATORS[skill](generator_for(skill, split, index), split) for index in reversed(range(4))][::-1]
    for one, other in zip(first, again, strict=True):
        assert (one.answer, one.transcript, one.families, one.parts[1:], one.more) == (
            other.answer,
            other.transcript,
            other.families,
            other.parts[1:],
            other.more,
        )
        assert split == "train" or not one.more
        assert np.array_equal(one.parts[0].value.samples, other.parts[0].value.samples)
    assert len({example.parts[0].value.samples.tobytes() for example in first}) == 4


def _said(seed):
    return speech.transcribe(np.random.default_rng(seed), "train").parts[0].value.samples.tobytes()


def test_workers_say_what_the_parent_says():
    here = [_said(seed) for seed in range(4)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_said, range(4)) == here


@pytest.mark.parametrize("skill", GENERATORS)
def test_splits_share_no_family(skill):
    seen = {
        split: {(kind, name) for example in examples(skill, split, 40) for kind, name in example.families.items()}
        for split in SPLITS
    }
    kinds = {kind for kind, _ in seen["train"]}
    assert {"template", "voice" if skill.startswith("speech") else "recipe"} <= kinds
    for one, other in itertools.combinations(SPLITS, 2):
        assert not seen[one] & seen[other]


def test_pools_of_the_splits_are_disjoint():
    tables = [VARIANTS, RECIPES, *PATTERNS.values()]
    questions = [
        value
        for module in (speech, sounds)
        for value in vars(module).values()
        if isinstance(value, dict) and "heldout" in value
    ]
    tables += [{split: table[split][language] for split in SPLITS} for table in questions for language in ("de", "en")]
    assert len(tables) > 12
    for table in tables:
        assert len({name for split in SPLITS for name in table[split]}) == sum(len(set(table[split])) for split in SPLITS)


@pytest.mark.parametrize("locale", [locale for locales in LOCALES.values() for locale in locales])
def test_every_voice_exists_and_differs(locale):
    said = [speak("hello", Voice(locale, variant)) for split in SPLITS for variant in VARIANTS[split]]
    assert all(0.05 < np.abs(samples).max() <= 1 for samples in said)
    assert len({samples.tobytes() for samples in said}) == len(said)


def test_an_unknown_voice_is_refused():
    with pytest.raises(ValueError, match="no voice xx"):
        speak("hello", Voice("xx", "m1"))


@pytest.mark.parametrize("skill", GENERATORS)
@pytest.mark.parametrize("split", SPLITS)
def test_recordings_are_audible_and_short(skill, split):
    for example in examples(skill, split, 12):
        samples = example.parts[0].value.samples
        assert samples.dtype == np.float32 and np.isfinite(samples).all()
        assert 0.1 < np.abs(samples).max() <= 1
        assert 0.3 < len(samples) / SAMPLE_RATE < 7


def test_faster_speech_is_shorter():
    slow, fast = (len(speak("the red lamp is on the table", Voice("en-us", "m1", rate=rate))) for rate in (130, 210))
    assert fast < 0.75 * slow


@pytest.mark.parametrize(("number", "de", "en"), [
    (0, "null", "zero"), (1, "eins", "one"), (16, "sechzehn", "sixteen"), (21, "einundzwanzig", "twenty one"),
    (70, "siebzig", "seventy"), (101, "einhunderteins", "one hundred one"),
    (347, "dreihundertsiebenundvierzig", "three hundred forty seven"),
])  # fmt: skip
def test_numbers_are_spelled_as_they_are_said(number, de, en):
    assert (spell(number, "de"), spell(number, "en")) == (de, en)


@pytest.mark.parametrize("language", ["de", "en"])
def test_patterns_give_plain_lower_case_sentences(language):
    rng = np.random.default_rng(0)
    for pattern in itertools.chain(*PATTERNS[language].values()):
        for _ in range(20):
            sentence = fill(rng, pattern, language)
            assert re.fullmatch(r"[a-zäöüß']+( [a-zäöüß']+)*", sentence), sentence
            assert 2 <= len(sentence.split()) <= 14


@pytest.mark.parametrize("language", ["de", "en"])
def test_heldout_sentences_need_no_new_words(language):
    rng, known = np.random.default_rng(0), set(pools(language)["word"])
    known |= {word for name in ("number", "hundreds") for entry in pools(language)[name] for word in entry.split()}
    trained = known | {word for pattern in PATTERNS[language]["train"] for word in re.sub(r"{\w+}", "", pattern).split()}
    told = {word for pattern in PATTERNS[language]["heldout"] * 30 for word in fill(rng, pattern, language).split()}
    assert len(told) > 200 and told <= trained


def test_spoken_arithmetic_is_right():
    signs = {"plus": "+", "minus": "-", "times": "*", "mal": "*"}
    spelled = {spell(number, language): number for language in ("de", "en") for number in range(100)}
    checked = 0
    for example in examples("speech.answer", "train", 120):
        if match := re.search(r"(\w+(?: \w+)?) (plus|minus|times|mal) (\w+(?: \w+)?)", example.transcript):
            left = next(spelled[words] for words in (match[1], match[1].split()[-1]) if words in spelled)
            right = next(spelled[words] for words in (match[3], match[3].split()[0]) if words in spelled)
            term, result = example.answer.replace("x", "*").split(" = ")
            assert term == f"{left} {signs[match[2]]} {right}" and int(result) == eval(term)
            checked += 1
    assert checked > 60


def test_keywords_are_judged_by_the_transcript():
    answers = []
    for example in examples("speech.keyword", "heldout", 60):
        word = re.search(r'["„](.+?)["“]', example.parts[1].value)[1]
        said = word in example.transcript.split()
        assert example.answer == {True: ("yes", "ja"), False: ("no", "nein")}[said][example.parts[1].value.count("„")]
        answers.append(said)
    assert 0.3 < np.mean(answers) < 0.7


@pytest.mark.parametrize("skill", speech.GENERATORS)
def test_further_answers_are_what_is_heard(skill):
    """The sentence is written down once, after everything that it tells."""
    names = {"English": "en", "Englisch": "en", "German": "de", "Deutsch": "de"}
    for example in examples(skill, "train", 30):
        asked = example.parts[1].value if len(example.parts) > 1 else ""
        turns, words = ((asked, example.answer), *example.more), example.transcript.split()
        assert len({question for question, _ in turns}) == len(turns) >= 3
        for question, answer in example.more:
            if match := re.search(r'["„](.+?)["“]', question):
                assert answer in ("yes", "ja") if match[1] in words else answer in ("no", "nein")
            elif answer in names:
                assert example.families["sentence"].startswith(f"{names[answer]}: ")
            else:
                assert answer == example.transcript
        assert [answer for _, answer in turns].count(example.transcript) == 1
        assert skill == "speech.transcribe" or example.more[-1][1] == example.transcript


def test_a_sound_is_named_in_both_languages():
    for example in examples("sounds.name", "train", 40):
        turns = ((example.parts[1].value, example.answer), *example.more)
        known = {
            language: {text for line in sounds.NAME["train"][language] for text in every(line)} for language in ("de", "en")
        }
        asked = {language: [a for q, a in turns if q in questions] for language, questions in known.items()}
        assert len(turns) == 2 and {"de": asked["de"][0], "en": asked["en"][0]} in NAMES.values()


def test_noise_is_as_loud_as_told():
    voice = np.sin(np.arange(SAMPLE_RATE) / 5).astype(np.float32)
    kept = []
    for seed in range(30):
        samples = recorded(np.random.default_rng(seed), voice, snr=(10, 10)).samples
        kept.append(abs(np.corrcoef(samples, voice)[0, 1]))
    # At 10 dB a tenth of the power is noise: correlation sqrt(1 / 1.1); rooms turn the phase, clean ones keep all of it.
    assert np.quantile(kept, 0.3) < 0.97 and max(kept) > 0.99


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", EVENTS)
def test_events_begin_at_once_and_end(name, split):
    for seed in range(4):
        samples, recipe = draw_event(np.random.default_rng(seed), split, name)
        assert recipe in RECIPES[split] and np.isfinite(samples).all()
        loud = np.flatnonzero(np.abs(samples) > 0.1)
        assert loud[0] < 0.05 * SAMPLE_RATE and 0.9 < np.abs(samples).max() <= 1.0001
        assert np.abs(samples[-80:]).max() < 0.6 and 0.05 < len(samples) / SAMPLE_RATE < 2.5


def _dominant(samples):
    power = np.abs(np.fft.rfft(samples)) ** 2
    return np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)[power.argmax()]


@pytest.mark.parametrize("split", SPLITS)
def test_events_keep_their_character_in_every_split(split):
    drawn = {name: [draw_event(np.random.default_rng(seed), split, name)[0] for seed in range(9)] for name in EVENTS}
    pitch = {name: np.median([_dominant(samples) for samples in drawn[name]]) for name in EVENTS}
    assert pitch["drum"] < 200 < pitch["knock"] < 1200 < pitch["whistle"] < pitch["ticking"] * 1.2
    assert pitch["buzzer"] < pitch["beep"] < pitch["whistle"]
    length = {name: np.median([len(samples) for samples in drawn[name]]) for name in EVENTS}
    assert length["beep"] < length["whistle"] < length["siren"]


@pytest.mark.parametrize("split", SPLITS)
def test_as_many_beeps_as_told(split):
    for example in examples("sounds.count", split, 20):
        samples = example.parts[0].value.samples
        level = np.sqrt(np.convolve(samples**2, np.ones(400) / 400, "same"))[::160]
        loud = level > 0.4 * level.max()
        assert str(int(np.sum(np.diff(loud.astype(int)) == 1) + loud[0])) == example.answer


def test_names_are_distinct():
    for language in ("de", "en"):
        assert len({NAMES[event][language] for event in EVENTS}) == len(EVENTS) == len(NAMES)
