"""What every test shares: one thread for torch, because toy-sized matrices on busy cores spend their time in barriers, and
Triton's interpreter, which has to be chosen before anything imports Triton (Transformers does).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRITON_INTERPRET", "1")

from pathlib import Path

import pytest

NANO = Path(__file__).parents[1] / "src" / "omnie" / "nano"


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory) -> Path:
    """A model folder with an untrained toy, whose weights are large enough that its answers vary, and nano's tokenizer."""
    import torch

    from omnie import checkpoint
    from omnie.model.config import architecture
    from omnie.model.omni import Omni
    from omnie.processor import Encoder

    torch.manual_seed(1)
    toy = Omni(architecture("toy"))
    for parameter in toy.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("toy")
    checkpoint.save(toy, Encoder.load(NANO), folder)
    return folder
