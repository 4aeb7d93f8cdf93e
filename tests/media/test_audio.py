"""Sounds: every format gives the same tone at 16 kHz, and headers that lie are caught."""

import numpy as np
import pytest

from omnie.errors import MediaError

from .helpers import decoded
from .samples import sound, tone, wav


def pitch(samples: np.ndarray) -> float:
    """The strongest frequency (Hz)."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * 16_000 / len(samples))


def check_tone(audio, seconds: float, level: float = 0.5):
    samples = audio.samples
    assert samples.dtype == np.float32 and samples.ndim == 1 and np.abs(samples).max() <= 1
    assert abs(audio.seconds - seconds) < 0.06
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    assert abs(pitch(middle) - 440) < 4
    assert abs(np.sqrt(2 * np.mean(middle**2)) - level) < 0.03


FORMATS = [
    ("a.mp3", "libmp3lame"),
    ("a.flac", "flac"),
    ("a.ogg", "libopus"),
    ("a.m4a", "aac"),
    ("a.webm", "libopus"),
    ("a.mkv", "pcm_s24le"),
    ("a.mp4", "aac"),
    ("a.wav", "pcm_s24le"),
    ("b.wav", "pcm_u8"),
    ("c.wav", "pcm_mulaw"),
    ("d.wav", "adpcm_ima_wav"),
]


@pytest.mark.parametrize(("name", "codec"), FORMATS)
def test_formats(tmp_path, name, codec):
    check_tone(decoded(sound(tmp_path / name, codec)), 1.0)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 192_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32"])
def test_rates_and_sample_types(rate, dtype):
    samples = tone(0.5, rate)
    if dtype.startswith("int"):
        samples = samples * np.iinfo(dtype).max
    check_tone(decoded(wav(samples.astype(dtype), rate)), 0.5)


def test_16_khz_passes_unchanged():
    samples = tone(0.25)
    assert np.array_equal(decoded(wav(samples)).samples, samples)


def test_channels_are_averaged():
    left = tone(0.5)
    check_tone(decoded(wav(np.stack([left, np.zeros_like(left)], 1))), 0.5, level=0.25)


def test_overdriven_sound_is_clipped():
    samples = decoded(wav(3 * tone(0.1))).samples
    assert samples.max() == 1 and samples.min() == -1


def test_pieces_equal_whole():
    """Resampling in the decoder's pieces gives what resampling at once would."""
    import soxr

    samples = tone(2.0, 44_100)
    assert np.abs(decoded(wav(samples, 44_100)).samples - soxr.resample(samples, 44_100, 16_000)).max() < 1e-4


def test_streamed_wav_without_a_length(tmp_path):
    """FFmpeg writing to a pipe states the largest number twice."""
    data = bytearray(wav(tone(0.5), stated_bytes=0xFFFFFFFF))
    data[4:8] = b"\xff" * 4
    check_tone(decoded(bytes(data)), 0.5)


@pytest.mark.parametrize("stated", [64_001, 2**31, 2**32 - 1, 2**32 - 2])
def test_wav_that_states_more_than_it_holds(stated):
    with pytest.raises(MediaError, match="its header states"):
        decoded(wav(tone(1.0), stated_bytes=stated))


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (22, b"\0\0"),
        (22, b"\xff\xff"),
        (24, b"\0\0\0\0"),
        (24, b"\xff\xff\xff\x7f"),
        (34, b"\x40\x00"),
        (36, b"junk"),
        (12, b"junk"),
    ],
    ids=["no-channels", "65535-channels", "rate-0", "rate-2-GHz", "64-bit-in-4-bytes", "no-data", "no-format"],
)
def test_wav_headers_that_lie(offset, value):
    data = bytearray(wav(tone(0.1)))
    data[offset : offset + len(value)] = value
    with pytest.raises(MediaError, match="the WAV sound is damaged"):
        decoded(bytes(data))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(value):
    samples = tone(0.1)
    samples[700] = value
    with pytest.raises(MediaError, match="not numbers"):
        decoded(wav(samples))


def test_no_samples():
    with pytest.raises(MediaError, match="no samples"):
        decoded(wav(np.zeros(0, np.float32)))


@pytest.mark.parametrize(("name", "codec"), FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_cut_off(tmp_path, name, codec, share):
    data = sound(tmp_path / name, codec).read_bytes()
    with pytest.raises(MediaError):
        decoded(data[: int(len(data) * share)])


def test_too_long():
    with pytest.raises(MediaError, match="at most 3 s"):
        decoded(wav(tone(5.0)), seconds=3)


def test_length_is_checked_while_decoding_when_the_header_has_none():
    data = bytearray(wav(tone(5.0), stated_bytes=0xFFFFFFFF))
    data[4:8] = b"\xff" * 4
    with pytest.raises(MediaError, match="too long"):
        decoded(bytes(data), seconds=3)
