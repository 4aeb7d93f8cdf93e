"""Transformers' face of the model equals the plain model: logits, greedy answers, folders, one step of `Trainer`."""

import copy
import importlib

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file
from transformers import (
    AttentionInterface,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
    DynamicCache,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import omnie
from laws import assert_close
from omnie import checkpoint
from omnie.engine.engine import Engine
from omnie.engine.request import Request, SamplingOptions
from omnie.errors import CheckpointError, InputError, OptionError
from omnie.inputs import AUDIO, IMAGE, VIDEO
from omnie.model.config import SIZES, Architecture, architecture, of, read, to_json
from omnie.model.hub import OmnieConfig, OmnieForConditionalGeneration, OmniePreTrainedModel
from omnie.model.reading import read as read_media
from omnie.processor import tokens

from .cases import CONVERSATIONS, PER_TOKEN, conversation, gradients, length, media_of, toy

PLACEHOLDERS = {IMAGE: tokens.IMAGE, VIDEO: tokens.VIDEO, AUDIO: tokens.AUDIO}
END = tokens.ID[tokens.END]


@pytest.fixture(scope="module")
def omni():
    return toy()


@pytest.fixture(scope="module")
def model(omni) -> OmnieForConditionalGeneration:
    return OmnieForConditionalGeneration.of(omni)


def inputs_of(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """A conversation of `cases` whose placeholders have their own token ids."""
    inputs = conversation(*CONVERSATIONS[name], seed=seed)
    for modality, token in PLACEHOLDERS.items():
        inputs["input_ids"][inputs["mm_token_type_ids"] == modality] = tokens.ID[token]
    return inputs


def without(inputs, *names):
    return {name: value for name, value in inputs.items() if name not in names}


def padded(rows) -> dict[str, torch.Tensor]:
    """Several conversations as one batch, padded on the left, without positions."""
    longest = max(map(length, rows))
    batch = {
        name: torch.cat([torch.nn.functional.pad(row[name], (longest - length(row), 0)) for row in rows])
        for name in ("input_ids", "mm_token_type_ids")
    }
    batch["attention_mask"] = torch.stack([(torch.arange(longest) >= longest - length(row)).long() for row in rows])
    return batch | media_of(rows)


def greedy(omni, inputs, count: int) -> list[int]:
    arrays = {name: (value[0] if name in PER_TOKEN else value).numpy() for name, value in inputs.items()}
    return list(Engine(omni, context=4096).generate(Request(arrays, SamplingOptions(max_tokens=count), frozenset({END}))))


def answers(model, batch, count: int, **options) -> list[list[int]]:
    """The generated ids of each row, up to its end token."""
    made = model.generate(**batch, max_new_tokens=count, do_sample=False, **options)[:, batch["input_ids"].shape[1] :]
    return [row[: row.index(END)] if END in row else row for row in made.tolist()]


@pytest.mark.parametrize("size", SIZES)
def test_a_config_survives_every_way_through_json(size, tmp_path):
    config = OmnieConfig.of(size)
    config.save_pretrained(tmp_path)
    assert read(tmp_path / "config.json", {"omnie": of}) == ("omnie", architecture(size))
    (tmp_path / "config.json").write_text(to_json(config), "utf-8")
    assert read(tmp_path / "config.json", {"omnie": of}) == ("omnie", architecture(size))
    omnie.register()
    again = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(again, OmnieConfig) and isinstance(again, Architecture)
    assert (again.vision, again.rope_sections, again.expert_groups) == (
        config.vision,
        config.rope_sections,
        config.expert_groups,
    )


def test_the_token_ids_of_the_config_are_the_tokenizers():
    config, ids = OmnieConfig(), tokens.ID
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (ids[tokens.PAD], ids[tokens.BEGIN], END)
    media = (config.image_token_id, config.video_token_id, config.audio_token_id)
    assert media == (ids[tokens.IMAGE], ids[tokens.VIDEO], ids[tokens.AUDIO])


def test_names_and_shapes_of_the_weights_are_omnis(omni):
    face = OmnieForConditionalGeneration(OmnieConfig.of(omni.config))
    assert [(n, w.shape, w.dtype) for n, w in face.state_dict().items()] == [
        (n, w.shape, w.dtype) for n, w in omni.state_dict().items()
    ]
    assert face.lm_head.weight is face.get_input_embeddings().weight
    assert 0.01 < face.model.language_model.layers[1].mlp.groups["text"].experts.down_proj.std() < 0.03


@pytest.fixture(params=["sdpa", "eager"])
def attention(request, model):
    model.set_attn_implementation(request.param)
    yield request.param
    model.set_attn_implementation("sdpa")


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_logits_equal_omnis(omni, model, name, attention):
    inputs = inputs_of(name)
    bare = without(inputs, "position_ids", "mm_token_type_ids")
    with torch.inference_mode():
        want = omni(**inputs).logits
        assert_close("given positions", model(**inputs).logits, want)
        assert_close("positions and modalities found", model(**bare, logits_to_keep=3).logits, want[:, -3:])


def test_every_decoder_layer_calls_the_attention_that_the_config_names(model):
    seen = []

    def spy(module, query, key, value, mask, **kwargs):
        seen.append((module.layer_idx, kwargs["colour"]))
        return query.transpose(1, 2), None

    AttentionInterface.register("spy", spy)
    try:
        model.set_attn_implementation("spy")
        model(torch.ones(1, 4, dtype=torch.long), colour="red")
    finally:
        model.set_attn_implementation("sdpa")
    assert seen == [(0, "red"), (1, "red")]


def test_a_padded_batch_equals_its_rows(omni, model, attention):
    rows = [inputs_of(name, seed) for seed, name in enumerate(["text", "all", "image"])]
    with torch.inference_mode():
        logits = model(**padded(rows)).logits
        for row, got in zip(rows, logits, strict=True):
            assert_close("row", got[None, -length(row) :], omni(**row).logits)


def test_positions_go_on_over_the_cache_of_a_padded_batch(omni, model):
    """Blocks without positions over Transformers' cache; one picture is in the first block, the other in the second."""
    rows = [inputs_of("two-images"), inputs_of("text", 1)]
    batch, cache, outputs = padded(rows), DynamicCache(config=model.config), []
    assert batch["attention_mask"].sum(1).tolist() == [22, 23]
    grids = batch["image_grid_thw"].split(1)
    patches = batch["pixel_values"].split([int(grid.prod()) for grid in grids])
    pictures = [{"pixel_values": p, "image_grid_thw": g} for p, g in zip(patches, grids, strict=True)]
    for (start, end), picture in zip([(0, 5), (5, 18), (18, 19), (19, 23)], [*pictures, {}, {}], strict=True):
        block = {name: batch[name][:, start:end] for name in ("input_ids", "mm_token_type_ids")} | picture
        with torch.inference_mode():
            outputs.append(model(**block, attention_mask=batch["attention_mask"][:, :end], past_key_values=cache).logits)
    for row, got in zip(rows, torch.cat(outputs, 1), strict=True):
        assert_close("row", got[None, -length(row) :], omni(**row).logits)


def test_sliding_windows_over_the_cache_equal_omnis_mask():
    omni = toy(sliding_window=6, global_layer_every=2)
    model, inputs = OmnieForConditionalGeneration.of(omni), inputs_of("image")
    cache, ids = DynamicCache(config=model.config), inputs["input_ids"]
    first = without(inputs, "position_ids") | {name: inputs[name][:, :12] for name in ("input_ids", "mm_token_type_ids")}
    with torch.inference_mode():
        blocks = [model(**first, past_key_values=cache).logits]
        blocks += [model(ids[:, i : i + 1], past_key_values=cache).logits for i in range(12, ids.shape[1])]
        assert_close("logits", torch.cat(blocks, 1), omni(**inputs).logits)
    assert cache.layers[0].keys.shape[2] < cache.layers[1].keys.shape[2] == ids.shape[1]


def test_a_cache_without_room_for_neighbours_is_refused(model):
    with pytest.raises(OptionError, match="DynamicCache\\(config=model.config\\)"):
        model(inputs_of("text")["input_ids"], past_key_values=DynamicCache())


def test_vllm_which_keeps_no_neighbours_is_refused(omni):
    model = OmnieForConditionalGeneration.of(omni)
    model.config._attn_implementation_internal = "vllm"
    with pytest.raises(OptionError, match="vLLM keeps no tokens for convolutions"):
        model(inputs_of("text")["input_ids"])


def test_packed_rows_equal_omnis(omni, model):
    inputs, segments = inputs_of("text"), torch.tensor([[1] * 9 + [2] * 14])
    with torch.inference_mode():
        want = omni(**inputs, segment_ids=segments).logits
        assert_close("logits", model(**inputs, segment_ids=segments, use_cache=False).logits, want)


@pytest.mark.parametrize("cached", [True, False], ids=["cache", "no-cache"])
def test_greedy_answers_of_a_padded_batch_are_the_engines(omni, model, cached):
    rows = [inputs_of(name, seed) for seed, name in enumerate(["text", "all", "image", "audio"])]
    want = [greedy(omni, row, 8) for row in rows]
    assert answers(model, padded(rows), 8, use_cache=cached) == want
    assert len({tuple(answer) for answer in want}) == 4


def test_generate_takes_the_processors_positions(omni, model):
    row = inputs_of("all")
    assert answers(model, row, 6) == [greedy(omni, row, 6)]


def test_beams_and_repeated_answers_carry_their_own_media(omni, model):
    rows = [inputs_of(name, seed) for seed, name in enumerate(["two-images", "all", "text"])]
    batch = padded(rows)
    torch.manual_seed(0)
    made = model.generate(**batch, max_new_tokens=1, do_sample=True, top_k=1, num_return_sequences=3)[:, -1].tolist()
    assert made == [answer[0] for answer in answers(model, batch, 1) for _ in range(3)]
    assert model.generate(**batch, max_new_tokens=3, num_beams=2).shape[0] == 3


def test_guessed_tokens_that_are_taken_back_leave_nothing_behind(model):
    """Prompt lookup guesses, and crops what was wrong off the cache: off what convolutions and a trail keep, too."""
    ids = torch.randint(60, 90, (1, 24), generator=torch.Generator().manual_seed(0))
    plain = model.generate(ids, max_new_tokens=12, do_sample=False)
    assert torch.equal(model.generate(ids, max_new_tokens=12, do_sample=False, prompt_lookup_num_tokens=3), plain)


def test_hidden_states_and_features(omni, model):
    inputs = inputs_of("all")
    with torch.inference_mode():
        output, want = model(**inputs, output_hidden_states=True), omni.model(**omni_arguments(inputs))
        images = model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])
        clips = model.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"])
        sounds = model.model.get_audio_features(inputs["input_features"], inputs["audio_lengths"])
        words = omni.model.language_model.embed_tokens.weight
        pictures = read_media(omni.model.reading, IMAGE, want.media["image"].tokens, inputs["image_grid_thw"], words)
        pieces = read_media(omni.model.reading, VIDEO, want.media["video"].tokens, inputs["video_grid_thw"], words)
    assert len(output.hidden_states) == 3
    assert_close("last hidden state", output.hidden_states[-1], want.hidden)
    assert_close("images", torch.cat(images.pooler_output), pictures)
    assert_close("clips", torch.cat(clips.pooler_output), pieces)
    counts = [[len(item) for item in features.pooler_output] for features in (images, clips, sounds)]
    assert counts == [[2, 2], [2, 2], [2, 4]]


