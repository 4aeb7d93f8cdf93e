"""The process that decodes: what it imports, how it ends, what it leaves behind, and how results pass."""

import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnie.errors import MediaError, OptionError
from omnie.media import Limits, as_part, load, load_all, start, start_all
from omnie.media.source import anonymous_file
from omnie.media.types import Audio, Document, Image, Page, Table, Video, Word
from omnie.media.wire import Reader, Writer

from .samples import clip, pdf, png, tone, wav


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[int]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(map(int, path.read_text().split()))


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def slow_picture() -> bytes:
    """One that takes long enough to be caught decoding."""
    return png(7900, 7900)


def test_child_imports_no_model_code():
    program = (
        "import sys, omnie.media.child, omnie.media.wire; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_importing_media_imports_no_numpy():
    program = "import sys; from omnie.media import load, start, Limits, as_part; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_starting_does_not_wait(tmp_path):
    data = slow_picture()
    begin = time.perf_counter()
    pending = start(data)
    started = time.perf_counter() - begin
    assert pending.result().pixels.shape[2] == 3
    assert started < 0.5 * (time.perf_counter() - begin)
    assert pending.result() is pending.result()


def test_child_is_cheap():
    """Processor time of parent and child for a small picture; the clock on the wall depends on who else is at work."""
    program = "import os, sys, omnie.media as m; m.load(bytes.fromhex(sys.argv[1])); print(sum(os.times()[2:4]))"
    command = [sys.executable, "-c", program, png(8, 8).hex()]
    seconds = min(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(2))
    assert seconds < 0.3


def test_several_files_share_a_child(tmp_path):
    before = children()
    pending = start_all([png(8, 4), wav(tone(0.1)), b"a,b\n1,2\n", b"plain"])
    assert len(children() - before) == 1
    image, audio, table, text = (one.result() for one in pending)
    assert image.pixels.shape == (4, 8, 3) and len(audio.samples) == 1600 and len(table.rows) == 2 and text == "plain"
    assert load_all([]) == []


def test_one_bad_file_does_not_spoil_its_neighbours():
    good, bad, also_good = start_all([png(8, 4), b"\0\1\2", b"text"])
    assert good.result().pixels.shape == (4, 8, 3) and also_good.result() == "text"
    with pytest.raises(MediaError, match="binary data"):
        bad.result()


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    load(png(8, 8))
    gc.collect()
    before = descriptors(), children()
    load(png(8, 8))
    for reference in (b"\0", "missing", slow_picture()):
        with pytest.raises(MediaError):
            load(reference, limits=Limits(decode_seconds=0.02))
    start(slow_picture()).cancel()
    start(slow_picture())  # dropped
    gc.collect()
    assert (descriptors(), children()) == before
    assert os.listdir(tmp_path) == []


def test_arrays_outlive_their_file_and_can_be_written_to():
    image = load(png(8, 8))
    gc.collect()
    image.pixels[:] = 7
    assert image.pixels.sum() == 7 * 8 * 8 * 3


def test_cancelled():
    pending = start(slow_picture())
    pending.cancel()
    with pytest.raises(MediaError, match="cancelled"):
        pending.result()


def test_time_limit():
    with pytest.raises(MediaError, match="takes too long to decode.*allowed: 0.01 s"):
        load(png(8, 8), limits=Limits(decode_seconds=0.01))


def test_memory_limit():
    # 120 million bytes of address space are enough to start, not for 180 million bytes of pixels.
    with pytest.raises(MediaError, match="memory|decoder fail"):
        load(slow_picture(), limits=Limits(memory_bytes=180 << 20))


def test_killed_child_is_one_clear_error():
    before = children()
    pending = start(slow_picture())
    (child,) = children() - before
    os.kill(child, 9)
    with pytest.raises(MediaError, match="made its decoder fail"):
        pending.result()


def test_child_ends_with_its_parent(tmp_path):
    (tmp_path / "slow.png").write_bytes(slow_picture())
    program = (
        "import sys, time, omnie.media as m, pathlib, os\n"
        "pending = m.start_all([sys.argv[1]] * 50)\n"
        "print(pathlib.Path(f'/proc/self/task/{os.getpid()}/children').read_text(), flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, tmp_path / "slow.png"], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.perf_counter() + 5
    while alive(child) and time.perf_counter() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def test_working_folder_is_not_imported_from(tmp_path, monkeypatch):
    """Neither a file that is called like a library nor one that lies beside the input is run."""
    for name in ("json", "numpy", "PIL", "omnie"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    assert load(png(8, 8)).pixels.shape == (8, 8, 3)


def test_limits_reach_the_child_and_are_checked():
    limits = Limits(**{field.name: index + 1 for index, field in enumerate(fields(Limits))})
    assert Limits(**json.loads(json.dumps(limits.as_dict()))) == limits
    with pytest.raises(OptionError, match="frames"):
        Limits(frames=0)
    with pytest.raises(OptionError):
        Limits(seconds=float("nan"))


def test_parts():
    media = [Image(np.zeros((1, 1, 3), np.uint8)), Audio(np.zeros(1, np.float32)), Document(()), Table("t", ()), "words"]
    assert [as_part(one).kind for one in media] == ["image", "audio", "document", "table", "text"]
    assert as_part(media[0]).value is media[0]
    with pytest.raises(TypeError):
        as_part(3)


def test_kinds_through_the_child(tmp_path):
    video, document = load_all([clip(tmp_path / "a.mp4", 1.0), pdf(["100 700 words"])])
    assert isinstance(video, Video) and isinstance(video.audio, Audio) and as_part(video).kind == "video"
    assert document.pages[0].words[0].text == "words" and isinstance(document.pages[0].words[0].box, tuple)


words = st.builds(Word, st.text(), st.tuples(*[st.floats(0, 1)] * 4))
shapes = st.tuples(st.integers(0, 3), st.integers(0, 3), st.just(3))
images = shapes.map(lambda shape: Image(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)))
sounds = st.lists(st.floats(-1, 1, width=32)).map(lambda values: Audio(np.array(values, np.float32)))
clips = st.builds(
    lambda count, sound: Video(
        np.full((count, 2, 2, 3), count, np.uint8), np.arange(count, dtype=np.float64), count / 2, sound
    ),
    st.integers(0, 3),
    st.none() | sounds,
)
documents = st.lists(st.builds(Page, st.integers(1, 9), images, st.lists(words).map(tuple))).map(lambda p: Document(tuple(p)))
tables = st.builds(Table, st.text(), st.lists(st.lists(st.text()).map(tuple)).map(tuple))


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return a == b


@given(st.lists(st.one_of(images, sounds, clips, documents, tables, st.text()), max_size=4))
def test_reading_after_writing_is_the_identity(media):
    file = anonymous_file("test")
    writer = Writer(file)
    for one in media:
        writer.add(one)
    writer.finish()
    reader = Reader(file)
    os.close(file)
    assert all(same(reader.result(index), one) for index, one in enumerate(media)) and len(reader.results) == len(media)


@pytest.mark.parametrize(
    "forged",
    [
        {"pixels": [0, "uint8", [10**6, 10**6, 3]]},
        {"pixels": [-8, "uint8", [1, 1, 3]]},
        {"pixels": [0, "object", [1, 1, 3]]},
        {"pixels": [0, "uint8", [2**62, 4, 3]]},
        {"pixels": [0, "uint8", [3]]},
        {"pixels": [0.5, "uint8", [1, 1, 3]]},
        {"type": "os.system"},
        {},
    ],
)
def test_forged_results_are_not_believed(forged):
    file = anonymous_file("test")
    writer = Writer(file)
    writer.add(Image(np.zeros((1, 1, 3), np.uint8)))
    writer.results[0] |= forged
    if not forged:
        del writer.results[0]["type"]
    writer.finish()
    with pytest.raises((ValueError, KeyError, TypeError)):
        Reader(file).result(0)
    os.close(file)
