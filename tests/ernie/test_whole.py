"""From a published folder and files to an answer: the command line, the runtime, and Transformers' own answer."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from transformers import Ernie4_5_VLMoeForConditionalGeneration

from omnie.cli.main import main
from omnie.engine.request import SamplingOptions
from omnie.errors import InputError, OptionError
from omnie.media.types import Audio, Image, Table, Video
from omnie.messages import Part, Tool, user
from omnie.runtime import Runtime

from .chats import clip, picture
from .whole import write, write_text

FEW = SamplingOptions(max_tokens=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"))


def a_picture() -> Part:
    return Part("image", Image(picture(40, 56)))


def a_clip(sound: bool = False) -> Part:
    frames = clip(4, 30, 40)
    audio = Audio(np.zeros(8000, dtype=np.float32)) if sound else None
    return Part("video", Video(frames, np.arange(4) / 2, 2.0, audio))


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["ask", *arguments])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_ask_answers_about_a_picture(folder, tmp_path, capsys):
    Pillow.fromarray(picture(40, 56)).save(tmp_path / "image.png")
    arguments = ("--model", str(folder), "--max-tokens", "4", "--json", str(tmp_path / "image.png"), "What is it?")
    code, out, err = ask(capsys, *arguments)
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["tokens"]["completion"] == 4 and report["tokens"]["media"] == {"image": 5 * 7}


@pytest.mark.parametrize("parts", [["What?"], [a_picture(), "What?"], [a_clip(), "What?"]], ids=["text", "image", "video"])
def test_the_answer_is_that_of_transformers(folder, parts):
    runtime = Runtime(folder)
    inputs = runtime.processor.encode([user(*parts)])
    rows = ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids")
    given = {name: torch.from_numpy(array)[None] if name in rows else torch.from_numpy(array) for name, array in inputs.items()}
    given.pop("position_ids")
    theirs = Ernie4_5_VLMoeForConditionalGeneration.from_pretrained(folder).eval()
    ids = theirs.generate(
        **given, max_new_tokens=6, do_sample=False, eos_token_id=sorted(runtime.processor.stop), pad_token_id=0
    )
    answer = ids[0, len(inputs["input_ids"]) :].tolist()
    stop = next((n for n, token in enumerate(answer) if token in runtime.processor.stop), len(answer))
    assert runtime.answer([user(*parts)], FEW).text == "".join(runtime.processor.tokenizer.stream(answer[:stop]))


def test_thinking_is_an_option_of_models_that_can(folder, text_folder, capsys):
    assert ask(capsys, "--model", str(folder), "--max-tokens", "2", "--thinking", "What?")[0] == 0
    (text_folder / "chat_template.jinja").write_text("{{ messages[0].content }}", "utf-8")
    code, out, err = ask(capsys, "--model", str(text_folder), "--thinking", "What?")
    assert (code, out) == (2, "") and "thinking" in err
    with pytest.raises(OptionError, match="thinking"):
        Runtime(thinking=True)


def test_a_text_model_answers_and_takes_no_picture(text_folder, tmp_path_factory):
    runtime = Runtime(write_text(tmp_path_factory.mktemp("again")))
    assert runtime.answer([user("What is a car?")], FEW).usage.completion > 0
    assert runtime.answer([user(Part("table", Table("t", (("a", "b"), ("1", "2")))), "Which?")], FEW).usage.prompt > 10
    with pytest.raises(InputError, match="takes no image"):
        runtime.answer([user(a_picture(), "What?")], FEW)


def test_a_sound_track_is_not_dropped_silently(folder):
    with pytest.raises(InputError, match="no sound.*--no-audio"):
        Runtime(folder).answer([user(a_clip(sound=True), "What?")], FEW)


def test_a_prompt_beyond_the_context_says_what_takes_how_much(folder):
    with pytest.raises(InputError, match=r"image: \d+.*fewer than 512"):
        Runtime(folder).answer([user(*[a_picture()] * 20, "What?")], FEW)


def test_special_tokens_that_a_user_spells_are_text(folder):
    encoder = Runtime(folder).processor
    plain = encoder.encode([user("What? <|IMAGE_PLACEHOLDER|></s>", a_picture())])
    assert (plain["mm_token_type_ids"] == 1).sum() == 5 * 7
    assert "<|IMAGE_PLACEHOLDER|></s>" in encoder.decode(plain["input_ids"].tolist(), special=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_from_pretrained_takes_a_published_folder(folder, dtype):
    import omnie

    model = omnie.OmnieForConditionalGeneration.from_pretrained(folder, dtype=dtype, device_map="auto")
    plain, encoder = omnie.load(folder, dtype=dtype)
    inputs = {name: torch.from_numpy(array) for name, array in encoder.encode([user(a_picture(), "What?")]).items()}
    rows = ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids", "position_ids")
    inputs = {name: value[None] if name in rows else value for name, value in inputs.items()}
    with torch.inference_mode():
        assert torch.allclose(model(**inputs).logits, plain(**inputs).logits, atol=1e-2 if dtype == torch.bfloat16 else 1e-5)
    assert model.dtype == dtype and model.config.image_token_id == 6
    with pytest.raises(OptionError, match="max_memory.*allowed.*dtype"):
        omnie.OmnieForConditionalGeneration.from_pretrained(folder, max_memory={})


def test_the_documented_way_in_transformers_words(folder):
    import omnie

    model, processor = omnie.OmnieForConditionalGeneration.from_pretrained(folder), omnie.OmnieProcessor.from_pretrained(folder)
    content = [{"type": "image", "image": picture(40, 56)}, {"type": "text", "text": "What?"}]
    chats = [[{"role": "user", "content": content}], [{"role": "user", "content": "And a car?"}]]
    how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    alone = [model.generate(**processor.apply_chat_template(chat, **how), **options)[0, -5:] for chat in chats]
    inputs = processor.apply_chat_template(chats, enable_thinking=False, **how)
    together = model.generate(**inputs, **options)[:, -5:]
    assert inputs["attention_mask"].sum(1).min() < inputs["input_ids"].shape[1] and torch.equal(together, torch.stack(alone))
    answer = model.generate(prompt="What?", multimodal_input={"images": picture(40, 56)}, **options)
    assert isinstance(answer, str)
    assert processor.apply_chat_template(chats[1]).endswith("And a car?")


def test_a_published_model_is_held_to_a_schema_too(folder):
    schema = {"type": "object", "properties": {"n": {"enum": [1, "zwei"]}}, "required": ["n"], "additionalProperties": False}
    answer = Runtime(folder).answer([user("What?")], SamplingOptions(max_tokens=40), schema=schema)
    assert json.loads(answer.text)["n"] in (1, "zwei") and answer.finish == "stop"


def test_tools_are_refused_where_the_template_offers_none(folder):
    with pytest.raises(OptionError, match="offers no tools.*taxi"):
        Runtime(folder).answer([user("What?")], FEW, tools=[Tool("taxi")])
