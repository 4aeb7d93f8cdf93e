"""Where the words of answers stand, and heads that are told so."""

import numpy as np
import pytest
import torch

from omnie.errors import OptionError
from omnie.inputs import IMAGE
from omnie.model.config import architecture
from omnie.model.omni import Omni
from omnie.model.reading import Words
from omnie.processor import Encoder
from omnie.processor.tokens import COUNT, ID
from omnie.train.objective.pointing import Places, Pointers, asked, breaks, quoted, told_heads, told_places
from omnie.train.stream.packing import IGNORE
from omnie.train.stream.source import BUILT_IN
from omnie.train.trainer import Trainer

from .test_run import config, feed

X = IGNORE


def conversation(prompt: list[int], answer: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(prompt + answer), np.array([X] * len(prompt) + answer)


@pytest.mark.parametrize(
    ("prompt", "answer", "places"),
    [
        ([5, 6, 7, 8, 9], [6, 7, 2], [1, 2, X]),  # the end mark stands nowhere
        ([5, 6, 7, 4, 6, 8], [6, 8], [4, 5]),  # 6 stands twice; the passage decides
        ([6, 3, 5, 6, 7, 8, 3, 9], [6, 7, 8], [3, 4, 5]),  # the longest passage, not the first
        ([5, 6, 1, 5, 6], [5, 6], [X, X]),  # twice the same
        ([5, 6, 7], [6, 9], [X, X]),  # a single word
        ([1, 2, 3, 9, 4, 5, 6], [4, 5, 1, 2], [4, 5, 0, 1]),  # two passages
        ([7, 7], [7], [X]),
    ],
)
def test_the_longest_passage_is_the_source(prompt, answer, places):
    words, labels = conversation(prompt, answer)
    found = quoted(words, labels)
    assert found[len(prompt) - 1 : -1].tolist() == places
    assert (found[: len(prompt) - 1] == X).all() and found[-1] == X


def test_what_was_answered_before_is_no_source():
    words = np.array([1, 2, 3, 5, 6, 9, 8, 5, 6])
    labels = np.array([X, X, X, 5, 6, X, X, 5, 6])
    assert (quoted(words, labels) == X).all()


def test_a_conversation_that_begins_with_an_answer_has_no_sources():
    words, labels = conversation([], [4, 5])
    assert (quoted(words, labels) == X).all()


def test_words_in_media_count_as_they_are_read_and_rows_keep_apart():
    ids = torch.tensor([[90, 91, 3, 0, 0, 0, 4, 11, 12, 0]])
    types = torch.tensor([[0, 0, 0, IMAGE, IMAGE, IMAGE, 0, 0, 0, 0]])
    segments = torch.tensor([[1, 1, 2, 2, 2, 2, 2, 2, 2, 0]])
    labels = torch.full_like(ids, X)
    labels[0, 7:9] = torch.tensor([11, 12])
    read = Words(np.array([11, 12]), np.array([0, 0]), np.array([1, 2]), np.array([-1, 0]), np.array([-1, -1]))
    inputs = {"input_ids": ids, "mm_token_type_ids": types, "segment_ids": segments}
    assert told_places(inputs, labels, {IMAGE: read}, frozenset()).sources[0].tolist() == [X] * 6 + [4, 5, X, X]
    assert (told_places(inputs, labels, {}, frozenset()).sources == X).all()


USER, END, SAY = 0, 1, 2
"""Marks of the turns; 3 is a line break."""


def conversation_of(turns: list[tuple[list[int], list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    words, labels = [], []
    for prompt, answer in turns:
        words += [USER, *prompt, END, SAY, *answer, END]
        labels += [X] * (len(prompt) + 3) + [*answer, END]
    return np.array(words), np.array(labels), np.isin(words, [USER, END, SAY, 3])


def test_words_of_the_answer_are_looked_for_in_the_question_not_in_what_stands_before_it():
    found, missing = asked(*conversation_of([([10, 11, 12, 3, 20, 21, 10, 22], [10, 11, 20, 21, 9])]))
    #                                     a text: 1, 2, 3; the question: 5 to 8; the answer from 11 on
    assert found[11:].tolist() == [X, X, 5, 6, X, X]  # one word alone (10) may stand there by chance
    assert missing[11:].tolist() == [X, 0, X, X, 0, 0]
    assert (found[:11] == X).all() and (missing[:11] == X).all()


def test_each_answer_has_a_question_of_its_own():
    found, _ = asked(*conversation_of([([20, 21], [20, 21]), ([30, 31], [20, 21, 30, 31])]))
    assert found.tolist() == [X] * 5 + [1, 2, X] + [X] * 5 + [X, X, 9, 10, X]


def test_a_question_that_is_not_in_words_asks_for_none():
    words, labels, apart = conversation_of([([20, 21], [20, 21]), ([40, 40], [20, 21])])
    apart[words == 40] = True  # a recording
    found, missing = asked(words, labels, apart)
    assert (found[8:] == X).all() and (missing[8:] == X).all()


def test_special_tokens_and_line_breaks_end_a_question():
    tokenizer = Encoder.load(BUILT_IN).tokenizer
    found = breaks(tokenizer)
    assert ID["<|user|>"] in found and set(tokenizer.encode("\n")) <= found
    assert not found & set(tokenizer.encode("What stands in row 7?")) and len(found) < COUNT + 10


def test_the_loss_is_that_of_the_attention_at_the_source():
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, 6, 8), torch.randn(1, 2, 6, 8), torch.randn(1, 2, 6, 8)
    segments = torch.tensor([[1, 1, 2, 2, 2, 2]])
    pointers = Pointers(segments, {"sources": {3: range(0, 4, 2)}, "asked": {}, "unasked": {2: [1]}})
    for layer in (2, 3):
        module = torch.nn.Module()
        module.layer_idx = layer
        pointers(module, q, k, v, None, scaling=0.4)
    places = torch.tensor([[X, X, X, X, X, 3]])
    want = [-torch.log_softmax(q[0, h, 5] @ k[0, h // 2, 2:].T * 0.4, -1)[1] for h in (0, 2)]
    nowhere = torch.full((1, 6), X)
    losses = pointers.losses(Places(places, nowhere, nowhere))
    assert set(losses) == {"sources/3", "unasked/2"} and float(losses["unasked/2"]) == 0.0
    torch.testing.assert_close(losses["sources/3"], torch.stack(want).mean())
    own = pointers.losses(Places(nowhere, places, places))
    torch.testing.assert_close(own["unasked/2"], -torch.log_softmax(q[0, 1, 5] @ k[0, 0, 2:].T * 0.4, -1)[1])
    assert float(own["sources/3"]) == 0.0


def test_the_first_of_the_heads_that_share_keys_is_told():
    heads = told_heads(architecture("nano"))
    assert {layer: list(told) for layer, told in heads["sources"].items()} == {1: [0, 2], 3: [0, 2], 4: [0, 2]}
    assert {layer: list(told) for layer, told in heads["asked"].items()} == {2: [0]} and heads["unasked"] == heads["asked"]


def test_every_head_that_is_told_in_nano_learns_from_it():
    torch.manual_seed(0)
    model = Omni(architecture("nano"))
    ids, labels = torch.randint(40, 1000, (1, 24)), torch.full((1, 24), X)
    ids[0, 16:19] = torch.tensor([ID["<|end_of_sentence|>"], ID["<|assistant|>"], int(ids[0, 10])])
    ids[0, 19:22] = ids[0, 11:14]
    labels[0, 18:] = ids[0, 18:]
    inputs = {"input_ids": ids, "mm_token_type_ids": torch.zeros_like(ids), "segment_ids": torch.ones_like(ids)}
    pointers = Pointers(inputs["segment_ids"], told_heads(model.config))
    model(ids, torch.arange(24)[None, :, None].expand(1, -1, 3), segment_ids=inputs["segment_ids"], attend=pointers)
    losses = pointers.losses(told_places(inputs, labels, {}, frozenset({0, 1, 2, 3, 4, 5})))
    assert set(losses) == {"sources/1", "sources/3", "sources/4", "asked/2", "unasked/2"}
    for name, loss in losses.items():
        layer = model.model.language_model.layers[int(name[-1])].self_attn
        assert float(loss.detach()) > 0.0
        assert torch.autograd.grad(loss, layer.k_proj.weight, retain_graph=True)[0].abs().max() > 0.0, name


def test_a_window_out_of_which_heads_would_have_to_look_is_refused():
    config = architecture("toy")
    config.sliding_window = 8
    with pytest.raises(OptionError, match="sliding window"):
        told_heads(config)


def test_heads_that_are_told_look_where_the_answer_stands(tmp_path):
    trainer = Trainer(config(tmp_path, steps=30, pointing=1.0, rest=1.0))
    step = next(step for step in feed() if int((told_places(step.inputs, step.labels, {}, trainer.breaks)[0] != X).sum()) > 3)
    found = []
    for _ in range(30):
        trainer.step(iter([step]))
        found.append(trainer.meter.flush())
    for layer in (0, 1):
        assert found[-1][f"pointing/sources/{layer}"] < 0.7 * found[0][f"pointing/sources/{layer}"]
