"""`omnie extend --audio`: the same logits for text, images and video, and a model that takes sound and learns from it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from laws import assert_close
from omnie import checkpoint
from omnie.cli.main import main
from omnie.engine.request import SamplingOptions
from omnie.errors import CheckpointError, OptionError
from omnie.extend import TOKEN, extend
from omnie.media.types import Audio, Image, Video
from omnie.messages import Part, text, user
from omnie.model.config import architecture
from omnie.model.hub import OmnieForConditionalGeneration
from omnie.model.omni import Omni
from omnie.processor import Encoder
from omnie.runtime import Runtime

from .chats import VOCABULARY, clip, picture
from .whole import write, write_text

NANO = Path(checkpoint.__file__).parents[1] / "nano"
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "block_frames": 20}
EXPERTS = {"experts": 4, "width": 8, "top_k": 2}
FEW = SamplingOptions(max_tokens=4)
SOUND = Part("audio", Audio(np.sin(np.arange(4000) / 9).astype(np.float32)))
MUTE = Video(clip(4, 30, 40), np.arange(4) / 2, 2.0)
LOUD = Video(MUTE.frames, MUTE.times, MUTE.seconds, SOUND.value)
PROMPTS = {
    "text": [text("What is a car?")],
    "image": [Part("image", Image(picture(40, 56))), text("What?")],
    "video": [Part("video", MUTE), text("What?")],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def target(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("target") / "hears"
    extend(source, folder, audio=SMALL, experts=EXPERTS)
    return folder


def tensors(encoder, parts) -> dict[str, torch.Tensor]:
    inputs = encoder.encode([user(*parts)])
    rows = ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids", "position_ids")
    return {name: torch.from_numpy(array)[None] if name in rows else torch.from_numpy(array) for name, array in inputs.items()}


@pytest.mark.parametrize("what", PROMPTS)
def test_no_logit_changes(source, target, what):
    before, after = (checkpoint.load(folder) for folder in (source, target))
    inputs = [tensors(encoder, PROMPTS[what]) for _, encoder in (before, after)]
    assert all(torch.equal(inputs[0][name], inputs[1][name]) for name in inputs[0])
    with torch.inference_mode():
        logits = [model(**given).logits for (model, _), given in zip((before, after), inputs)]
    assert torch.equal(*logits)


@pytest.mark.parametrize(
    "parts", [[SOUND], [SOUND, text("What?")], [Part("video", LOUD), text("What?")]], ids=["sound", "both", "clip"]
)
def test_it_hears(target, parts):
    runtime = Runtime(target)
    usage = runtime.answer([user(*parts)], FEW).usage
    assert usage.media["audio"] == 4  # 250 ms, 12.5 tokens a second
    quiet = [Part("audio", Audio(np.zeros(4000, dtype=np.float32))) if part is SOUND else part for part in parts]
    if quiet != parts:
        with torch.inference_mode():
            logits = [runtime.model(**tensors(runtime.processor, some)).logits for some in (parts, quiet)]
        assert not torch.equal(*logits)


def test_only_new_weights_learn_from_sound(target):
    model, encoder = checkpoint.load(target)
    inputs = tensors(encoder, [SOUND, text("What?")])
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()}
    assert any(name.startswith("model.audio.") for name in reached) and any(
        ".groups.audio.experts." in name for name in reached
    )
    assert not any(".groups.vision." in name for name in reached)


def test_transformers_face_loads_it(target):
    model = OmnieForConditionalGeneration.from_pretrained(target).eval()
    plain, encoder = checkpoint.load(target)
    inputs = tensors(encoder, PROMPTS["image"])
    with torch.inference_mode():
        want = plain(**inputs).logits
        inputs.pop("position_ids")
        got = model(**inputs).logits
    assert model.config.image_token_id == 6 and torch.allclose(got, want, atol=1e-5)


def test_the_command_says_what_it_wrote(source, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["extend", str(source), str(tmp_path / "out"), "--audio", "--json"])
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert not stop.value.code and err == "" and report["audio_token"] == TOKEN and 0 < report["new"] < report["total"]
    with pytest.raises(SystemExit) as stop:
        main(["extend", str(source), str(tmp_path / "out"), "--audio"])
    assert stop.value.code == 2 and "--force" in capsys.readouterr().err


def test_a_text_model_can_be_extended_too(tmp_path):
    source = write_text(tmp_path)
    report = extend(source, tmp_path / "out", audio=SMALL, experts=EXPERTS)
    assert report["new"] > 0 and Runtime(tmp_path / "out").answer([user(SOUND)], FEW).usage.media["audio"] == 4
    with pytest.raises(OptionError, match="hears already"):
        extend(tmp_path / "out", tmp_path / "again")


def test_a_token_may_be_chosen_but_not_one_in_use(source, tmp_path):
    assert extend(source, tmp_path / "a", audio=SMALL, experts=EXPERTS, token="<mask:1>")["id"] == 5
    with pytest.raises(OptionError, match="in use"):
        extend(source, tmp_path / "b", audio=SMALL, token="<|IMAGE_START|>")


def test_without_room_an_unused_token_is_taken(source, tmp_path):
    encoder = checkpoint.load_encoder(source)
    encoder.tokenizer.backend.add_special_tokens([f"<|IMAGE_UNUSE:{n}|>" for n in range(VOCABULARY - len(encoder.tokenizer))])
    encoder.tokenizer.save(source)
    report = extend(source, tmp_path / "out", audio=SMALL, experts=EXPERTS)
    assert report["audio_token"].startswith("<|IMAGE_UNUSE:") and report["id"] == VOCABULARY - 1
    assert Runtime(tmp_path / "out").answer([user(SOUND)], FEW).usage.media["audio"] == 4


def test_a_damaged_source_leaves_no_target(tmp_path):
    source = write(tmp_path / "source")
    file = source / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        extend(source, tmp_path / "out", audio=SMALL)
    assert not (tmp_path / "out" / "config.json").exists()


def test_our_own_model_in_int8_can_be_extended(tmp_path):
    config = architecture("toy")
    groups = {name: group | {"width": 32} for name, group in config.expert_groups.items() if name != "audio"}
    torch.manual_seed(3)
    deaf = Omni(dataclasses.replace(config, audio=None, expert_groups=groups)).eval()
    checkpoint.save(deaf, Encoder.load(NANO), tmp_path / "deaf", "int8")
    report = extend(tmp_path / "deaf", tmp_path / "hears", audio=SMALL, experts=EXPERTS)
    assert "audio_token" not in report and Runtime(tmp_path / "hears").answer([user(SOUND)], FEW).usage.media["audio"] == 4
    ids = torch.randint(32, 1024, (1, 9), generator=torch.Generator().manual_seed(5))
    where = torch.arange(9)[None, :, None].expand(1, 9, 3)
    with torch.inference_mode():  # the copy holds bfloat16 where the original held int8
        before, after = (checkpoint.load_model(tmp_path / name)(ids, where).logits for name in ("deaf", "hears"))
    assert_close("logits", after, before, 2e-2)
