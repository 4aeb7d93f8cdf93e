"""The snippets of the article that omnie was asked for after, as they stand there: only the model's id is another."""

import csv
import re
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    BitsAndBytesConfig,
    Trainer,
    TrainingArguments,
    pipeline,
)

import omnie
from omnie import checkpoint
from omnie.errors import InputError, OptionError
from omnie.model.int4 import Int4Experts
from omnie.processor import tokens

EXAMPLES = Path(__file__).parents[1] / "examples"
CHART, VOICE, CLIP, PAGE = (EXAMPLES / name for name in ("chart.png", "question.wav", "clip.mp4", "page.pdf"))
END = tokens.ID[tokens.END]
QUESTION = "Was zeigt diese Grafik und welcher Trend ist erkennbar?"


@pytest.fixture(scope="module")
def folder() -> Path:
    omnie.register()
    if not checkpoint.models():
        pytest.skip("nano's weights are not in the package")
    return checkpoint.models()["nano"]


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def table(tmp_path) -> Path:
    with (tmp_path / "financial_data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Jahr", "Umsatz"], [2023, 120], [2024, 150]])
    return tmp_path / "financial_data.csv"


# Dokumentenanalyse


@pytest.fixture(scope="module")
def batches(model):
    """What `generate` gives to the model's first step, call by call."""
    seen = []
    hook = model.register_forward_pre_hook(lambda _, args, given: seen.append(given) or None, with_kwargs=True)
    yield seen
    hook.remove()


def test_documents(model, batches, table):
    document = {"text": "Jahresbericht 2024...", "images": [str(CHART), str(CHART)], "tables": [str(table)]}
    batches.clear()
    response = model.generate(
        prompt="Fasse die wichtigsten Erkenntnisse zusammen und erkläre den Trend in Chart 1",
        multimodal_input=document,
    )
    assert isinstance(response, str)
    first = batches[0]
    assert first["image_grid_thw"].tolist() == [[1, 30, 42]] * 2
    ids = first["input_ids"][0].tolist()
    assert ids.count(tokens.ID[tokens.IMAGE]) == 630 and ids.count(tokens.ID[tokens.TABLE_START]) == 1
    said = AutoProcessor.from_pretrained(model.config.name_or_path).decode(ids)
    assert (
        "Jahresbericht 2024" in said
        and re.search(r"2024 \| \w*(: )?150", said)
        and said.index("Jahresbericht") < said.index("Fasse")
    )


def test_sound_clips_and_pages_go_the_same_way(model, batches):
    batches.clear()
    given = {"audio": str(VOICE), "video": [str(CLIP)], "documents": str(PAGE)}
    assert isinstance(model.generate(prompt="Was ist zu hören?", multimodal_input=given, max_new_tokens=2), str)
    assert {"input_features", "pixel_values_videos", "pixel_values"} <= {k for k, v in batches[0].items() if v is not None}


def test_the_prompts_answer_is_that_of_the_documented_way(folder, model):
    """`AutoProcessor` with chat messages says the same, and pictures may be open already."""
    processor = AutoProcessor.from_pretrained(folder)
    content = [{"type": "image", "image": str(CHART)}, {"type": "text", "text": QUESTION}]
    batch = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    made = model.generate(**batch, max_new_tokens=12, do_sample=False)[0, batch["input_ids"].shape[1] :]
    given = {"images": Image.open(CHART)}
    answer = model.generate(prompt=QUESTION, multimodal_input=given, max_new_tokens=12, do_sample=False)
    assert answer == processor.decode(made, skip_special_tokens=True) != ""


def test_several_prompts_have_several_answers(model):
    answers = model.generate(prompt=["Hallo", "Wer bist du?"], max_new_tokens=8, do_sample=False)
    assert len(answers) == 2 and answers[1] == model.generate(prompt="Wer bist du?", max_new_tokens=8, do_sample=False)


@pytest.mark.parametrize(
    "given, error, words",
    [
        ({"prompt": "Was?", "multimodal_input": {"pictures": []}}, InputError, "unknown kind of input: pictures.*images"),
        ({"multimodal_input": {"text": "Bericht"}}, OptionError, "without a prompt"),
        ({"prompt": "Was?", "multimodal_input": {"images": str(VOICE)}}, InputError, "file is no image"),
    ],
    ids=["unknown", "no-prompt", "other-kind"],
)
def test_what_cannot_be_asked_is_an_error(model, given, error, words):
    with pytest.raises(error, match=words):
        model.generate(**given)


# Quick-Start mit Hugging Face


def test_pipeline(folder, tokenizer):
    chat_model = pipeline("text-generation", model=str(folder), device="cpu")
    prompt = "Erkläre mir Quantencomputing so, als wäre ich 5 Jahre alt"
    response = chat_model(prompt, max_length=200)
    text = response[0]["generated_text"]
    assert text.startswith(prompt) and len(text) > len(prompt)
    made = chat_model(prompt, max_length=60, return_tensors=True)[0]["generated_token_ids"]
    assert len(made) == 60 or made[-1] == END, "max_length counts, not the pipeline's own 256 new tokens"
    answer = chat_model([{"role": "user", "content": "Hallo!"}], max_new_tokens=8)[0]["generated_text"]
    assert [turn["role"] for turn in answer] == ["user", "assistant"]


# Fine-Tuning


