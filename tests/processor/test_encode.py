"""Laws of the arrays: counts agree with `omnie.inputs`, positions and labels with the tokens, batches with single rows."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from omnie import inputs
from omnie.errors import InputError
from omnie.media.types import Document, Image
from omnie.messages import Message, Part, ToolCall, assistant, text, user
from omnie.processor import Encoder, ProcessorSettings, tokens
from omnie.processor.encode import Layout, collate
from omnie.processor.image import grid_of_picture

from .conftest import clip, document, picture, sound, table

PARTS = {
    "text": [],
    "image": [Part("image", picture(100, 333))],
    "two images": [Part("image", picture(100, 333)), Part("image", picture(33, 65))],
    "audio": [Part("audio", sound(16_123))],
    "clip": [Part("video", clip(7))],
    "clip with sound": [Part("video", clip(7, audio=sound(56_001)))],
    "document": [Part("document", document())],
    "all": [
        Part("audio", sound(5000)), Part("video", clip(3, audio=sound(24_000))), Part("image", picture(64, 64)),
        Part("document", document()), Part("table", table()), Part("video", clip(2)),
    ],
}  # fmt: skip


@pytest.fixture(params=PARTS.values(), ids=PARTS.keys())
def encoded(request, encoder: Encoder) -> dict[str, np.ndarray]:
    return encoder.encode([user(*request.param, "Was ist das?")])


def count(encoded: dict[str, np.ndarray], modality: int) -> int:
    return int((encoded["mm_token_type_ids"] == modality).sum())


def test_token_counts_agree_with_the_features(encoded):
    images, videos = encoded.get("image_grid_thw", []), encoded.get("video_grid_thw", [])
    assert count(encoded, inputs.IMAGE) == sum(map(inputs.image_tokens, images))
    assert count(encoded, inputs.VIDEO) == sum(map(inputs.video_tokens, videos))
    assert count(encoded, inputs.AUDIO) == sum(inputs.audio_tokens(int(n)) for n in encoded.get("audio_lengths", []))
    assert len(encoded.get("pixel_values", [])) == sum(int(np.prod(grid)) for grid in images)
    assert len(encoded.get("pixel_values_videos", [])) == sum(int(np.prod(grid)) for grid in videos)
    assert len(encoded.get("input_features", [])) == sum(encoded.get("audio_lengths", []))


def test_types_of_arrays(encoded):
    for name, array in encoded.items():
        floating = name in ("pixel_values", "pixel_values_videos", "input_features")
        assert array.dtype == (np.float32 if floating else np.int64), name


def test_positions(encoded):
    positions, types = encoded["position_ids"], encoded["mm_token_type_ids"]
    flat = (types == inputs.TEXT) | (types == inputs.AUDIO)
    assert positions.shape == (len(types), 3)
    assert (positions[flat] == positions[flat][:, :1]).all()
    assert (np.diff(positions[flat][:, 0]) > 0).all()
    assert (positions[0] == 0).all()


def test_an_image_spreads_over_height_and_width(encoder):
    encoded = encoder.encode([user(Part("image", picture(128, 192)), "x")])
    at = encoded["position_ids"][encoded["mm_token_type_ids"] == inputs.IMAGE]
    start = at[0, 0]
    rows, columns = (int(patches) // inputs.SPATIAL_MERGE for patches in encoded["image_grid_thw"][0, 1:])
    assert (rows, columns) == (6, 9)  # enlarged from 4 x 6
    assert (at - start).tolist() == [[0, row, column] for row in range(rows) for column in range(columns)]
    after = encoded["position_ids"][np.flatnonzero(encoded["mm_token_type_ids"] == inputs.IMAGE)[-1] + 1]
    assert (after == start + columns).all()


def test_a_clip_interleaves_stamps_frames_and_sound(encoder):
    rendered = encoder.render([user(Part("video", clip(3, audio=sound(24_000))))])
    frames, sound_ = tokens.VIDEO * 8, tokens.AUDIO
    assert (
        f"<|VIDEO_START|><|TIME_START|>0.0<|TIME_END|>{frames}{sound_ * 13}"
        f"<|TIME_START|>1.0<|TIME_END|>{frames}{sound_ * 6}<|VIDEO_END|>"
    ) in rendered
    silent = encoder.render([user(Part("video", clip(3)))])
    assert f"<|TIME_START|>1.0<|TIME_END|>{frames}<|VIDEO_END|>" in silent and tokens.AUDIO not in silent


def test_a_page_is_its_number_its_picture_and_its_lines(encoder):
    rendered = encoder.render([user(Part("document", document()))])
    height, width = document().pages[0].image.pixels.shape[:2]
    most = encoder.settings.image_max_pixels, encoder.settings.scan_max_pixels
    grids = [grid_of_picture(height, width, encoder.settings, pixels) for pixels in most]
    layered, scanned = (tokens.IMAGE * inputs.image_tokens(grid) for grid in grids)
    first = f"<|PAGE_START|>1<|IMAGE_START|>{layered}<|IMAGE_END|>Guten Tag\nEnde<|PAGE_END|>"
    assert f"{first}<|PAGE_START|>2<|IMAGE_START|>{scanned}<|IMAGE_END|><|PAGE_END|><|end_of_sentence|>" in rendered


@pytest.mark.parametrize(("pages", "side"), [(1, 96), (2, 96), (4, 64), (40, 64)])
def test_a_page_without_a_text_layer_is_looked_at_larger_unless_there_are_many(encoder, pages, side):
    settings = replace(encoder.settings, image_min_pixels=1, image_max_pixels=64 * 64, scan_max_pixels=96 * 96, context=24)
    scan, layered = document().pages[1], document().pages[0]
    picture = Image(np.zeros((400, 400, 3), np.uint8))
    layout = Layout(settings)
    every = [replace(page, image=picture) for page in [*[scan] * pages, layered]]
    layout.add(Part("document", Document(tuple(every))))
    assert [rows * settings.patch for _, (_, rows, _) in layout.images] == [side] * pages + [64]


def test_a_table_is_records(encoder):
    assert "<|TABLE_START|>Monat | Wert\nMai | Wert: 3 4<|TABLE_END|>" in encoder.render([user(Part("table", table()))])


def test_only_the_assistants_content_is_learned(encoder):
    call = Message("assistant", (text("Ja."),), (ToolCall("f", {}),))
    conversation = [Message("system", (text("s"),)), user("u"), call, Message("tool", (text("t"),)), assistant("Ende")]
    encoded = encoder.encode(conversation, generation_prompt=False)
    learned = encoded["labels"][encoded["labels"] >= 0]
    assert encoder.decode(learned, special=True) == (
        'Ja.<tool_call>{"name": "f", "arguments": {}}</tool_call><|end_of_sentence|>Ende<|end_of_sentence|>'
    )
    where = encoded["labels"] >= 0
    assert (encoded["labels"][where] == encoded["input_ids"][where]).all()
    assert (encoder.encode([user("u")])["labels"] == -100).all()


def test_an_overlong_conversation_says_what_is_long(tokenizer):
    encoder = Encoder(tokenizer, ProcessorSettings(context=100))
    with pytest.raises(InputError, match=r"image 2: 317.*text 1: .*at most 100 tokens") as caught:
        encoder.encode([user(Part("image", picture(32, 32)), Part("image", picture(320, 448)), "Was?")])
    assert "\n" not in str(caught.value)


def test_the_length_is_checked_before_anything_is_computed(tokenizer):
    encoder = Encoder(tokenizer, ProcessorSettings(context=1000))
    hour = Part("audio", type(sound(1))(np.broadcast_to(np.float32(0), (57_600_000,))))  # an hour that takes no memory
    with pytest.raises(InputError, match="audio 1: 45002"):
        encoder.encode([user(hour)])


@pytest.mark.parametrize("part", [Part("audio", sound(0)), Part("image", type(picture(1, 1))(np.zeros((0, 5, 3), np.uint8)))])
def test_empty_media_are_refused(encoder, part):
    with pytest.raises(InputError, match="empty"):
        encoder.encode([user(part)])


def test_a_batch_is_its_rows_padded_on_the_left(encoder):
    rows = [encoder.encode([user(*parts, "Was ist das?" * n)]) for n, parts in enumerate(PARTS.values(), 1)]
    batch = collate(rows)
    for n, row in enumerate(rows):
        real = batch["attention_mask"][n] == 1
        assert real.tolist() == sorted(real.tolist()) and real.sum() == len(row["input_ids"])
        for name in ("input_ids", "mm_token_type_ids", "position_ids", "labels"):
            np.testing.assert_array_equal(batch[name][n][real], row[name])
    for name in ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw", "input_features", "audio_lengths"):
        np.testing.assert_array_equal(batch[name], np.concatenate([row[name] for row in rows if name in row]))


def test_the_encoder_needs_neither_torch_nor_transformers():
    program = (
        "import sys; from omnie.processor import Encoder; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
