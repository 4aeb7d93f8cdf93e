"""Loading a published folder takes the memory of the model and little more: one stored tensor at a time."""

import subprocess
import sys

import pytest
import torch
from transformers import Ernie4_5_VLMoeConfig

from omnie import checkpoint, foreign
from omnie.model.omni import Omni

from .multimodal import TEXT_CONFIG, VISION_CONFIG

MEASURE = """
import re, sys, torch
from pathlib import Path
from omnie import checkpoint
from omnie.model import int4, omni
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
model = checkpoint.load_model(sys.argv[1], dtype=torch.bfloat16)
print(peak() - before, sum(p.numel() * p.element_size() for p in model.parameters()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's account of memory")
def test_loading_takes_little_more_than_the_model(tmp_path):
    sizes = {"hidden_size": 512, "moe_num_experts": 32, "moe_intermediate_size": [256, 128], "vocab_size": 20_000}
    ids = {
        f"{name}_token_id": n
        for n, name in enumerate(("image", "image_start", "image_end", "video", "video_start", "video_end"))
    }
    rope = {"rope_parameters": {"rope_type": "default", "mrope_section": [22, 22, 20]}}
    config = Ernie4_5_VLMoeConfig(text_config=TEXT_CONFIG | sizes | rope, vision_config=VISION_CONFIG, **ids)
    with torch.device("meta"):
        model = Omni(foreign.READERS["ernie4_5_vl_moe"](config.to_dict()))
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(0.01)
    checkpoint.save_as_ernie(model, tmp_path, shard_bytes=40 << 20)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peak, size = map(int, done.stdout.split())
    assert size > 80e6 and peak < size + 30e6
