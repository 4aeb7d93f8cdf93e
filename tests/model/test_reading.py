"""What encoders read reaches the decoder as words: the recurrence, independence of items, and copying before any training."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.errors import CheckpointError
from omnie.inputs import AUDIO, MEL_BINS, audio_tokens
from omnie.model import config as architecture
from omnie.model.omni import Omni
from omnie.model.reading import BLOCKS, REACH, Reading, Told, places, word_slots, words_before
from omnie.train import circuits

WORDS = 20


def one_by_one(words_SM: Tensor, silence_S: Tensor) -> Tensor:
    """`words_before` of one item as the recurrence that it stands for."""
    last = before_last = torch.zeros(words_SM.shape[1])
    found = []
    for word, silence in zip(words_SM, silence_S, strict=True):
        found.append((1 - silence) * torch.cat([last, before_last]))
        before_last = silence * before_last + (1 - silence) * last
        last = silence * last + word
    return torch.stack(found)


@pytest.mark.parametrize(
    "lengths", [[1], [REACH], [REACH + 1], [3, 2 * REACH, 5, 200], [BLOCKS * REACH, 70, BLOCKS * REACH + 1]]
)
def test_words_before_are_those_of_the_recurrence(lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(sum(lengths))
    q = torch.rand(sum(lengths), generator=generator) ** 3
    words = torch.randn(len(q), 5, generator=generator) * q[:, None]
    items = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    expected = [one_by_one(w, s) for w, s in zip(words.split(lengths), (1 - q).split(lengths), strict=True)]
    assert torch.allclose(words_before(words, 1 - q, items), torch.cat(expected), atol=1e-5)


def test_a_word_is_forgotten_after_its_reach_and_not_before() -> None:
    for gap, kept in ((REACH, 1.0), (REACH + 1, 0.0)):
        words, silence = torch.zeros(gap + 1, 1), torch.ones(gap + 1)
        words[[0, gap]], silence[[0, gap]] = 1.0, 0.0
        found = words_before(words, silence, torch.zeros(gap + 1, dtype=torch.long))[gap, 0]
        assert float(found) == pytest.approx(kept, abs=1e-3)


def test_certain_steps_keep_gradients_finite() -> None:
    words, silence = torch.zeros(300, 2, requires_grad=True), torch.ones(300)
    silence[::7] = 0.0
    silence.requires_grad_()
    words_before(words, silence, torch.zeros(300, dtype=torch.long)).sum().backward()
    assert torch.isfinite(words.grad).all() and torch.isfinite(silence.grad).all()


def test_items_are_read_apart_and_in_pieces_alike(monkeypatch) -> None:
    torch.manual_seed(0)
    reading = Reading(16, WORDS, 4, flat=True)
    torch.nn.init.normal_(reading.word_head.weight)
    tokens, words = torch.randn(50, 16), torch.randn(WORDS, 16)
    counts = [7, 30, 13]
    sizes = [(1, 1, 7), (2, 3, 5), (1, 1, 13)]
    with torch.no_grad():
        whole = reading(tokens, sizes, words)
        alone = [reading(part, [size], words) for part, size in zip(tokens.split(counts), sizes, strict=True)]
        monkeypatch.setattr("omnie.model.reading.CHUNK", 8)
        pieces = reading(tokens, sizes, words)
    assert torch.allclose(whole, torch.cat(alone), atol=1e-5)
    assert torch.allclose(whole, pieces, atol=1e-5)
    assert not torch.allclose(whole, tokens, atol=0.1)


def test_places_are_shares_of_the_picture() -> None:
    found = places([(2, 2, 3), (1, 4, 3)])
    assert found.shape == (24, 8)
    assert torch.equal(found[:6], found[6:12])  # the second frame is like the first
    down, across = torch.tensor([0.25, 0.75]), torch.tensor([1 / 6, 1 / 2, 5 / 6])
    assert torch.allclose(found[:6, 0].view(2, 3), torch.cos(torch.pi * down)[:, None].expand(2, 3), atol=1e-6)
    assert torch.allclose(found[:6, 4].view(2, 3), torch.cos(torch.pi * across).expand(2, 3), atol=1e-6)


def test_what_is_certainly_read_is_added_as_its_embedding() -> None:
    """The n-th word goes to the n-th token, and a word that lasts two steps is one."""
    reading, words = Reading(16, WORDS, 2), torch.randn(WORDS, 16)
    torch.nn.init.zeros_(reading.before.weight)
    said = torch.full((3, 2, WORDS + 1), -100.0)
    for token, step, word in ((0, 0, WORDS), (0, 1, 4), (1, 0, WORDS), (1, 1, WORDS), (2, 0, 9), (2, 1, WORDS)):
        said[token, step, word] = 0.0
    reading.logits = lambda tokens: said
    added = reading(torch.zeros(3, 16), [(1, 1, 3)], words)
    assert torch.allclose(added, torch.stack([words[4], words[9], torch.zeros(16)]), atol=1e-5)


def slots(likeliest: list[int], spans: list[int], steps: int) -> list[int]:
    return word_slots(torch.tensor(likeliest), 0, spans, steps).tolist()


def test_the_nth_word_of_a_span_goes_to_its_nth_token() -> None:
    assert slots([0, 0, 5, 0, 0, 7, 6, 0], [4], 2) == [0, 0, 0, 1, 1, 1, 2, 3]
    assert slots([5, 5, 0, 5, 0, 0], [3], 2) == [0, 0, 1, 1, 2, 2]  # one word of two steps, then the same again
    assert slots([3, 0, 0, 0, 3, 4], [1, 2], 2) == [0, 0, 1, 1, 1, 2]  # spans are counted apart


def test_more_words_than_tokens_stand_together_with_their_neighbours() -> None:
    assert slots([1, 2, 3, 4, 5, 0, 0, 0], [2], 4) == [0, 0, 0, 1, 1, 1, 1, 1]
    assert slots([1, 2, 1, 2], [1], 4) == [0, 0, 0, 0]


def test_long_sound_keeps_its_words_near_their_time(monkeypatch) -> None:
    monkeypatch.setattr("omnie.model.reading.SPAN", 2)
    assert Reading(16, WORDS, 2)._spans([(1, 1, 5), (1, 1, 2)]) == [2, 2, 1, 2]
    assert Reading(16, WORDS, 2, flat=True)._spans([(2, 3, 5), (1, 1, 2)]) == [15, 15, 2]


def test_told_words_are_read_whatever_the_tokens_say() -> None:
    p = torch.rand(6, WORDS + 1).softmax(-1)
    told = Told(torch.tensor([False, True, True, True, False, False]), torch.tensor([2]), torch.tensor([7]))
    found = told.instead_of(p)
    assert torch.equal(found[[0, 4, 5]], p[[0, 4, 5]])
    assert found[1:4].argmax(-1).tolist() == [WORDS, 7, WORDS] and torch.equal(found[1:4].sum(-1), torch.ones(3))


@pytest.mark.parametrize("crowded", [False, True])
def test_a_fresh_decoder_copies_what_a_recording_says(monkeypatch, crowded: bool) -> None:
    """With a reading that is right, the layers that copy text copy speech, before anything was learned; also where two words
    are read in one token and none in the next three."""
    torch.manual_seed(0)
    model = Omni(architecture.architecture("nano")).eval()
    circuits.install(model)
    passage = torch.randint(60, 1024, (40,), generator=torch.Generator().manual_seed(1))
    mel = 8 * 80
    tokens, steps = audio_tokens(mel), model.config.reading["audio"]
    said = torch.full((tokens * steps, model.config.vocab_size + 1), -20.0)
    said[:, -1] = 0.0
    for n, word in enumerate(passage.tolist()):  # one word in two tokens
        step = 16 * (n // 2) + 2 * (n % 2) if crowded else 8 * n + 3
        said[step, -1], said[step, word] = -20.0, 0.0
    monkeypatch.setattr(model.model.reading["audio"], "logits", lambda x: said.view(tokens, steps, -1))
    ids = torch.cat([torch.zeros(tokens, dtype=torch.long), passage])[None]
    with torch.no_grad():
        logits = model(
            ids,
            torch.arange(ids.shape[1])[None, :, None].expand(1, -1, 3),
            mm_token_type_ids=torch.tensor([[AUDIO] * tokens + [0] * 40]),
            input_features=torch.randn(mel, MEL_BINS),
            audio_lengths=torch.tensor([mel]),
        ).logits[0, tokens:-1]
    assert (logits.argmax(-1) == passage[1:]).float().mean() > 0.7
    assert F.cross_entropy(logits, passage[1:]) < 4.0  # 6.9 by chance


@pytest.mark.parametrize("wrong", [{"video": 2}, {"image": 0}, {"image": 65}, {"audio": 1.5}, ["image"], 3])
def test_readings_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(CheckpointError, match="reading"):
        architecture.Architecture(reading=wrong).check()
