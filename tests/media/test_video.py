"""Clips: which frames are kept, how large they are, whether sound and frames stay together, and what is refused."""

import subprocess
import sys

import av
import numpy as np
import pytest

from omnie.errors import MediaError
from omnie.media.types import Audio

from .helpers import decoded
from .samples import clip, moving_frame, packets_overwritten, sound
from .test_audio import check_tone


def bar(frame: np.ndarray) -> float:
    """Left edge of the white bar (pixels): its centre less half its width."""
    light = np.clip(frame[frame.shape[0] // 2 :, :, 2].astype(float).mean(axis=0) - 60, 0, None)
    return float((light * (np.arange(len(light)) + 0.5)).sum() / light.sum() - 4)


@pytest.mark.parametrize(
    ("name", "codec", "sound_codec"),
    [
        ("a.mp4", "libx264", "aac"),
        ("a.mov", "libx264", "aac"),
        ("a.mkv", "libx264", "libopus"),
        ("a.webm", "libvpx", "libopus"),
        ("a.avi", "mpeg4", "mp3"),
        ("b.avi", "mjpeg", "pcm_s16le"),
    ],
)
def test_containers(tmp_path, name, codec, sound_codec):
    video = decoded(clip(tmp_path / name, codec=codec, sound_codec=sound_codec))
    assert video.frames.shape[1:] == (64, 128, 3) and video.frames.dtype == np.uint8
    assert video.times[:4].tolist() == [0, 0.5, 1, 1.5]
    assert abs(video.seconds - 2) < 0.12
    check_tone(video.audio, 2.0)
    for frame, time in zip(video.frames, video.times, strict=True):
        assert abs(bar(frame) - 2 * 10 * time) < 2.5  # one frame: FFmpeg's AVI writer leaves the second one out
        assert frame[2, 60, 0] > 180 > 90 > frame[2, 60, 1]  # the red top: channels are in RGB order


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_even_rate_although_unreferenced_frames_are_skipped(tmp_path, rate):
    video = decoded(clip(tmp_path / "a.mp4", 3.0, rate=rate, sound_codec=None))
    assert len(video.frames) == 6 and video.audio is None
    assert np.abs(video.times - np.arange(6) / 2).max() < 0.15
    for frame, time in zip(video.frames, video.times, strict=True):
        assert abs(bar(frame) - 2 * rate * time % 128) < 3


def test_keyframes_alone_where_they_come_often_enough(tmp_path):
    video = decoded(clip(tmp_path / "a.mp4", 6.0, rate=30, options={"g": "15", "sc_threshold": "0"}), frame_rate=1)
    assert video.times.tolist() == [0, 1, 2, 3, 4, 5]
    for frame, time in zip(video.frames, video.times, strict=True):
        assert abs(bar(frame) - 2 * 30 * time % 128) < 3


@pytest.mark.parametrize("keyframes", ["5", "250"])
def test_rate_falls_so_that_the_whole_clip_is_covered(tmp_path, keyframes):
    video = decoded(clip(tmp_path / "a.mkv", 12.0, options={"g": keyframes}), frames=6)
    assert 5 <= len(video.frames) <= 6
    gaps = np.diff(video.times)
    assert gaps.min() > 1.4 and gaps.max() < 2.6 and video.times[-1] > 9.4


def test_rate_falls_also_when_the_header_has_no_length(tmp_path):
    """A live recording: Matroska written to a pipe, so that the length is known at the end only."""
    path = tmp_path / "live.mkv"
    with path.open("wb") as file:
        pipe = _Pipe(file)
        with av.open(pipe, "w", format="matroska", options={"live": "1"}) as output:
            track = output.add_stream("libx264", rate=10)
            track.width, track.height, track.pix_fmt = 128, 64, "yuv420p"
            for index in range(120):
                output.mux(track.encode(av.VideoFrame.from_ndarray(moving_frame(index, (128, 64)), format="rgb24")))
            output.mux(track.encode(None))
    video = decoded(path, frames=8)
    assert 4 <= len(video.frames) <= 8
    assert np.ptp(np.diff(video.times)) < 0.3 and video.times[-1] > 9
    for frame, time in zip(video.frames, video.times, strict=True):
        assert abs(bar(frame) - 2 * 10 * time % 128) < 2


class _Pipe:
    """A file that can only be written from start to end."""

    def __init__(self, file):
        self.write = file.write


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_tiny_budgets(tmp_path, frames):
    video = decoded(clip(tmp_path / "a.mp4", 3.0), frames=frames)
    assert 1 <= len(video.frames) <= frames and video.times[0] == 0


def test_frames_are_scaled_down_at_once(tmp_path):
    video = decoded(clip(tmp_path / "a.mp4", 1.0, size=(640, 320)), frame_pixels=5000)
    assert video.frames.shape[1:] == (50, 100, 3)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_of_phones(tmp_path, turn):
    """The display matrix says how to turn; FFmpeg's command line writes it, PyAV cannot."""
    plain = clip(tmp_path / "a.mp4", 1.0, sound_codec=None)
    turned = tmp_path / "b.mp4"
    data = bytearray(plain.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version and flags, times, number, duration, layer, volume: then the matrix
    one, matrices = 0x10000, {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    a, b, c, d = (value * one for value in matrices[turn])
    for offset, value in zip((0, 4, 12, 16), (a, b, c, d), strict=True):
        data[place + offset : place + offset + 4] = (value % 2**32).to_bytes(4, "big")
    turned.write_bytes(data)
    expected = np.rot90(decoded(plain).frames, -turn // 90, axes=(1, 2))  # turned clockwise to be shown
    assert np.array_equal(decoded(turned).frames, expected)


def test_stored_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        track = output.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        track.codec_context.sample_aspect_ratio = 2
        for index in range(5):
            output.mux(track.encode(av.VideoFrame.from_ndarray(moving_frame(index, (64, 64)), format="rgb24")))
        output.mux(track.encode(None))
    assert decoded(path).frames.shape[1:] == (64, 128, 3)


def test_container_with_only_sound_is_a_sound(tmp_path):
    assert isinstance(decoded(sound(tmp_path / "a.mp4", "aac")), Audio)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_clip_without_frames(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        track = output.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        output.start_encoding()
    with pytest.raises(MediaError, match="no frames"):
        decoded(path)


@pytest.mark.parametrize(("name", "sound_codec"), [("a.mp4", "aac"), ("a.avi", "mp3")])
def test_sound_that_cannot_be_decoded(tmp_path, name, sound_codec):
    path = clip(tmp_path / name, codec="mpeg4", sound_codec=sound_codec)
    broken = packets_overwritten(path, "audio")
    with pytest.raises(MediaError, match="the clip's sound cannot be used.*--no-audio"):
        decoded(broken)
    video = decoded(broken, audio=False)
    assert video.audio is None and np.array_equal(video.frames, decoded(path).frames)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_frames_that_cannot_be_decoded(tmp_path, name):
    codec, sound_codec = ("libvpx", "libopus") if name == "a.webm" else ("libx264", "aac")
    with pytest.raises(MediaError):
        decoded(packets_overwritten(clip(tmp_path / name, codec=codec, sound_codec=sound_codec), "video"))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_cut_off(tmp_path, name, share):
    codec, sound_codec = ("libvpx", "libopus") if name == "a.webm" else ("mpeg4", "mp3")
    data = clip(tmp_path / name, 1.0, codec=codec, sound_codec=sound_codec).read_bytes()
    with pytest.raises(MediaError):
        decoded(data[: int(share * len(data))])


def test_too_long_and_too_large(tmp_path):
    path = clip(tmp_path / "a.mp4", 4.0)
    with pytest.raises(MediaError, match="at most 2 s"):
        decoded(path, seconds=2)
    with pytest.raises(MediaError, match="128 x 64 pixels"):
        decoded(path, megapixels=0.008)


def test_sound_is_aligned_with_the_frames(tmp_path):
    """A sound track that begins half a second after the frames gets half a second of silence."""
    path = tmp_path / "a.mkv"
    with (
        av.open(str(path), "w") as output,
        av.open(str(clip(tmp_path / "b.mkv", codec="libvpx", sound_codec="libopus"))) as source,
    ):
        copies = {track: output.add_stream_from_template(track) for track in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts += 500
                packet.dts += 500
            packet.stream = copies[packet.stream]
            output.mux(packet)
    samples = decoded(path).audio.samples
    assert np.abs(samples[:7000]).max() < 0.01 < 0.4 < np.abs(samples[9000:12000]).max()


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Ten times the length costs the same memory but for its sound (64 kB per second)."""
    program = (
        "import sys, resource, omnie.media as m; v = m.load(sys.argv[1], limits=m.Limits(frames=40));"
        "print(len(v.frames), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    peaks = []
    for seconds in (10, 100):
        path = clip(tmp_path / f"{seconds}.mp4", seconds, size=(320, 240), rate=10, options={"preset": "ultrafast"})
        output = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True).stdout
        frames, peak = map(int, output.split())
        peaks.append(peak / 1024)
        assert 18 <= frames <= 40
    assert peaks[1] < peaks[0] + 40
