"""The article's snippets on folders in ERNIE 4.5's published formats: only the model's id is another.

Transformers' Auto classes give Transformers' own classes there, which read text. For pictures, clips, tables, and 4 bits it is
`OmnieForConditionalGeneration` and `OmnieTokenizer`, on the same folder. `tests/test_article.py` has our own model's.
"""

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
    Trainer,
    TrainingArguments,
    pipeline,
)

import omnie
from omnie import media
from omnie.errors import InputError, OptionError
from omnie.model import int4
from omnie.model.experts import Experts
from omnie.model.hub import OmnieForConditionalGeneration
from omnie.model.int4 import Int4Experts, Int4Linear
from omnie.processor import OmnieProcessor, OmnieTokenizer

from .chats import SPECIAL, clip, picture
from .whole import GREEDY, TEXT, VISION, WRITERS

EXAMPLES = Path(__file__).parents[2] / "examples"
CHART, VOICE, CLIP = (EXAMPLES / name for name in ("chart.png", "question.wav", "clip.mp4"))
QUESTION = "Was zeigt diese Grafik und welcher Trend ist erkennbar?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """`model_type` -> a folder of a small random model."""
    omnie.register()
    return {kind: write_one(tmp_path_factory.mktemp(kind)) for kind, write_one in WRITERS.items()}


WAYS = [*((kind, "auto") for kind in TEXT), *((kind, "omnie") for kind in WRITERS)]
"""Whose classes take a folder for text: Transformers' own (only text models among `AutoModelForCausalLM`), and ours."""


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def way(request) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def load(folders, way):
    """`from_pretrained` of a class, on a folder."""
    kind, whose = way
    auto = AutoModelForCausalLM if whose == "auto" else OmnieForConditionalGeneration
    return lambda **options: auto.from_pretrained(folders[kind], **options)


@pytest.fixture(scope="module")
def model(load):
    return load().eval()


@pytest.fixture(scope="module")
def tokenizer(folders, way):
    kind, whose = way
    return (AutoTokenizer if whose == "auto" else OmnieTokenizer).from_pretrained(folders[kind], padding_side="left")


# Quick-Start mit Hugging Face


@pytest.mark.parametrize("kind", TEXT)
def test_pipeline(folders, kind):
    """Transformers' own classes let the pipeline's own 256 new tokens go before `max_length`, and say so on stderr."""
    chat_model = pipeline("text-generation", model=str(folders[kind]), device="cpu")
    prompt = "Erkläre mir Quantencomputing so, als wäre ich 5 Jahre alt"
    response = chat_model(prompt, max_length=200)
    text = response[0]["generated_text"]
    assert text.startswith(prompt) and len(text) > len(prompt)
    assert type(chat_model.model).__module__.startswith("transformers.models.ernie4_5")
    answer = chat_model([{"role": "user", "content": "Hallo!"}], max_new_tokens=8)[0]["generated_text"]
    assert [turn["role"] for turn in answer] == ["user", "assistant"]


@pytest.mark.parametrize("kind", WRITERS)
def test_pipeline_of_our_classes(folders, kind):
    model, tokenizer = (kind_of.from_pretrained(folders[kind]) for kind_of in (OmnieForConditionalGeneration, OmnieTokenizer))
    chat_model = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
    made = chat_model("What is it?", max_length=30, return_tensors=True)[0]["generated_token_ids"]
    assert len(made) == 30 or made[-1] == tokenizer.eos_token_id
    answer = chat_model([{"role": "user", "content": "Hallo!"}], max_new_tokens=8)[0]["generated_text"]
    assert [turn["role"] for turn in answer] == ["user", "assistant"]


# Fine-Tuning