def omni_arguments(inputs):
    return {"masks": {False: None}, **inputs}


def labelled(name: str = "all"):
    inputs = inputs_of(name)
    labels = inputs["input_ids"].clone()
    labels[:, :-7] = -100
    return inputs | {"labels": labels}


def test_the_loss_is_omnis(omni, model):
    inputs = labelled()
    with torch.inference_mode():
        assert_close("loss", model(**inputs).loss, omni(**inputs).loss)
        parts = model(**inputs, num_items_in_batch=14).loss
        assert_close("half of the items", parts * 2, omni(**inputs).loss)


def test_recomputed_activations_give_the_same_gradients(omni):
    model, inputs = OmnieForConditionalGeneration.of(omni).train(), labelled()
    model(**inputs).loss.backward()
    want, calls = gradients(model), []
    model.gradient_checkpointing_enable()
    model.model.language_model.layers[0].register_forward_pre_hook(lambda *_: calls.append(1))
    model(**inputs).loss.backward()
    assert len(calls) == 2, "the layer was not computed anew"
    got = gradients(model)
    assert got.keys() == want.keys()
    for name in want:
        assert_close(name, got[name], want[name])
    with pytest.raises(OptionError, match="recomputed"):
        model(**inputs, use_cache=True)
    model.gradient_checkpointing_disable()


