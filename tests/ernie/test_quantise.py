"""`omnie quantize` of published folders: the same bytes as of our own format, and the tokenizer goes along."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from omnie import checkpoint
from omnie.errors import CheckpointError
from omnie.model import int4
from omnie.model.experts import Experts
from omnie.ops.int4_linear import pack
from omnie.quantise import source
from omnie.quantise.convert import quantise

from . import chats, multimodal, published

WEIGHTS = "model.safetensors"
TEXT = ("dense-biases-untied", "experts", "experts-untied-none-shared", "experts-in-some-layers")


def check(folder: Path, target: Path) -> None:
    """Every matrix holds what `pack` makes of our loader's weights; everything else is as it was."""
    plain, packed = checkpoint.load_model(folder), checkpoint.load_model(target)
    assert not [m for m in packed.modules() if isinstance(m, Experts)]
    targets, state, got = int4.targets(plain), plain.state_dict(), packed.state_dict()
    for name, tensor in state.items():
        if name in targets:
            want = pack(tensor, 32, "plain")
            assert all(torch.equal(got[f"{name}_{part}"], value) for part, value in zip(("codes", "scale", "block"), want)), (
                name
            )
        else:
            assert torch.equal(got[name], tensor), name


@pytest.mark.parametrize("name", TEXT)
def test_text_folders(name, tmp_path):
    folder = published.write(name, tmp_path / "bf16")
    result = quantise(folder, tmp_path / "int4", rounding="plain")
    check(folder, tmp_path / "int4")
    assert checkpoint.load_model(tmp_path / "int4").config.placeholders == {}, "the mark of a published tokenizer"
    assert 0.02 < result["relative_error"] < 0.1 and result["groups"]["attention"]["bits_per_parameter"] < 5


def test_a_multimodal_folder_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "SHARD", 100_000)
    folder = multimodal.write(next(iter(multimodal.CASES)), tmp_path / "bf16")
    chats.write(folder)
    quantise(folder, tmp_path / "int4", rounding="plain")
    assert len(list((tmp_path / "int4").glob("model-*.safetensors"))) > 1
    check(folder, tmp_path / "int4")
    assert (tmp_path / "int4" / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert checkpoint.load_model(tmp_path / "int4").config.placeholders["image"] == 90


def test_a_damaged_folder_leaves_nothing(tmp_path):
    folder = published.write("experts", tmp_path / "bf16")
    weights = load_file(folder / WEIGHTS)
    name = next(key for key in weights if ".experts.3.down_proj" in key)
    weights[name].view(-1)[0] = float("inf")
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(CheckpointError, match=f"not finite: {name}"):
        quantise(folder, tmp_path / "int4")
    weights.pop(name)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(CheckpointError, match=f"missing: {name}"):
        quantise(folder, tmp_path / "int4")
    shutil.rmtree(folder)
    assert list(tmp_path.iterdir()) == []