def test_fine_tuning(load, way, folders, tokenizer, tmp_path):
    """Transformers calls `evaluation_strategy` `eval_strategy` now; the last four arguments are the test's own."""
    pytest.importorskip("accelerate", reason="Trainer needs accelerate")
    model = load().train()
    sentences = ["Der Blutdruck beträgt 120 zu 80.", "Die Temperatur beträgt 38 Grad."] * 8
    rows = [tokenizer(sentence, padding="max_length", max_length=48, truncation=True) for sentence in sentences]
    dataset = [{**row, "labels": [i if m else -100 for i, m in zip(row["input_ids"], row["attention_mask"])]} for row in rows]
    training_args = TrainingArguments(
        output_dir=str(tmp_path / "ernie-medical"),
        num_train_epochs=3,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        warmup_steps=100,
        logging_steps=50,
        save_strategy="epoch",
        eval_strategy="epoch",
        fp16=True,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        learning_rate=2e-2,
    )
    trainer = Trainer(
        model=model, args=training_args, train_dataset=dataset, eval_dataset=dataset[:4], processing_class=tokenizer
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before
    saved = sorted((tmp_path / "ernie-medical").iterdir())
    assert [path.name for path in saved] == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    again = type(model).from_pretrained(saved[-1])
    state = again.state_dict()
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(state[name], tensor)] == []
    if way[1] == "omnie":
        answer = model.eval().generate(prompt=QUESTION, processor=OmnieProcessor.from_pretrained(folders[way[0]]), **GREEDY)
        assert again.generate(prompt=QUESTION, **GREEDY) == answer


# Dein erster multimodaler Chat


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_first_chat_in_text(load, way, tokenizer, dtype):
    pytest.importorskip("accelerate", reason="device_map needs accelerate")
    model = load(torch_dtype=dtype, device_map="auto")
    inputs = tokenizer(QUESTION, return_tensors="pt")
    outputs = model.generate(**inputs, max_length=80)
    response = tokenizer.decode(outputs[0], skip_special_tokens=True)
    assert response.startswith(QUESTION) and outputs.shape[1] <= 80 and model.dtype == dtype
    assert type(model).__module__.startswith("transformers.models.ernie4_5" if way[1] == "auto" else "omnie.")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_first_multimodal_chat(folders, dtype):
    model = OmnieForConditionalGeneration.from_pretrained(folders[VISION], torch_dtype=dtype, device_map="auto")
    tokenizer = OmnieTokenizer.from_pretrained(folders[VISION])
    image = Image.open(CHART)
    inputs = tokenizer(QUESTION, images=image, return_tensors="pt")
    outputs = model.generate(**inputs, max_length=200)
    response = tokenizer.decode(outputs[0], skip_special_tokens=True)
    assert QUESTION in response and inputs["input_ids"].shape[1] < outputs.shape[1] <= 200


def test_a_tokenizer_with_media_gives_the_processors_inputs(folders):
    tokenizer, processor = (kind.from_pretrained(folders[VISION]) for kind in (OmnieTokenizer, OmnieProcessor))
    image = Image.fromarray(picture(40, 56))
    chat = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]}]
    options: dict[str, Any] = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    want = processor.apply_chat_template(chat, **options)
    rendered = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    for got in (
        tokenizer(QUESTION, images=image, return_tensors="pt"),
        tokenizer(rendered, images=[image], return_tensors="pt"),
        tokenizer.apply_chat_template(chat, **options),
    ):
        assert got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)
    assert {"mm_token_type_ids", "moe_mm_token_type_ids", "pixel_values", "image_grid_thw"} < set(want)


def test_a_tokenizer_takes_a_batch_with_media(folders):
    tokenizer = OmnieTokenizer.from_pretrained(folders[VISION])
    image = picture(40, 56)
    batch = tokenizer(["Titel?", "Welcher Trend?"], images=[image, [image, image]], return_tensors="pt")
    assert len(batch["image_grid_thw"]) == 3 and batch["attention_mask"][0, 0] == 0
    with pytest.raises(InputError, match="images and texts differ in number.*2"):
        tokenizer(["Titel?", "Trend?"], images=[image])
    mark = tokenizer.placeholders["images"]
    with pytest.raises(InputError, match="placeholder without image"):
        tokenizer(f"{mark} {mark}", images=[image])
    with pytest.raises(InputError, match="more image items"):
        tokenizer([mark, "Trend?"], images=[image, image])
    with pytest.raises(OptionError, match="unknown option of the processor: add_margin"):
        tokenizer("Titel?", images=image, add_margin=True)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_tokenizer_without_media_is_transformers_own(folders, kind, tmp_path):
    ours, theirs = (one.from_pretrained(folders[kind]) for one in (OmnieTokenizer, AutoTokenizer))
    for text in ("Größe 12: 你好", f"{SPECIAL[3]}What?{SPECIAL[6]}</s>", ""):
        ids = ours(text)["input_ids"]
        assert ids == theirs(text)["input_ids"] and ours(text, images=[])["input_ids"] == ids
        assert all(
            ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip) for skip in (False, True)
        )
    named = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")
    assert [getattr(ours, name) for name in named] == [getattr(theirs, name) for name in named] and len(ours) == len(theirs)
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folders[kind] / "tokenizer.json").read_bytes()


