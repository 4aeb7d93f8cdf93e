"""What prompts' tokens see ahead: as far as their own turn goes, and nothing of what the model writes."""

import dataclasses

import pytest
import torch
from tests.model.cases import toy
from torch import Tensor

from omnie.errors import CheckpointError, OptionError
from omnie.model.cache import KeyValueCache
from omnie.model.config import architecture
from omnie.model.hub import OmnieForConditionalGeneration
from omnie.model.layers import lookahead
from omnie.model.layers.lookahead import Lookahead, ahead
from omnie.model.omni import Omni
from omnie.processor import tokens
from omnie.processor.tokens import ID

B, E, S, U, A, T = (
    ID[token] for token in (tokens.BEGIN, tokens.END, tokens.SYSTEM, tokens.USER, tokens.ASSISTANT, tokens.TOOL)
)
TALK = [B, S, 40, 41, E, U, 50, 51, 52, 53, 54, 55, E, A, 60, 61, 62, 63, E, U, 70, 71, 72, E, A]
COUNT = 4


def places(count: int, first: int = 0) -> Tensor:
    return torch.arange(first, first + count)[None, :, None].expand(1, -1, 3)


def hidden(model: Omni, ids: list[int], **options) -> Tensor:
    """The decoder's output at each token, [T, D]."""
    with torch.no_grad():
        return model(torch.tensor([ids]), places(len(ids)), **options).hidden[0]


def seen(ids: list[int], **options) -> list[int]:
    """How many tokens each one sees ahead; it sees the nearest ones."""
    found = ahead(torch.tensor([ids]), COUNT, torch.float32, **options)
    assert found.shape == (1, len(ids), COUNT) and torch.equal(found, found.cummin(-1).values)
    return found[0].sum(-1).int().tolist()


def test_turns_are_known_by_the_tokens_of_the_vocabulary():
    assert set(lookahead.GIVEN) == {S, U, T} and set(lookahead.OTHER) == {ID[tokens.PAD], B, A}


def test_a_token_sees_to_the_end_of_its_own_turn():
    system, first, said, second = [3, 2, 1, 0], [4, 4, 4, 4, 3, 2, 1, 0], [0] * 6, [4, 3, 2, 1, 0]
    assert seen(TALK) == [0, *system, *first, *said, *second, 0]


def test_nothing_is_given_without_a_turn():
    assert not any(seen([40, 41, 42, 43])) and not any(seen([B, 40, 41, 42]))
    assert ahead(torch.tensor([[U]]), COUNT, torch.float32) is None


def test_sequences_of_a_row_do_not_see_each_other():
    ids, segments = [U, 40, 41, 42, 43, 44, U, 45], torch.tensor([[1, 1, 1, 2, 2, 2, 3, 3]])
    assert seen(ids, segments_BT=segments) == [2, 1, 0, 0, 0, 0, 1, 0]
    assert seen([B, U, 40, 41, B, U, 42, 43]) == [0, 2, 1, 0, 0, 2, 1, 0]


def test_pieces_of_a_prompt_go_on_with_its_turn():
    cache = KeyValueCache(len(TALK))
    pieces = [TALK[:8], TALK[8:15], TALK[15:18], TALK[18:21], TALK[21:]]
    whole, found = seen(TALK), [seen(piece, cache=cache) for piece in pieces]
    first = 0
    for piece, got in zip(pieces, found, strict=True):
        assert got == [min(n, len(piece) - 1 - at) for at, n in enumerate(whole[first : first + len(piece)])]
        first += len(piece)
    one_by_one = KeyValueCache(len(TALK))
    given = []
    for token in TALK:
        assert ahead(torch.tensor([[token]]), COUNT, torch.float32, one_by_one) is None
        given.append(bool(getattr(one_by_one, lookahead.OPEN)))
    assert given == [n > 0 or TALK[at] == E and at != 18 for at, n in enumerate(whole)]


def test_a_fresh_one_changes_nothing():
    layer, x = Lookahead(6, 3), torch.randn(1, 5, 6)
    layer.initialise()
    assert layer.convolution.abs().min() > 0 and torch.equal(layer(x, torch.ones(1, 5, 3)), x)


def test_each_token_has_those_behind_it_in_it():
    layer, x = Lookahead(6, 3).double(), torch.randn(2, 5, 6, dtype=torch.float64)
    torch.nn.init.normal_(layer.convolution)
    mask = ahead(torch.tensor([[U, 40, 41, A, 42], [40, U, 41, 42, 43]]), 3, torch.float64)
    wanted = x.clone()
    for row in range(2):
        for t in range(5):
            near = [layer.convolution[k] * x[row, t + 1 + k] for k in range(3) if mask[row, t, k]]
            wanted[row, t] += layer.proj(sum(near, torch.zeros(6, dtype=torch.float64)))
    torch.testing.assert_close(layer(x, mask), wanted)