@pytest.mark.parametrize("auto", [AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModel])
def test_save_and_load_is_the_identity(omni, model, auto, tmp_path):
    omnie.register()
    model.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(tmp_path)
    state = (loaded.state_dict(), model.model.state_dict() if auto is AutoModel else omni.state_dict())
    assert state[0].keys() == state[1].keys()
    assert all(torch.equal(state[0][name], state[1][name]) for name in state[0])
    if auto is not AutoModel:
        assert loaded.lm_head.weight is loaded.model.language_model.embed_tokens.weight
        assert loaded.generation_config.eos_token_id == END


def test_routers_stay_float32_and_missing_weights_begin_fresh(model, tmp_path):
    model.save_pretrained(tmp_path)
    lost = ("model.language_model.norm.weight", "model.visual.merger.norm.bias")
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: w for name, w in weights.items() if name not in lost}, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = OmnieForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert (loaded.model.language_model.norm.weight == 1).all() and (loaded.model.visual.merger.norm.bias == 0).all()
    types = {name: tensor.dtype for name, tensor in loaded.state_dict().items()}
    routers = {name for name, dtype in types.items() if dtype == torch.float32}
    assert routers == {name for name in types if ".gate." in name} and len(routers) == 6
    assert set(types.values()) == {torch.float32, torch.bfloat16}
    assert loaded(**inputs_of("all")).logits.dtype == torch.bfloat16