def test_what_a_folder_does_not_take_is_an_error(folders):
    with pytest.raises(InputError, match="the model takes no image"):
        OmnieTokenizer.from_pretrained(folders["ernie4_5"])(QUESTION, images=picture(40, 56))
    with pytest.raises(InputError, match=r"the model takes no sound: \d.*allowed: text, image, video"):
        OmnieTokenizer.from_pretrained(folders[VISION])(QUESTION, audio=str(VOICE))
    with pytest.raises(OptionError, match="unknown option for a published tokenizer: bos_token"):
        OmnieTokenizer.from_pretrained(folders[VISION], bos_token="<a>")


def test_what_transformers_own_classes_say_to_pictures(folders):
    """Its tokenizer drops them without a word, so no `pixel_values` reach the model; its model asks for another Auto class."""
    tokenizer = AutoTokenizer.from_pretrained(folders[VISION])
    assert type(tokenizer).__module__.startswith("transformers.")
    assert set(tokenizer(QUESTION, images=picture(40, 56), return_tensors="pt")) == {"input_ids", "attention_mask"}
    with pytest.raises(ValueError, match="Unrecognized configuration class .*Ernie4_5_VLMoeConfig.*AutoModelForCausalLM"):
        AutoModelForCausalLM.from_pretrained(folders[VISION])
    model = AutoModelForImageTextToText.from_pretrained(folders[VISION])
    assert type(model).__module__.startswith("transformers.")
    assert model.generate(**tokenizer(QUESTION, return_tensors="pt"), **GREEDY).shape[1] > 6


# Dokumentenanalyse


@pytest.fixture
def table(tmp_path) -> Path:
    with (tmp_path / "financial_data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Jahr", "Umsatz"], [2023, 120], [2024, 150]])
    return tmp_path / "financial_data.csv"


def asked(model, **given) -> tuple[str, dict[str, Any]]:
    """The answer, and what the model's first step was given."""
    seen: list[dict[str, Any]] = []
    hook = model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs) or None, with_kwargs=True)
    try:
        return model.generate(**given), {name: value for name, value in seen[0].items() if value is not None}
    finally:
        hook.remove()


PROMPT = "Fasse die wichtigsten Erkenntnisse zusammen und erkläre den Trend in Chart 1"


def test_documents(folders, table):
    model = OmnieForConditionalGeneration.from_pretrained(folders[VISION])
    document = {"text": "Jahresbericht 2024...", "images": [str(CHART), str(CHART)], "tables": [str(table)]}
    response, first = asked(model, prompt=PROMPT, multimodal_input=document, max_new_tokens=8)
    said = OmnieProcessor.from_pretrained(folders[VISION]).decode(first["input_ids"][0])
    assert isinstance(response, str) and len(first["image_grid_thw"]) == 2
    assert "Jahresbericht 2024" in said and "2024 | 150" in said and said.index("Jahresbericht") < said.index("Fasse")


@pytest.mark.parametrize("kind", TEXT)
def test_documents_of_a_text_model(folders, table, kind):
    model = OmnieForConditionalGeneration.from_pretrained(folders[kind])
    document = {"text": "Jahresbericht 2024...", "tables": [str(table)]}
    response, first = asked(model, prompt=PROMPT, multimodal_input=document, max_new_tokens=8)
    said = OmnieProcessor.from_pretrained(folders[kind]).decode(first["input_ids"][0])
    assert isinstance(response, str) and "2024 | 150" in said
    with pytest.raises(InputError, match="the model takes no image"):
        model.generate(prompt=PROMPT, multimodal_input={"images": str(CHART)})