def test_words_of_the_prompt_change_what_stands_before_them_in_their_turn_only():
    model, other = toy(), list(TALK)
    other[9] = 99  # "53", the fourth word of the user's first turn
    changed = (hidden(model, TALK) - hidden(model, other)).abs().amax(-1) > 1e-4
    assert changed.tolist()[:5] == [False] * 5 and changed[5:].all()


def test_what_the_model_writes_changes_nothing_before_it():
    model = toy()
    for at in range(14, 18):
        other = list(TALK)
        other[at] = 99
        changed = (hidden(model, TALK) - hidden(model, other)).abs().amax(-1) > 1e-4
        assert not changed[:at].any() and changed[at]


@torch.no_grad()
def test_an_answer_word_by_word_is_the_answer_as_a_whole():
    model, cache = toy(), KeyValueCache(len(TALK))
    whole = hidden(model, TALK)
    found = [model(torch.tensor([TALK[:14]]), places(14), cache=cache).hidden[0]]
    for at in range(14, 19):
        found.append(model(torch.tensor([[TALK[at]]]), places(1, at), cache=cache, past=at).hidden[0])
    found.append(model(torch.tensor([TALK[19:]]), places(6, 19), cache=cache, past=19).hidden[0])
    torch.testing.assert_close(torch.cat(found), whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_transformers_face_sees_the_same():
    model = toy()
    face = OmnieForConditionalGeneration.of(model).eval()
    ids, pad = torch.tensor([TALK]), 3
    torch.testing.assert_close(face.model(ids).last_hidden_state[0], hidden(model, TALK), rtol=1e-4, atol=1e-4)
    padded = torch.cat([torch.zeros(1, pad, dtype=torch.long), ids], dim=1)
    real = (torch.arange(padded.shape[1]) >= pad).long()[None]
    found = face.model(padded, attention_mask=real).last_hidden_state[0, pad:]
    torch.testing.assert_close(found, hidden(model, TALK), rtol=1e-4, atol=1e-4)
    two = torch.tensor([[*TALK, *TALK]])
    rows = face.model(two, position_ids=torch.cat([places(len(TALK))] * 2, dim=1)[..., 0]).last_hidden_state[0]
    torch.testing.assert_close(rows, torch.cat([hidden(model, TALK)] * 2), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_transformers_generates_what_the_cache_of_our_own_gives():
    model, cache = toy(), KeyValueCache(64)
    made, ids = [], torch.tensor([TALK])
    for _ in range(5):
        past = cache.length
        token = model(ids, places(ids.shape[1], past), cache=cache, past=past, logits_to_keep=1).logits[0, -1].argmax()
        made.append(int(token))
        ids = token[None, None]
    face = OmnieForConditionalGeneration.of(model).eval()
    found = face.generate(torch.tensor([TALK]), max_new_tokens=5, do_sample=False, eos_token_id=None)
    assert found[0, len(TALK) :].tolist() == made


def test_embeddings_without_ids_are_refused():
    face = OmnieForConditionalGeneration.of(toy()).eval()
    with pytest.raises(OptionError, match="turns are known by token ids"):
        face.model(inputs_embeds=torch.randn(1, 4, 64))
    assert face.model(inputs_embeds=torch.randn(1, 1, 64)).last_hidden_state.shape == (1, 1, 64)


def test_what_is_plain_sees_nothing():
    model = toy()
    plain = torch.ones(1, len(TALK), dtype=torch.bool)
    weights = model.state_dict()
    bare = toy(lookahead=None)
    bare.load_state_dict({name: value for name, value in weights.items() if ".lookahead." not in name})
    assert not torch.allclose(hidden(model, TALK), hidden(bare, TALK))
    torch.testing.assert_close(hidden(model, TALK, plain=plain), hidden(bare, TALK))


def test_every_weight_learns():
    model = toy()
    model(torch.tensor([TALK]), places(len(TALK))).hidden.pow(2).mean().backward()
    layer = model.model.language_model.lookahead
    assert layer.convolution.grad.abs().min() > 0 and layer.proj.weight.grad.abs().max() > 0


@pytest.mark.parametrize("value", [0, 65, 2.5, True, "4"])
def test_absurd_numbers_are_refused(value):
    with pytest.raises(CheckpointError, match="lookahead is not usable"):
        dataclasses.replace(architecture("toy"), lookahead=value).check()


def test_another_vocabulary_is_refused():
    with pytest.raises(CheckpointError, match="our own vocabulary"):
        dataclasses.replace(architecture("toy"), placeholders={"image": 9}).check()
