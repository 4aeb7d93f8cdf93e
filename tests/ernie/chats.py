"""Chats with pictures and clips for both sides, and a published folder's files but for weights. Needs no torch and no omnie."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageFont
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = [
    "<unk>", "<s>", "</s>", "<|begin_of_sentence|>", "<|end_of_sentence|>", "<mask:1>", "<|IMAGE_PLACEHOLDER|>",
    "<|IMAGE_START|>", "<|IMAGE_END|>", "<|VIDEO_PLACEHOLDER|>", "<|VIDEO_START|>", "<|VIDEO_END|>", "<think>", "</think>",
]  # fmt: skip
VOCABULARY = 400
TEXTS = ["What does the picture show? User: Assistant: Picture 1: Video 2: the clip shows a red car\n Was zeigt das Bild?"]
CONFIG = {
    "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>", "cls_token": "<|begin_of_sentence|>",
    "sep_token": "<|end_of_sentence|>", "mask_token": "<mask:1>", "image_token": "<|IMAGE_PLACEHOLDER|>",
    "image_start_token": "<|IMAGE_START|>", "image_end_token": "<|IMAGE_END|>", "video_token": "<|VIDEO_PLACEHOLDER|>",
    "video_start_token": "<|VIDEO_START|>", "video_end_token": "<|VIDEO_END|>", "tokenizer_class": "TokenizersBackend",
}  # fmt: skip
TEMPLATE = """{%- set seen = namespace(pictures=0, clips=0) -%}
{{- '<|begin_of_sentence|>' -}}
{%- for message in messages -%}
    {%- if message.role == 'user' %}{{- 'User: ' -}}{%- elif message.role == 'assistant' %}{{- '\nAssistant: ' -}}{%- endif -%}
    {%- if message.content is string -%}
        {{- message.content -}}
    {%- else -%}
        {%- for item in message.content -%}
            {%- if item.type == 'text' -%}
                {{- item.text -}}
            {%- elif item.type == 'image' -%}
                {%- set seen.pictures = seen.pictures + 1 -%}
                Picture {{ seen.pictures }}:<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>
            {%- elif item.type == 'video' -%}
                {%- set seen.clips = seen.clips + 1 -%}
                Video {{ seen.clips }}:<|VIDEO_START|><|VIDEO_PLACEHOLDER|><|VIDEO_END|>
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if message.role == 'system' %}{{- '\n' -}}{%- endif -%}
    {%- if message.role == 'assistant' %}{{- '<|end_of_sentence|>' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt is not defined or add_generation_prompt is true -%}
    {{- '\nAssistant: ' -}}
    {%- if enable_thinking is defined and enable_thinking is true %}{{- '<think>' -}}
    {%- else %}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
{%- endif -%}"""
PICTURES = {
    "patch_size": 4, "merge_size": 2, "temporal_patch_size": 1, "size": {"shortest_edge": 16 * 16, "longest_edge": 48 * 48},
    "image_processor_type": "Ernie4_5_VLMoeImageProcessorPil",
}  # fmt: skip
CLIPS = {
    "patch_size": 4, "merge_size": 2, "temporal_patch_size": 2, "size": {"shortest_edge": 24 * 24, "longest_edge": 40 * 40},
    "min_frames": 2, "max_frames": 5, "draw_on_frames": True, "font": "Roboto-Regular.ttf",
    "video_processor_type": "Ernie4_5_VLMoeVideoProcessor",
}  # fmt: skip


def tokenizer() -> Tokenizer:
    """Byte-pair encoding as the published one: no blank is set before a text, unknown letters become bytes."""
    result = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    result.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="never", split=False)
    result.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    result.train_from_iterator(TEXTS * 3, trainer)
    data = json.loads(result.to_str())
    missing = [token for token in bytes_ if token not in data["model"]["vocab"]]
    start = len(data["model"]["vocab"])
    data["model"]["vocab"] |= {token: start + n for n, token in enumerate(missing)}
    return Tokenizer.from_str(json.dumps(data))


def write(folder: Path, pictures: dict[str, Any] = PICTURES, clips: dict[str, Any] = CLIPS) -> Tokenizer:
    """Tokenizer, template, processors' settings and the font."""
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIG), "utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    combined = {"processor_class": "Ernie4_5_VLMoeProcessor", "image_processor": pictures, "video_processor": clips}
    (folder / "processor_config.json").write_text(json.dumps(combined), "utf-8")
    (folder / "Roboto-Regular.ttf").write_bytes(ImageFont.load_default(10).font_bytes)
    return made


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [H, W, 3]: smooth colours with some noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / (3 + seed) + c) * np.cos(columns / (5 + c)) for c in range(3)]
    return (127 + 90 * np.stack(waves, -1) + random.normal(0, 12, (height, width, 3))).clip(0, 255).astype(np.uint8)


def clip(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [F, H, W, 3]."""
    return np.stack([picture(height, width, seed + n) for n in range(frames)])


FPS = 3.0
CHATS: dict[str, list[dict[str, Any]]] = {
    "text": [{"role": "user", "content": "What is a car?"}],
    "turns": [
        {"role": "system", "content": "Be brief: \u4f60\u597d \U0001f697."},
        {"role": "user", "content": "Was zeigt das Bild?"},
        {"role": "assistant", "content": "A red car."},
        {"role": "user", "content": "And then?"},
    ],
    "image": [{"role": "user", "content": [{"type": "image", "image": (60, 80)}, {"type": "text", "text": "What is it?"}]}],
    "images-of-many-sizes": [
        {"role": "user", "content": [
            {"type": "image", "image": (9, 7)}, {"type": "text", "text": " and "}, {"type": "image", "image": (64, 20)},
            {"type": "image", "image": (16, 24)}, {"type": "text", "text": "?"},
        ]},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": [{"type": "image", "image": (200, 31)}, {"type": "text", "text": "And this?"}]},
    ],
    "video": [{"role": "user", "content": [{"type": "video", "video": (4, 40, 60)}, {"type": "text", "text": "What?"}]}],
    "odd-video-and-image": [
        {"role": "user", "content": [
            {"type": "video", "video": (3, 33, 50)}, {"type": "image", "image": (30, 30)}, {"type": "text", "text": "What?"},
        ]},
    ],
    "sampled-videos": [
        {"role": "user", "content": [
            {"type": "video", "video": (17, 24, 24)}, {"type": "video", "video": (8, 50, 30)}, {"type": "text", "text": "?"},
        ]},
    ],
}  # fmt: skip
"""Name -> messages as Transformers takes them, media given by their sizes."""
