"""Bad input through the front door: one line with four beats, no traceback, no memory spike, no hanging."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from omnie.errors import MediaError
from omnie.media import Limits, load, start_all

from .samples import clip, packets_overwritten, pdf, png, tone, wav, zipped


def refused(reference, **options) -> MediaError:
    with pytest.raises(MediaError) as caught:
        load(reference, **options)
    return check_beats(caught.value)


def check_beats(error: MediaError) -> MediaError:
    assert "\n" not in str(error) and str(error).isprintable()
    assert error.what and error.value and error.allowed and error.hint
    return error


def silent_clip_without_frames(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        track = output.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        output.start_encoding()
    return path


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> Path:
    """A folder with one file of each kind of badness."""
    folder = tmp_path_factory.mktemp("bad")
    song = clip(folder / "clip.mp4", 1.0)
    silent_clip_without_frames(folder / "no-frames.mp4")
    page = ["100 700 words"]
    for name, data in {
        "giant.png": png(20_000, 20_000),
        "giant-header.png": png(2**31 - 1, 2**31 - 1, rows=False),
        "cut.png": png(500, 500)[:80],
        "cut.mp4": song.read_bytes()[:-200],
        "bad-sound.mp4": packets_overwritten(song, "audio"),
        "200m.pdf": pdf(page, box=(0, 0, 566_929, 566_929)),
        "encrypted.pdf": pdf(page, password=b"geheim"),
        "zip.pdf": zipped({"a.txt": b"a"}),
        "cut.pdf": pdf(page)[:400],
        "lying.wav": wav(tone(0.1), stated_bytes=2**32 - 1),
        "nan.wav": wav(np.full(1600, np.nan, np.float32)),
        "no-samples.wav": wav(np.zeros(0, np.float32)),
        "bomb.xlsx": zipped({"xl/workbook.xml": b"", "xl/worksheets/sheet1.xml": bytes(64 << 20)}),
        "noise.jpg": np.random.default_rng(0).bytes(1000),
    }.items():
        (folder / name).write_bytes(data)
    return folder


EXPECTED = {
    "giant.png": "the picture is too large: {}: 20000 x 20000 pixels (allowed: at most 64 megapixels)",
    "giant-header.png": "2147483647 x 2147483647 pixels",
    "cut.png": "the PNG picture is damaged or cut off: {}",
    "cut.mp4": "the MP4 file is damaged or cut off: {}",
    "bad-sound.mp4": "--no-audio",
    "no-frames.mp4": "the clip has no frames: {}",
    "200m.pdf": "page 1 of the PDF is too large: {}: 200.0 m",
    "encrypted.pdf": "the PDF is encrypted: {}",
    "zip.pdf": "this kind of file is not read: {}: a zip archive",
    "cut.pdf": "the PDF is damaged or cut off: {}",
    "lying.wav": "its header states 4,294,967,295 bytes of samples but it holds 6,400",
    "nan.wav": "the sound holds samples that are not numbers: {}",
    "no-samples.wav": "the sound has no samples: {}",
    "bomb.xlsx": "the XLSX workbook unpacks to too much: {}",
    "noise.jpg": "this kind of file is not read: {}: binary data",
}


def test_every_bad_file_is_refused_in_one_line(bad):
    pending = start_all([bad / name for name in EXPECTED])
    for name, one in zip(EXPECTED, pending, strict=True):
        with pytest.raises(MediaError) as caught:
            one.result()
        assert EXPECTED[name].format(bad / name) in str(check_beats(caught.value))


def test_refusals_need_no_memory(bad):
    """The giant, the bomb and the liars are refused on their headers: neither process grows beyond what its imports take."""
    program = (
        "import json, re, resource, sys, omnie.media as m\n"
        "lines = []\n"
        "for one in m.start_all(sys.argv[1:]):\n"
        "    try: one.result()\n"
        "    except m.pending.MediaError as error: lines.append(str(error))\n"
        # A process inherits the peak of the one that started it in its own figure, but not in that of its memory map.
        "own = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "print(json.dumps([len(lines), own // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024]))"
    )
    names = ["giant.png", "giant-header.png", "200m.pdf", "lying.wav", "bomb.xlsx", "zip.pdf"]
    command = [sys.executable, "-c", program, *(str(bad / name) for name in names)]
    count, parent, child = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert count == len(names)
    assert parent < 80 and child < 120  # MB; the picture alone would take 1200


def test_missing(tmp_path):
    assert "does not exist" in str(refused(tmp_path / "no.png"))
    (tmp_path / "file").write_bytes(b"x")
    assert "does not exist" in str(refused(tmp_path / "file" / "no.png"))


def test_empty(tmp_path):
    (tmp_path / "empty.png").touch()
    assert "the file is empty" in str(refused(tmp_path / "empty.png"))
    assert "the file is empty" in str(refused(b""))
    assert "the file is empty" in str(refused("data:,"))


def test_folder_pipe_device_and_link_in_a_circle(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "a folder" in str(refused(tmp_path))
    assert "a pipe" in str(refused(tmp_path / "pipe"))
    assert "a device" in str(refused("/dev/zero"))
    assert "leads in a circle" in str(refused(tmp_path / "a"))


def test_names_that_no_terminal_should_see(tmp_path):
    error = refused(str(tmp_path / "a\nb\x1b[31m\udc80.png"))
    assert "a?b?[31m?.png" in str(error)
    assert "too long" in str(refused("x" * 5000))
    assert "cannot be opened" in str(refused("a\0b"))


@pytest.mark.parametrize("address", ["http://example.org/a.png", "HTTPS://example.org", "file:///etc/hostname", "s3://b/a"])
def test_remote_addresses(address):
    assert "remote addresses are not fetched" in str(refused(address))


def test_file_over_the_size_limit(tmp_path):
    path = tmp_path / "huge.mp4"
    with path.open("wb") as file:
        file.truncate(5 << 40)  # sparse
    assert "the file is too large" in str(refused(path))
    assert "the file is too large" in str(refused(bytes(100), limits=Limits(bytes=99)))


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:;base64,####", "data:;base64,QQ", "data:;base64,Q\u00c4=="])
def test_broken_data_urls(url):
    assert "the data URL is damaged" in str(refused(url))


def test_data_urls_and_bytes_are_read(tmp_path):
    data = png(8, 4)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    for reference in (url, url.replace("image/png", "text/plain"), data, bytearray(data), memoryview(data)):
        assert load(reference).pixels.shape == (4, 8, 3)
    assert load("data:text/plain;charset=utf-8,Hall%C3%B6chen%20du") == "Hallöchen du"


def test_reference_of_a_wrong_type():
    for reference in (None, 3, ["a.png"]):
        assert "this reference is not read" in str(refused(reference))