@pytest.mark.slow
def test_fine_tuning(model, folder, tokenizer, tmp_path):
    """Transformers calls `evaluation_strategy` `eval_strategy` now; the last four arguments are the test's own."""
    pytest.importorskip("accelerate", reason="Trainer needs accelerate")
    model = AutoModelForCausalLM.from_pretrained(folder)
    sentences = ["Der Blutdruck beträgt 120 zu 80.", "Die Temperatur beträgt 38 Grad."] * 8
    rows = [tokenizer(sentence, padding="max_length", max_length=32, truncation=True) for sentence in sentences]
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
        learning_rate=2e-3,
    )
    trainer = Trainer(model=model, args=training_args, train_dataset=dataset, eval_dataset=dataset[:4])
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before
    saved = sorted(path.name for path in (tmp_path / "ernie-medical").iterdir())
    assert saved == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "ernie-medical" / "checkpoint-6").state_dict()
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(again[name], tensor)] == []


# Dein erster multimodaler Chat


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_first_multimodal_chat(folder, dtype):
    """Its 200 tokens hold a small picture; of a large one they are fewer than the picture's own (decision 31)."""
    pytest.importorskip("accelerate", reason="device_map needs accelerate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=dtype, device_map="auto")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    image = Image.open(CHART)
    image.thumbnail((224, 160))
    inputs = tokenizer(QUESTION, images=image, return_tensors="pt")
    outputs = model.generate(**inputs, max_length=200)
    response = tokenizer.decode(outputs[0], skip_special_tokens=True)
    assert model.dtype == dtype and outputs.shape[1] <= 200
    assert response.startswith(QUESTION) and len(response) > len(QUESTION)


def test_a_picture_that_max_length_has_no_room_for_is_an_error_that_says_what_to_do(model, tokenizer):
    inputs = tokenizer(QUESTION, images=Image.open(CHART), return_tensors="pt")
    with pytest.raises(ValueError, match="`max_length` is set to 200.*`max_new_tokens`"):
        model.generate(**inputs, max_length=200)


def test_a_tokenizer_with_media_gives_the_processors_inputs(folder, tokenizer):
    processor = AutoProcessor.from_pretrained(folder)
    image = Image.open(CHART)
    chat = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]}]
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    want = processor.apply_chat_template(chat, **options)
    for got in (tokenizer(QUESTION, images=image, return_tensors="pt"), tokenizer.apply_chat_template(chat, **options)):
        assert got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)
    rendered = f"{tokens.USER}{tokens.IMAGE}{QUESTION}{tokens.END}{tokens.ASSISTANT}"
    by_hand = tokenizer(rendered, images=[image], return_tensors="pt")
    assert by_hand["pixel_values"].equal(want["pixel_values"])
    assert by_hand["input_ids"][0].tolist() == [i for i in want["input_ids"][0].tolist() if i != tokens.ID[tokens.BEGIN]]


def test_a_tokenizer_takes_a_batch_with_media(tokenizer):
    image = Image.open(CHART)
    batch = tokenizer(["Titel?", "Welcher Trend ist erkennbar?"], images=[image, [image, image]], return_tensors="pt")
    assert len(batch["image_grid_thw"]) == 3 and batch["attention_mask"].sum(1).diff() > 140
    with pytest.raises(InputError, match="images and texts differ in number.*2"):
        tokenizer(["Titel?", "Trend?"], images=[image])


def test_a_tokenizer_without_media_is_transformers_own(tokenizer):
    ids = tokenizer(["Größe 12", "Größe"], padding=True)["input_ids"]
    assert ids[1][0] == tokenizer.pad_token_id and tokenizer.decode(ids[0]) == "Größe 12"
    assert tokenizer("Größe", images=[])["input_ids"] == tokenizer("Größe")["input_ids"]


# Production Deployment


def test_quantisation(folder):
    quantization_config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=torch.float16,
        bnb_4bit_use_double_quant=True,
    )
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=quantization_config, device_map="auto")
    experts = [module for module in model.modules() if isinstance(module, Int4Experts)]
    assert len(experts) == 15 and {module.compute_dtype for module in experts} == {torch.float16}
    packed = sum(tensor.nbytes for module in experts for tensor in module.buffers())
    parameters = sum(torch.Size(shape).numel() for module in experts for shape in module.matrices.values())
    assert 8 * packed / parameters < 4.3
    assert isinstance(model.generate(prompt="Hallo", max_new_tokens=4), str)


# Troubleshooting


def test_gradient_checkpointing(folder, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(folder).train()
    calls = []
    model.model.language_model.layers[0].register_forward_pre_hook(lambda *_: calls.append(1))
    model.gradient_checkpointing_enable()
    ids = tokenizer("Der Umsatz steigt.", return_tensors="pt")["input_ids"]
    model(input_ids=ids, labels=ids).loss.backward()
    assert len(calls) == 2 and model.model.language_model.embed_tokens.weight.grad.abs().sum() > 0


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
    inputs = tokenizer(QUESTION, images=Image.open(CHART), return_tensors="pt")
    options = {"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.2, "max_new_tokens": 12}
    outputs = model.generate(**inputs, **options)
    assert outputs.shape[1] > inputs["input_ids"].shape[1]
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        warm = options | {"temperature": 3.0}  # a sure model says the same at 0.7 whatever the seed
        drawn.append(model.generate(**inputs, **warm, do_sample=True).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    penalised = model.generate(**inputs, do_sample=False, repetition_penalty=1e6, max_new_tokens=12)[0]
    new = penalised[inputs["input_ids"].shape[1] :].tolist()
    assert len(set(new)) == len(new), "a penalty that large lets nothing come twice"