def test_clips_go_the_same_way_and_sound_is_refused(folders):
    """ERNIE 4.5 has no audio encoder: a sound, or a clip's sound track, is an error, never dropped."""
    model = OmnieForConditionalGeneration.from_pretrained(folders[VISION])
    silent = media.load(str(CLIP), audio=False)
    response, first = asked(model, prompt="Was passiert?", multimodal_input={"video": silent}, max_new_tokens=4)
    assert isinstance(response, str) and "pixel_values_videos" in first and len(first["video_grid_thw"]) == 1
    frames = media.Video(clip(4, 30, 40), (0.0, 0.5, 1.0, 1.5), 2.0)
    assert "video_grid_thw" in asked(model, prompt="?", multimodal_input={"video": [frames]}, max_new_tokens=1)[1]
    for sound in ({"audio": str(VOICE)}, {"video": str(CLIP)}):
        with pytest.raises(InputError, match=r"takes no sound: \d.*allowed: text, image, video.*audio=False"):
            model.generate(prompt="Was ist zu hören?", multimodal_input=sound)


@pytest.mark.parametrize("kind", TEXT)
def test_transformers_own_generate_takes_no_words(folders, kind):
    model = AutoModelForCausalLM.from_pretrained(folders[kind])
    with pytest.raises(ValueError, match="not used by the model.*prompt.*multimodal_input"):
        model.generate(prompt=PROMPT, multimodal_input={"text": "Jahresbericht 2024..."})


# Production Deployment


@pytest.mark.parametrize("kind", WRITERS)
def test_quantisation(folders, kind):
    """4 bits in omnie's format, experts too; `test_int4.py` has what is behind it."""
    quantization_config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=torch.float16,
        bnb_4bit_use_double_quant=True,
    )
    model = OmnieForConditionalGeneration.from_pretrained(
        folders[kind], quantization_config=quantization_config, device_map="auto"
    )
    packed = [module for module in model.modules() if isinstance(module, Int4Experts | Int4Linear)]
    assert {module.compute_dtype for module in packed} == {torch.float16}
    assert any(isinstance(module, Int4Experts) for module in packed) == (kind != "ernie4_5")
    assert not any(isinstance(module, Experts) for module in model.modules()) and int4.targets(model) == {}
    assert isinstance(model.generate(prompt="Hallo", max_new_tokens=4), str)


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
@pytest.mark.parametrize("kind", TEXT)
def test_transformers_own_classes_want_bitsandbytes(folders, kind):
    with pytest.raises(ImportError, match="requires bitsandbytes"):
        AutoModelForCausalLM.from_pretrained(folders[kind], quantization_config=BitsAndBytesConfig(load_in_4bit=True))


# Troubleshooting


def test_gradient_checkpointing(load, tokenizer):
    model = load().train()
    calls: list[int] = []
    decoder = getattr(model.model, "language_model", model.model)
    decoder.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    model.gradient_checkpointing_enable()
    ids = tokenizer("Der Umsatz steigt.", return_tensors="pt")["input_ids"]
    model(input_ids=ids, labels=ids).loss.backward()
    assert len(calls) == 2 and model.get_input_embeddings().weight.grad.abs().sum() > 0


def test_batches(model, tokenizer):
    batch_size = 8
    texts = ["Der Umsatz", "Die Temperatur beträgt heute", "Hallo", "The train"] * 2
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    batch_input_ids, batch_attention_mask = batch["input_ids"], batch["attention_mask"]
    responses = model.generate(
        input_ids=batch_input_ids,
        attention_mask=batch_attention_mask,
        num_beams=1,
        do_sample=False,
        max_new_tokens=6,
    )
    assert len(responses) == batch_size
    for text, row in zip(texts[:4], responses):
        alone = model.generate(**tokenizer(text, return_tensors="pt"), do_sample=False, max_new_tokens=6)[0]
        assert tokenizer.decode(row, skip_special_tokens=True) == tokenizer.decode(alone, skip_special_tokens=True)


def test_sampling(model, tokenizer):
    inputs = tokenizer(QUESTION, return_tensors="pt")
    options = {"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.2, "max_new_tokens": 12}
    outputs = model.generate(**inputs, **options)
    assert outputs.shape[1] > inputs["input_ids"].shape[1]
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(model.generate(**inputs, **options, do_sample=True).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("kind", TEXT)
def test_our_classes_answer_as_transformers_own(folders, kind):
    inputs = AutoTokenizer.from_pretrained(folders[kind])(QUESTION, return_tensors="pt")
    ours, theirs = (one.from_pretrained(folders[kind]) for one in (OmnieForConditionalGeneration, AutoModelForCausalLM))
    assert torch.equal(ours.generate(**inputs, **GREEDY), theirs.generate(**inputs, **GREEDY))
