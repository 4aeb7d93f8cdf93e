"""How a run begins: a decoder that can copy, encoders that learn to spell before they are asked, encoders of another run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omnie import checkpoint
from omnie.data import assets, skills
from omnie.data.example import Example, Written
from omnie.data.pictures.things import things
from omnie.errors import CheckpointError, OptionError
from omnie.media.types import Document, Image, Page, Video
from omnie.messages import Part, text
from omnie.model import config as architecture
from omnie.model.int4 import targets
from omnie.model.omni import Omni
from omnie.model.reading import ngrams
from omnie.ops.int4_linear import rounded
from omnie.processor import Encoder
from omnie.train import circuits
from omnie.train import trainer as trainer_module
from omnie.train.config import TrainConfig
from omnie.train.record import state
from omnie.train.stream import source
from omnie.train.stream.packing import IGNORE
from omnie.train.stream.source import SPELLING
from omnie.train.trainer import Trainer

from . import fake
from .test_run import config, feed, run


def copy_loss(model: Omni) -> tuple[float, float]:
    """Cross-entropy within a random passage, and within its second reading."""
    passage = torch.randint(60, 1024, (4, 50), generator=torch.Generator().manual_seed(1))
    ids = torch.cat([passage, passage], dim=1)
    with torch.no_grad():
        logits = model(ids, torch.arange(100)[None, :, None].expand(4, 100, 3)).logits
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(4, -1)
    return float(losses[:, :49].mean()), float(losses[:, 52:].mean())


def test_a_fresh_decoder_copies_before_it_has_learned_anything() -> None:
    torch.manual_seed(0)
    model = Omni(architecture.architecture("nano")).eval()
    first, second = copy_loss(model)
    assert abs(first - second) < 0.5
    circuits.install(model)
    first, second = copy_loss(model)
    assert second < first - 2.0


def test_spellings_of_a_word_are_alike() -> None:
    torch.manual_seed(0)
    texts = [b"Invoice", b" invoice", b"the", b":", b" :", b"\xc3", b" The", b"THE", b" "]
    embedding = F.normalize(torch.randn(12, 256), dim=1) * 1.5
    before = embedding.clone()
    circuits.liken(embedding, texts)
    like = F.cosine_similarity(embedding[:, None], embedding[None], dim=-1)
    assert torch.allclose(embedding.norm(dim=1), before.norm(dim=1))
    assert all(0.3 < like[a, b] < 0.6 for a, b in [(0, 1), (2, 6), (2, 7), (6, 7)])
    assert like[0, 2].abs() < 0.25 and torch.equal(embedding[[3, 4, 5, 8, 9, 10, 11]], before[[3, 4, 5, 8, 9, 10, 11]])


def test_a_decoder_without_attention_biases_stays_as_it_is() -> None:
    model = Omni(replace(architecture.architecture("toy"), attention_bias=False))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    circuits.install(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_at_first_only_the_encoders_learn(tmp_path) -> None:
    trainer = Trainer(config(tmp_path, steps=4, encoders=0.5))
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    moved, stream = set(), feed()
    for step in range(4):
        trainer.step(stream)
        moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
        decoder = [name for name in moved if "language_model" in name]
        assert bool(decoder) == (step >= 2)
    assert any("visual" in name for name in moved) and any("audio" in name for name in moved)


def test_the_encoders_learn_to_spell(tmp_path) -> None:
    trainer, losses = Trainer(config(tmp_path, steps=40, encoders=1.0, lr=0.02)), []
    batch = next(feed())
    for _ in range(40):
        loss, _ = trainer.loss(batch)
        loss.backward()
        trainer.optimizer.step(1.0)
        trainer.optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_spelling_draws_media_alone(monkeypatch) -> None:
    monkeypatch.setattr(source.skills, "TRANSCRIBED", ("picture", "sound"))
    stream = replace(fake.source(), encoders=0.5)
    keys = [stream.pick(index, progress=0.2) for index in range(400)]
    assert {name for name, _ in keys} == {SPELLING + "picture", SPELLING + "sound"}
    key = next(key for key in keys if "sound" in key[0])
    sample = stream.make(key)
    assert stream.make(key) is sample
    assert (sample.tensors["labels"] == IGNORE).all()
    assert len(sample.spelled) == 1 and len(sample) < len(stream.make((key[0].removeprefix(SPELLING), key[1])))
    assert not stream.pick(7, progress=0.6)[0].startswith(SPELLING)
    aside = [replace(stream, spelling=0.3).pick(index, progress=0.6)[0].startswith(SPELLING) for index in range(400)]
    assert 0.2 < sum(aside) / 400 < 0.4


def test_a_new_model_takes_the_encoders_of_another_and_their_heads(tmp_path) -> None:
    first = Trainer(config(tmp_path / "first", steps=2, encoders=1.0))
    run(first, feed())
    taken = Trainer(config(tmp_path / "next", encoders_from=tmp_path / "first" / "model", seed=1))
    step = next(feed())
    assert torch.allclose(taken._encoder_loss(step), first._encoder_loss(step), rtol=1e-4)
    assert torch.equal(taken.model.model.visual.blocks[0].mlp.fc1.weight, first.model.model.visual.blocks[0].mlp.fc1.weight)
    for norm in (taken.model.model.visual.merger.output_norm, taken.model.model.audio.output_norm):
        assert torch.allclose(norm.weight.norm(), torch.tensor(1.0))
    embedding = "model.language_model.embed_tokens.weight"
    assert not torch.equal(taken.model.state_dict()[embedding], first.model.state_dict()[embedding])


def test_with_the_encoders_comes_what_is_usually_read(tmp_path) -> None:
    giver = Trainer(config(tmp_path / "first", steps=1)).model
    giver.model.reading["image"].ngrams = ngrams.table([b"what is usually written"], 7)
    giver.config = replace(giver.config, reading={**giver.config.reading, "written": 7})
    checkpoint.save(giver, Encoder.load(source.BUILT_IN), tmp_path / "giver")
    taken = Trainer(config(tmp_path / "next", encoders_from=tmp_path / "giver", seed=1)).model
    assert torch.equal(taken.model.reading["image"].ngrams, giver.model.reading["image"].ngrams)
    assert taken.config.reading == giver.config.reading and taken.model.reading["audio"].ngrams is None


def test_things_have_their_names_in_both_languages(tmp_path) -> None:
    known = Trainer(config(tmp_path, steps=1)).model.model.reading["image"].things
    said = [bytes(row[1 : 1 + int(row[0])].byte().tolist()).decode() for row in known.names]
    assert said[0].split()[-1] == next(iter(things())) and len(set(said)) == len(things())


def test_a_model_that_names_other_things_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("omnie.train.model.things", lambda: {"dog": things()["dog"]})
    with pytest.raises(CheckpointError, match="the model names other things: 304 .allowed: 1"):
        Trainer(config(tmp_path, steps=1))


def test_tokens_are_shortened_once_when_the_encoders_have_had_their_time(tmp_path, monkeypatch) -> None:
    shortened = []
    monkeypatch.setattr(trainer_module, "shorten", lambda model: shortened.append(model) or [])
    trainer = Trainer(config(tmp_path, steps=6, encoders=0.5))
    steps = []

    def step(*_: object) -> None:
        steps.append(len(shortened))
        trainer.steps += 1

    monkeypatch.setattr(trainer, "step", step)
    run(trainer, feed())
    assert steps == [0, 0, 0, 1, 1, 1]
    again = Trainer(config(tmp_path, steps=8, encoders=0.5))
    again.restore(state.checkpoints(tmp_path)[-1])
    run(again, feed())
    assert len(shortened) == 1


@pytest.mark.parametrize(("reuse", "rest", "again"), [(2, 1.0, False), (1, 1.0, True), (2, 0.0, True)])
def test_a_batch_that_comes_again_is_read_again_only_by_encoders_that_learn(reuse, rest, again, tmp_path, monkeypatch) -> None:
    """And what is learned from it is the same: the loss, and what flows back into every weight."""
    trainer = Trainer(config(tmp_path, rest=rest, reuse=reuse, pointing=0.3, teach=0.0))
    step = next(feed())
    assert {"pixel_values", "input_features"} <= step.inputs.keys()
    encoded: list[int] = []

    def encode(modality, signal, sizes, encode=trainer.model.model._encode):
        encoded.append(modality)
        return encode(modality, signal, sizes)

    monkeypatch.setattr(trainer.model.model, "_encode", encode)
    found = []
    for _ in range(2):
        loss, _ = trainer.loss(step)
        gradients = torch.autograd.grad(loss, [p for p in trainer.model.parameters() if p.requires_grad], allow_unused=True)
        found.append((len(encoded), loss.detach(), [g for g in gradients if g is not None]))
    (once, loss, first), (twice, same, second) = found
    assert once > 1 and twice == (2 * once if again else once)
    assert torch.equal(loss, same) and len(first) == len(second) and all(map(torch.equal, first, second))


def test_encoders_rest_while_the_decoder_begins_to_read(tmp_path) -> None:
    trainer = Trainer(config(tmp_path, steps=4, rest=0.5))
    body = trainer.model.model
    heads = [head for part in body.reading.values() for head in (part.step_head, part.letter_head)]
    encoders = [p for part in (body.visual, body.audio, *heads) for p in part.parameters()]
    before = [p.detach().clone() for p in encoders]
    for step in range(4):
        trainer.step(feed())
        assert all(map(torch.equal, encoders, before)) == (step < 2)


def test_matrices_are_rounded_in_the_last_share_and_written_fine(tmp_path) -> None:
    """The forward pass sees 4 bits, encoders at rest included; what is saved and exported are the weights behind them."""
    trainer, stream = Trainer(config(tmp_path, steps=4, coarse=0.5, rest=1.0)), feed()
    optimizer, names = trainer.optimizer, targets(trainer.model)
    assert {optimizer.names[n] for n in optimizer.coarse} == set(names)
    parameters = dict(trainer.model.named_parameters())
    for step in range(4):
        trainer.step(stream)
        for n in optimizer.coarse:
            fine = optimizer.master(n)
            expected = rounded(fine) if step >= 2 else fine
            assert torch.equal(parameters[optimizer.names[n]].data, expected), optimizer.names[n]
    trainer.save(stream)
    exported = checkpoint.load(tmp_path / "model")[0].state_dict()
    assert all(torch.equal(exported[optimizer.names[n]], optimizer.master(n)) for n in optimizer.coarse)
    again = Trainer(config(tmp_path, steps=6, coarse=0.5, rest=1.0))
    again.restore(state.checkpoints(tmp_path)[-1])
    again.step(stream)
    assert again.optimizer.rounds


@pytest.mark.parametrize(
    "option, names",
    [
        ("lr_encoders", ["visual.blocks.0.mlp.fc1.weight", "reading.audio.letter_head.weight"]),
        ("lr_circuits", ["language_model.layers.0.self_attn.v_proj.weight", "reading.image.recall.weight"]),
    ],
)
def test_encoders_and_what_copies_may_learn_more_slowly(tmp_path, option, names) -> None:
    def moved(factor: float) -> list[float]:
        trainer = Trainer(config(tmp_path, steps=4, **{option: factor}))
        weights = dict(trainer.model.model.named_parameters())
        before = {name: weights[name].detach().clone() for name in names}
        trainer.step(feed())
        return [float((weights[name].detach() - before[name]).norm()) for name in names]

    assert moved(0.25) == pytest.approx([0.25 * length for length in moved(1.0)], rel=0.01)


def test_encoders_of_another_size_are_refused(tmp_path) -> None:
    run(Trainer(config(tmp_path / "first", steps=1)), feed())
    with pytest.raises(CheckpointError, match="do not fit"):
        Trainer(config(tmp_path / "next", size="nano", encoders_from=tmp_path / "first" / "model"))


WRONG = ({"encoders": 1.5}, {"encoders": -0.1}, {"spelling": 2.0}, {"coarse": 1.1}, {"init": "a", "encoders_from": "b"})


@pytest.mark.parametrize("wrong", WRONG)
def test_stages_that_make_no_sense_are_refused(tmp_path, wrong) -> None:
    with pytest.raises(OptionError):
        TrainConfig(out=tmp_path, steps=1, **wrong)


def test_texts_are_found_where_they_stand_and_only_those_that_stand_alone() -> None:
    """A picture of 3 x 4 tokens: a title over two columns, and two labels of which one shares a token with a number."""
    texts = (("title", (3, 4, 60, 20)), ("left", (0, 70, 31, 90)), ("right", (64, 70, 95, 90)), ("7", (90, 72, 96, 80)))
    written = tuple(Written(text, box) for text, box in texts)
    example = Example("s", (Part("image", Image(np.zeros((96, 128, 3), np.uint8))), text("?")), "a", written=written)
    found = source.spelled(example, {"image_grid_thw": np.array([[1, 6, 8]])}, lambda text: [len(text)])
    assert [bytes(item.letters.tolist()).decode() for item in found] == ["left", "title", "", "", ""]
    assert [item.words.tolist() for item in found] == [[4], [5], [], [], []]
    assert [item.tokens.tolist() for item in found] == [[8], [0, 1], [2, 3], [4, 5, 6, 7], [9, 11]]


def test_texts_side_by_side_are_read_one_after_the_other() -> None:
    """A row of labels that share tokens is one line; with a gap between them they are two, a number below spoils nothing. A tab
    parts them, which is a bar to the decoder."""
    texts = (("Feb", (20, 4, 40, 20)), ("Jan", (2, 5, 18, 20)), ("Apr", (98, 4, 120, 20)), ("9", (2, 40, 9, 50)))
    example = _seen(Image(np.zeros((64, 128, 3), np.uint8)), tuple(Written(text, box) for text, box in texts))
    found = source.spelled(example, {"image_grid_thw": np.array([[1, 4, 8]])}, lambda text: [ord(text[0])])
    read = [(bytes(item.letters.tolist()).decode(), item.words.tolist(), item.tokens.tolist()) for item in found]
    bar = ord(" ")
    assert read[:3] == [("Jan\tFeb", [ord("J"), bar, ord("F")], [0, 1]), ("9", [ord("9")], [4]), ("\tApr", [ord("A")], [3])]


def test_what_is_seen_in_a_clip_is_read_in_its_pair_of_frames() -> None:
    clip = Video(np.zeros((3, 64, 64, 3), np.uint8), np.arange(3) / 2, 1.5, None)
    example = _seen(clip, (Written("ring", (0, 4, 64, 20)), Written("ring", (0, 40, 64, 60), pair=1)))
    found = source.spelled(example, {"video_grid_thw": np.array([[2, 4, 4], [2, 4, 4]])}, lambda text: [1])
    assert {item.medium for item in found} == {"video"}
    assert [item.tokens.tolist() for item in found] == [[0, 1], [6, 7], [2, 3], [4, 5]]


def _seen(value: Image | Video, written: tuple[Written, ...]) -> Example:
    kind = "video" if isinstance(value, Video) else "image"
    return Example("s", (Part(kind, value), text("?")), "a", written=written)


def test_a_line_over_two_rows_is_read_in_one_of_them() -> None:
    example = Example("s", (Part("image", Image(np.zeros((64, 96, 3), np.uint8))), text("?")), "a", transcript="line")
    found = source.spelled(example, {"image_grid_thw": np.array([[1, 4, 6]])}, lambda text: [1])
    assert [(len(item.letters), item.tokens.tolist()) for item in found] == [(4, [3, 4, 5]), (0, [0, 1, 2])]


def test_of_a_page_only_what_stands_alone_in_its_tokens_is_read() -> None:
    """Its text layer says the rest: tokens with two lines are silent, as empty ones are."""
    page = Page(1, Image(np.zeros((64, 96, 3), np.uint8)), ())
    lines = (Written("title", (0, 4, 64, 20)), Written("one", (0, 34, 64, 44)), Written("two", (0, 48, 64, 58)))
    example = Example("s", (Part("document", Document((page,))), text("?")), "a", written=lines)
    found = source.spelled(example, {"image_grid_thw": np.array([[1, 4, 6]])}, lambda text: [1])
    assert [(len(item.letters), item.tokens.tolist()) for item in found] == [(5, [0, 1]), (0, [2]), (0, [3, 4, 5])]


def test_a_thing_is_shown_by_the_tokens_under_it_and_nothing_is_read_there() -> None:
    """Tokens of 32 pixels; a thing over two of them, and one smaller than a token."""
    seen = (Written("goat", (32, 0, 96, 32), thing=7), Written("bee", (2, 40, 12, 50), thing=3))
    example = Example("s", (Part("image", Image(np.zeros((64, 96, 3), np.uint8))), text("?")), "a", written=seen)
    tensors = {"image_grid_thw": np.array([[1, 4, 6]])}
    goat, bee = source.drawn(example, tensors)
    assert [(thing.thing, thing.tokens.tolist()) for thing in (goat, bee)] == [(7, [1, 2]), (3, [3])]
    np.testing.assert_allclose(goat.boxes, [[0, 0.5, np.log(2) / 2], [0, -0.5, np.log(2) / 2]], atol=1e-6)
    np.testing.assert_allclose(bee.boxes, [[-3 / 32, -9 / 32, np.log(10 / 32)]], atol=1e-6)
    found = source.spelled(example, tensors, lambda text: [1])
    assert [(len(item.letters), item.tokens.tolist()) for item in found] == [(0, [0, 1, 2]), (0, [3, 4, 5])]


@pytest.mark.skipif(not all(map(assets.fetched, assets.assets("font"))), reason=f"no fonts: run `{assets.COMMAND}`")
def test_the_texts_of_a_chart_lie_within_its_picture() -> None:
    for index in range(20):
        example = skills.example("charts.extreme", "train", index)
        height, width = example.parts[0].value.pixels.shape[:2]
        assert example.written
        assert all(-2 < box[0] < box[2] < width + 2 and -2 < box[1] < box[3] < height + 2 for _, box, *_ in example.written)
