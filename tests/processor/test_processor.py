"""`OmnieProcessor` says what the `Encoder` says, in Transformers' words."""

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from PIL import Image as Pillow

from omnie.errors import InputError, OptionError
from omnie.messages import Part, user
from omnie.processor import OmnieProcessor, tokens

from .conftest import clip, picture, sound


@pytest.fixture(scope="module")
def processor(encoder) -> OmnieProcessor:
    return OmnieProcessor.of(encoder)


def chat_with(*content):
    return [{"role": "user", "content": [*content, {"type": "text", "text": "Was ist <|pad|> das?"}]}]


CASES = {
    "text": ((), ()),
    "image": (({"type": "image", "image": picture(90, 50)},), (Part("image", picture(90, 50)),)),
    "audio": (({"type": "audio", "audio": sound(5000).samples},), (Part("audio", sound(5000)),)),
    "video": (({"type": "video", "video": clip(3, audio=sound(20_000))},), (Part("video", clip(3, audio=sound(20_000))),)),
    "frames": (({"type": "video", "video": clip(3).frames, "fps": 2},), (Part("video", clip(3)),)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_chat_becomes_what_the_encoder_makes(processor, name):
    entries, parts = CASES[name]
    made = processor.apply_chat_template(
        chat_with(*entries), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    expected = processor.encoder.encode([user(*parts, "Was ist <|pad|> das?")])
    assert set(made) == {*expected, "attention_mask"} - {"labels"}
    for key in made:
        value = expected[key] if key in expected else np.ones_like(expected["input_ids"])
        batched = value[None] if key in ("input_ids", "attention_mask", "mm_token_type_ids", "position_ids") else value
        torch.testing.assert_close(made[key], torch.from_numpy(batched), rtol=0, atol=0)
    assert set(made) <= set(processor.model_input_names)


def test_text_with_placeholders_becomes_what_the_chat_becomes(processor):
    entries = [entry for name in ("image", "audio", "video") for entry in CASES[name][0]]
    by_chat = processor.apply_chat_template(chat_with(*entries), tokenize=True, return_dict=True, return_tensors="np")
    media = {"images": [picture(90, 50)], "audio": sound(5000), "videos": clip(3, audio=sound(20_000))}
    bare = "<|image@placeholder|><|audio@placeholder|><|video@placeholder|>"
    wrapped = "<|IMAGE_START|><|image@placeholder|><|IMAGE_END|><|AUDIO_START|><|audio@placeholder|><|AUDIO_END|>"
    for form in (bare, wrapped + "<|VIDEO_START|><|video@placeholder|><|VIDEO_END|>"):
        text = f"<|begin_of_sentence|><|user|>{form}Was ist <\\|pad|> das?<|end_of_sentence|>"
        by_text = processor(text=text, return_tensors="np", **media)
        assert by_text.keys() == by_chat.keys()
        assert all(np.array_equal(by_text[key], by_chat[key]) for key in by_chat)
    rendered = processor.apply_chat_template(chat_with(*entries))
    assert np.array_equal(processor(text=rendered, **media)["input_ids"], by_chat["input_ids"])


def test_a_batch_pads_left_and_keeps_the_order_of_the_items(processor):
    text = ["<|image@placeholder|>a", "longer text <|image@placeholder|><|image@placeholder|>"]
    pictures = [Pillow.fromarray(picture(40 * n, 90).pixels) for n in (1, 2, 3)]
    flat = processor(text=text, images=pictures, return_tensors="pt", padding=True)
    nested = processor(text=text, images=[pictures[:1], pictures[1:]], return_tensors="pt")
    assert torch.equal(flat["pixel_values"], nested["pixel_values"]) and len(flat["image_grid_thw"]) == 3
    assert flat["attention_mask"][0, 0] == 0 and flat["attention_mask"][:, -1].all()


def test_save_and_load_is_the_identity(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    again = OmnieProcessor.from_pretrained(tmp_path)
    assert again.settings == processor.settings
    assert again.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    one, two = (each.apply_chat_template(chat_with(), tokenize=True, return_dict=True) for each in (processor, again))
    assert np.array_equal(one["input_ids"], two["input_ids"])
    first = (tmp_path / "tokenizer.json").read_bytes()
    again.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == first
    assert OmnieProcessor.from_pretrained(tmp_path, context=50).settings.context == 50


def test_labels_and_masks_on_request(processor):
    chat = [*chat_with(), {"role": "assistant", "content": "Ja."}]
    made = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_labels=True, return_assistant_tokens_mask=True
    )
    learned = made["labels"][0][made["assistant_masks"][0] == 1]
    assert processor.decode(learned, skip_special_tokens=False) == "Ja.<|end_of_sentence|>"


def test_tool_calls_in_openai_form(processor):
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chat = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "2"}]
    rendered = processor.apply_chat_template(chat)
    assert '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>' in rendered
    assert "<tool_response>2</tool_response>" in rendered


def test_tokens_are_counted_without_decoding(processor):
    sizes, lengths = [(90, 50), (320, 448), (5, 900)], [1, 16_000, 12_345]
    counts = processor._get_num_multimodal_tokens(image_sizes=sizes, video_sizes=[(3, 72, 128)], audio_lengths=lengths)
    images = processor(
        text=processor.image_token * 0 + "x" + "y".join([processor.image_token] * 3), images=[picture(*s) for s in sizes]
    )
    sounds = [processor(text=processor.audio_token, audio=sound(n)) for n in lengths]
    assert sum(counts["num_image_tokens"]) == int((images["input_ids"] == tokens.ID[tokens.IMAGE]).sum())
    assert sum(counts["num_image_patches"]) == len(images["pixel_values"])
    assert counts["num_audio_tokens"] == [int((row["input_ids"] == tokens.ID[tokens.AUDIO]).sum()) for row in sounds]
    shown = processor(text=processor.video_token, videos=clip(3))
    assert counts["num_video_tokens"] == [int((shown["input_ids"] == tokens.ID[tokens.VIDEO]).sum())]
    assert processor.replace_image_token(images, 0) == processor.image_token * counts["num_image_tokens"][0]


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"text": "<|image@placeholder|>"}, InputError, "placeholder without image"),
        ({"text": "x", "images": picture(32, 32)}, InputError, "more image items"),
        ({"text": "<|IMAGE_START|>x", "images": picture(32, 32)}, InputError, "not closed"),
        ({"images": picture(32, 32)}, InputError, "no text"),
        ({"text": "x", "padding_side": "right"}, OptionError, "padding_side"),
        ({"text": "x", "truncation": True}, OptionError, "truncation"),
        ({"text": "x", "colour": 3}, OptionError, "unknown option"),
        ({"text": "x", "return_tensors": "tf"}, OptionError, "tensor format"),
        ({"text": "<|video@placeholder|>", "videos": clip(2).frames}, InputError, "fps"),
        ({"text": "<|audio@placeholder|>", "audio": {"array": [0.0], "sampling_rate": 8000}}, InputError, "another rate"),
    ],
    ids=lambda value: None if isinstance(value, dict) else getattr(value, "__name__", value),
)
def test_what_cannot_be_obeyed_is_an_error(processor, arguments, error, reason):
    with pytest.raises(error, match=reason):
        processor(**arguments)


def test_files_are_opened_by_media(processor, tmp_path):
    Pillow.fromarray(picture(64, 64).pixels).save(tmp_path / "a.png")
    path = {"type": "image", "path": str(tmp_path / "a.png")}
    made = processor.apply_chat_template(chat_with(path), tokenize=True, return_dict=True)
    assert np.array_equal(
        made["pixel_values"], processor.encoder.encode([user(Part("image", picture(64, 64)))])["pixel_values"]
    )
