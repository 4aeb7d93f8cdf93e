"""Heads follow the trail of those of the layer before: copying goes on where it was."""

import pytest
import torch

from omnie.errors import CheckpointError
from omnie.model.config import architecture
from omnie.model.layers.trail import Following, Trail

HEAD, SHARED, TOKENS = 64, 2, 120


@torch.no_grad()
def looks(places: list[int], past: int = 0) -> torch.Tensor:
    """Where the following head looks, given where the one before looked: [T]."""
    trail, following = Trail(past, torch.ones(1, TOKENS, 4), HEAD, SHARED), Following(4, 1, HEAD, (0, 0))
    following.initialise()
    marked = trail.mark(torch.zeros(1, TOKENS, 1, HEAD))
    trail.leave(marked[:, [place - past for place in places]].expand(-1, -1, SHARED, -1))
    heads = torch.zeros(1, TOKENS, SHARED, HEAD), torch.zeros(1, TOKENS, 1, HEAD), torch.zeros(1, TOKENS, 1, HEAD)
    q, k, v = following(heads, trail, None, None)
    assert not q[:, :, 1:].any(), "only the first of the heads that share keys follows"
    torch.testing.assert_close(v[0, :, 0], following.words(torch.ones(TOKENS, 4)))
    scores = (q[0, :, 0] @ k[0, :, 0].T) * HEAD**-0.5
    return scores.masked_fill(~torch.ones(TOKENS, TOKENS).tril().bool(), -torch.inf).softmax(-1)


def test_a_head_that_was_right_for_some_words_is_followed_beyond_them():
    """The head before copies from 70 tokens back, but is lost in the last five."""
    torch.manual_seed(0)
    right = [max(token - 70, 0) for token in range(TOKENS)]
    lost = right[:115] + torch.randint(0, 60, (5,)).tolist()
    found = looks(lost)
    assert found[100:, :].argmax(1).tolist() == right[100:]
    assert bool((found[range(100, TOKENS), right[100:]] > 0.8).all())


@pytest.mark.parametrize("past", [0, 5000])
def test_distances_count_and_not_places(past: int):
    """Whatever stands before: the pass over new tokens alone gives what the whole sequence gave."""
    places = [max(token - 40, 0) for token in range(TOKENS)]
    torch.testing.assert_close(looks([past + place for place in places], past)[60:], looks(places)[60:], atol=2e-3, rtol=0)


def test_it_does_not_follow_where_heads_look_everywhere():
    torch.manual_seed(0)
    found = looks(torch.randint(0, TOKENS, (TOKENS,)).tolist())
    votes = found[60:].max(1).values
    sure = looks([max(token - 40, 0) for token in range(TOKENS)])[60:].max(1).values
    assert float(votes.mean()) < float(sure.min())


@pytest.mark.parametrize("layer", [-1, 1, 7, 0.5])
def test_a_layer_that_none_follows_is_refused(layer: object):
    config = architecture("toy")
    config.trail_layer = layer
    with pytest.raises(CheckpointError, match="trail_layer"):
        config.check()
