"""The voices: espeak-ng called in process through ctypes, and which of its voice variants belong to which split.

What is said lives in `sentences.py`, rooms and noise in `acoustics.py`. espeak-ng keeps the state of its oscillators and noise
sources from one utterance to the next, so that equal calls give unequal samples; the library is therefore unloaded and loaded
again for each utterance (0.4 ms), which makes every utterance a function of its arguments alone.
"""

import ctypes
import threading
from _ctypes import dlclose
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from omnie.data.example import Split
from omnie.data.words import Language
from omnie.errors import OmnieError

RATE = 22_050
"""Samples per second that espeak-ng delivers."""

LOCALES: dict[Language, tuple[str, ...]] = {"de": ("de",), "en": ("en-us", "en", "en-gb-x-rp", "en-gb-scotland")}

# espeak-ng's variants, by ear and by fundamental and spectral centroid: no variant of one split is a near copy of another's
# (the numbered ones of a name, such as steph and steph2, stay together). Shouting, whispered-through-noise and very dull ones
# are left out.
VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": (
        "m1", "m2", "m5", "m7", "m8", "f1", "f2", "f5", "klatt", "klatt2", "klatt3", "klatt5", "Alicia", "Annie",
        "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Marco", "Mario", "Michael", "Mike", "Nguyen", "Storm",
        "adam", "anika", "announcer", "antonio", "aunty", "boris", "ed", "grandma", "gustave", "iven", "iven3", "john",
        "kaukovalta", "marcelo", "max", "norbert", "pablo", "paul", "pedro", "rob", "robosoft", "robosoft4", "shelby",
        "steph", "steph2", "victor", "whisperf", "zac",
    ),
    "validation": ("m6", "f3", "Alex", "robert", "sandro"),
    "heldout": ("m3", "m4", "f4", "belinda", "Andy", "quincy", "klatt4"),
}  # fmt: skip

_SYNCHRONOUS, _UTF8 = 2, 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
_lock = threading.Lock()
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Voice:
    """Who speaks and how.

    Attributes:
        locale: espeak-ng language ("de", "en-us").
        variant: espeak-ng voice variant ("m3"), from `VARIANTS`.
        rate: Words per minute.
        pitch: 0 to 99, 50 is the variant's own.
        range: Liveliness of the melody, 0 to 99.
    """

    locale: str
    variant: str
    rate: int = 170
    pitch: int = 50
    range: int = 50


def draw_voice(rng: np.random.Generator, split: Split, language: Language) -> Voice:
    """A voice of the split that speaks `language`, with random speed, pitch and melody."""
    locale, variant = rng.choice(LOCALES[language]), rng.choice(VARIANTS[split])
    voice = Voice(str(locale), str(variant))
    return replace(voice, rate=int(rng.integers(130, 211)), pitch=int(rng.integers(32, 69)), range=int(rng.integers(30, 71)))


def speak(text: str, voice: Voice) -> np.ndarray:
    """The utterance, float32 [samples] in [-1, 1] at `RATE`.

    Raises:
        OmnieError: espeak-ng is not installed.
        ValueError: espeak-ng does not know the voice, or says nothing at all.
    """
    with _lock:
        samples = _synthesise(text.encode(), voice)
    if not len(samples):
        raise ValueError(f"espeak-ng said nothing for {text!r}")
    return samples.astype(np.float32) / 32768


def _synthesise(text: bytes, voice: Voice) -> np.ndarray:
    pieces: list[np.ndarray] = [np.zeros(0, np.int16)]

    def gather(samples, count: int, _events) -> int:  # noqa: ANN001 (a ctypes pointer)
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _Callback(gather)
    with _espeak() as library:
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(f"{voice.locale}+{voice.variant}".encode()):
            raise ValueError(f"espeak-ng has no voice {voice.locale}+{voice.variant}")
        for name, number in _PARAMETERS.items():
            library.espeak_SetParameter(number, getattr(voice, name, 100), 0)
        library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
    return np.concatenate(pieces)


@contextmanager
def _espeak() -> Iterator[ctypes.CDLL]:
    """The library, freshly loaded."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise OmnieError("speech needs espeak-ng", hint="pip install 'omnie[train]'") from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, *[ctypes.c_uint] * 4, ctypes.c_void_p, ctypes.c_void_p]
    try:
        if library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0) != RATE:
            raise ValueError(f"espeak-ng does not start with {espeakng_loader.get_data_path()}")
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        yield library
    finally:
        library.espeak_Terminate()
        dlclose(library._handle)
