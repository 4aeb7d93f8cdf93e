"""Token ids, routes, positions and pixel values of published folders equal those of Transformers' own processor.

Transformers' video processor needs torchvision, which is not installed: it runs in a process with a stand-in (`standin/`), so
that its sampling, time stamps, patches and normalisation are its own. With Pillow's filter in the stand-in everything is equal;
with the operator that torchvision calls, the two filters round some pixels differently.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omnie.media.types import Image, Video
from omnie.messages import Message, Part, text
from omnie.processor.ernie import ErnieEncoder, Facts

from .chats import CHATS, CLIPS, FPS, VOCABULARY, clip, picture, write

IDS = {"image": 6, "image_start": 7, "image_end": 8, "video": 9, "video_start": 10, "video_end": 11}
FACTS = Facts(context=4096, vocabulary=VOCABULARY, placeholders=IDS)
LEVEL = 1 / 255 / 0.26
"""What one of 256 levels of a pixel is after normalisation, at most."""
SCRIPT = Path(__file__).parent / "their_processor.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("published")
    write(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder) -> ErnieEncoder:
    return ErnieEncoder.load(folder, FACTS)


@pytest.fixture(scope="module")
def theirs(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("theirs")
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder), str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: dict(np.load(out / f"{name}.npz")) for name in CHATS}


def messages(name: str) -> list[Message]:
    """A chat in our terms."""
    images, videos, result = 0, 0, []
    for message in CHATS[name]:
        parts = []
        content = message["content"]
        for item in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if item["type"] == "text":
                parts.append(text(item["text"]))
            elif item["type"] == "image":
                parts.append(Part("image", Image(picture(*item["image"], seed=images))))
                images += 1
            else:
                frames = clip(*item["video"], seed=videos)
                parts.append(Part("video", Video(frames, np.arange(len(frames)) / FPS, len(frames) / FPS)))
                videos += 1
        result.append(Message(message["role"], tuple(parts)))
    return result


@pytest.mark.parametrize("name", CHATS)
def test_the_rendered_chat_is_equal(encoder, theirs, name):
    assert encoder.render(messages(name)) == str(theirs[name]["text"])


@pytest.mark.parametrize("name", CHATS)
def test_token_ids_and_what_follows_from_them_are_equal(encoder, theirs, name):
    ours, other = encoder.encode(messages(name)), theirs[name]
    for key in ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids"):
        assert np.array_equal(ours[key], other[key][0]), key


@pytest.mark.parametrize("name", CHATS)
def test_pixel_values_and_grids_are_equal(encoder, theirs, name):
    ours, other = encoder.encode(messages(name)), theirs[name]
    for key in ("image_grid_thw", "video_grid_thw", "pixel_values", "pixel_values_videos"):
        assert (key in ours) == (key in other), key
        if key in ours:
            assert ours[key].dtype == other[key].dtype and np.array_equal(ours[key], other[key]), key


@pytest.mark.parametrize("name", [name for name in CHATS if "video" in name])
def test_frames_differ_from_torchvisions_filter_by_single_levels(encoder, theirs, name):
    difference = np.abs(encoder.encode(messages(name))["pixel_values_videos"] - theirs[name]["frames_by_torch"])
    assert difference.max() <= 1.01 * LEVEL and (difference > 0).mean() < 0.25


@pytest.mark.parametrize("switch", ["on", "off"])
def test_thinking_is_switched_as_in_transformers(encoder, theirs, switch):
    ours = {how: encoder.with_thinking(how == "on").encode(messages("turns"))["input_ids"] for how in ("on", "off")}
    assert np.array_equal(ours[switch], theirs["turns"][f"ids_{switch}"][0])
    assert not np.array_equal(ours["on"], ours["off"])


def test_a_time_stamp_is_drawn_on_every_frame(folder, tmp_path):
    bare = shutil.copytree(folder, tmp_path / "bare")
    values = json.loads((bare / "processor_config.json").read_text("utf-8"))
    values["video_processor"] = CLIPS | {"draw_on_frames": False}
    (bare / "processor_config.json").write_text(json.dumps(values), "utf-8")
    with_stamps, without = (ErnieEncoder.load(it, FACTS).encode(messages("video")) for it in (folder, bare))
    frames = [it["pixel_values_videos"].reshape(4, -1) for it in (with_stamps, without)]
    assert (frames[0] != frames[1]).any(axis=1).all()
