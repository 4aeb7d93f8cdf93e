"""Transformers' own processor over the chats of `chats.py`, in a process that sees a stand-in for torchvision.

Use: `python their_processor.py FOLDER OUT`; writes one `NAME.npz` a chat: the arrays, the rendered text the
same with thinking switched on and off, and the frames by the other filter.
"""

import copy
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["STANDIN_FILTER"] = "pillow"
sys.path[:0] = [str(Path(__file__).parent / "standin"), str(Path(__file__).parent)]

import numpy as np  # noqa: E402
from chats import CHATS, FPS, clip, picture  # noqa: E402
from transformers import AutoTokenizer, Ernie4_5_VLMoeProcessor  # noqa: E402
from transformers.models.ernie4_5_vl_moe.image_processing_pil_ernie4_5_vl_moe import Ernie4_5_VLMoeImageProcessorPil  # noqa: E402
from transformers.models.ernie4_5_vl_moe.video_processing_ernie4_5_vl_moe import Ernie4_5_VLMoeVideoProcessor  # noqa: E402
from transformers.video_utils import VideoMetadata  # noqa: E402


def main(folder: str, out: str) -> None:
    processor = Ernie4_5_VLMoeProcessor(
        image_processor=Ernie4_5_VLMoeImageProcessorPil.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        video_processor=Ernie4_5_VLMoeVideoProcessor.from_pretrained(folder),
        chat_template=(Path(folder) / "chat_template.jinja").read_text("utf-8"),
    )
    for name, messages in CHATS.items():
        images, videos = media(messages)
        metadata = [VideoMetadata(total_num_frames=len(it), fps=FPS, frames_indices=list(range(len(it)))) for it in videos]
        how = {"videos_kwargs": {"video_metadata": metadata}} if videos else {}

        def call(text: str, images=images, videos=videos, how=how) -> dict[str, np.ndarray]:
            given = {"images": images or None, "videos": copy.deepcopy(videos) or None}
            return {
                key: np.asarray(value) for key, value in processor(text=[text], return_tensors="np", **given, **how).items()
            }

        result = {f"text{suffix}": np.array(rendered(processor, messages, **switch)) for suffix, switch in SWITCHES.items()}
        result |= {f"ids{suffix}": call(str(result[f"text{suffix}"]))["input_ids"] for suffix in SWITCHES if suffix}
        result |= call(str(result["text"]))
        os.environ["STANDIN_FILTER"] = "torch"
        if videos:
            result["frames_by_torch"] = call(str(result["text"]))["pixel_values_videos"]
        os.environ["STANDIN_FILTER"] = "pillow"
        np.savez(Path(out) / f"{name}.npz", **result)


SWITCHES = {"": {}, "_on": {"enable_thinking": True}, "_off": {"enable_thinking": False}}


def rendered(processor: Ernie4_5_VLMoeProcessor, messages: list, **switch: bool) -> str:
    return processor.apply_chat_template(copy.deepcopy(messages), add_generation_prompt=True, tokenize=False, **switch)


def media(messages: list) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images, videos = [], []
    for item in (item for message in messages if isinstance(message["content"], list) for item in message["content"]):
        if item["type"] == "image":
            images.append(picture(*item["image"], seed=len(images)))
        elif item["type"] == "video":
            videos.append(clip(*item["video"], seed=len(videos)))
    return images, videos


if __name__ == "__main__":
    main(*sys.argv[1:])