def test_a_model_folder_of_ours_opens_with_the_auto_classes(toy_folder):
    omnie.register()
    model, encoder = checkpoint.load(toy_folder)
    face, processor = AutoModelForCausalLM.from_pretrained(toy_folder), AutoProcessor.from_pretrained(toy_folder)
    chat = [{"role": "user", "content": [{"type": "text", "text": "Wie viele?"}, {"type": "image", "image": picture()}]}]
    batch = processor.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert set(batch) >= {"pixel_values", "image_grid_thw", "mm_token_type_ids"}
    made = answers(face, batch, 5)
    assert made == [greedy(model, without(batch, "attention_mask"), 5)]
    assert processor.decode(made[0], skip_special_tokens=True) == encoder.decode(made[0])
    ids = AutoTokenizer.from_pretrained(toy_folder)("Größe 12", add_special_tokens=False)["input_ids"]
    assert ids == encoder.tokenizer.encode("Größe 12")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_int8_weights_are_those_of_our_own_loader(omni, toy_folder, dtype, tmp_path, monkeypatch):
    omnie.register()
    checkpoint.save(omni, checkpoint.load(toy_folder)[1], tmp_path, "int8")
    want = checkpoint.load(tmp_path, dtype=dtype)[0].state_dict()
    got = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype).state_dict()
    assert {name for name in want if not torch.equal(got[name], want[name]) or got[name].dtype != want[name].dtype} == set()
    monkeypatch.setattr(OmniePreTrainedModel, "int8", None)
    with pytest.raises(CheckpointError, match="omnie.register"):
        OmnieForConditionalGeneration.from_pretrained(tmp_path)


def picture():
    return Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))


def test_registration_happens_at_import_once_transformers_is_there(model, tmp_path):
    model.config.save_pretrained(tmp_path)
    CONFIG_MAPPING._extra_content.pop("omnie", None)
    importlib.reload(omnie)
    assert type(AutoConfig.from_pretrained(tmp_path)).__name__ == "OmnieConfig"
    assert omnie.OmnieForConditionalGeneration is OmnieForConditionalGeneration


def test_a_step_of_trainer_learns(omni, tmp_path):
    pytest.importorskip("accelerate", reason="Trainer needs accelerate")
    from transformers import Trainer, TrainingArguments

    model = OmnieForConditionalGeneration.of(copy.deepcopy(omni))
    rows = [labelled("image"), labelled("image")]
    arguments = TrainingArguments(
        tmp_path, max_steps=1, per_device_train_batch_size=2, learning_rate=1e-2, use_cpu=True, report_to=[],
        save_strategy="no", gradient_checkpointing=True, logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows, data_collator=together)
    before = model(**together(rows)).loss.item()
    result = trainer.train()
    assert result.training_loss == pytest.approx(before, rel=1e-4)
    assert model.eval()(**together(rows)).loss.item() < before


def together(rows):
    """Rows of equal length as a batch: media one after the other."""
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(
    "change, error, reason",
    [
        ({"image_grid_thw": torch.tensor([[1, 4, 4]])}, InputError, "pixel_values and image_grid_thw disagree"),
        ({"position_ids": torch.zeros(1, 5, dtype=torch.long)}, InputError, "position_ids have another shape"),
        ({"labels": torch.zeros(1, 23, dtype=torch.long), "logits_to_keep": 1}, OptionError, "all logits"),
        ({"output_attentions": True}, OptionError, "attention weights are not returned"),
        ({"segment_ids": torch.ones(1, 23, dtype=torch.long), "use_cache": True}, OptionError, "packed rows"),
    ],
    ids=["grid", "positions", "logits-to-keep", "attentions", "packed-cache"],
)
def test_what_cannot_be_obeyed_is_an_error(model, change, error, reason):
    with pytest.raises(error, match=reason):
        model(**inputs_of("image") | change)
