"""Where a fresh decoder starts: with the two attention layers that copy already in place, instead of nothing.

Copying what followed an earlier occurrence ("induction"; Olsson et al. 2022, sections 2 and 3) takes two layers: heads of the
first write each token's predecessors into it, heads of the second look for a token whose predecessor equals the present one and
promote it. Found by gradient descent alone this takes some 1e9 tokens, because neither half helps without the other; reading a
page's text, a list or a transcript off the prompt is little else, and so is reading media aloud (`model/reading/`). Started
from it, training only has to refine it: nothing is held fixed. (Starting weights that imitate trained ones: Trockman and Kolter
2023.)
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from omnie.model.config import Architecture
from omnie.model.decoder import Attention
from omnie.model.layers.rope import frequencies
from omnie.model.omni import Omni
from omnie.model.reading import MEMORY, Reading

POSITION = 6.3
"""Size of the constant queries and keys that single out a distance: the next best distance scores 5 less."""
MATCH = 4.0
"""Size of the maps that compare tokens: equal ones score about 10, unequal ones 0 +- 2."""
WRITE = 5.0
"""What predecessors weigh in the residual stream, in units of the token itself."""
PROMOTE = 30.0
"""What the copied token weighs there."""
LIKENESS = 0.15
"""Share of a token's embedding (of its square) that it has in common with its other spellings: their cosine is about 0.4."""


@torch.no_grad()
def install(model: Omni) -> None:
    """Writes the two layers into the first two of a fresh model, one whose attention has biases; others stay as they are."""
    config, layers = model.config, model.model.language_model.layers
    shared = config.num_attention_heads // config.num_key_value_heads
    if not config.attention_bias or len(layers) < 2 or shared < 2 or config.num_key_value_heads < 2:
        return
    subspaces = _subspaces(config)
    _remember(layers[0].self_attn, config, *subspaces[:3])
    _find(layers[1].self_attn, config, shared, *subspaces)
    for reading in (model.model.reading or {}).values():
        _recall(reading, *subspaces[:3])


@torch.no_grad()
def liken(embedding: Tensor, texts: Sequence[bytes]) -> None:
    """Moves tokens that differ in capitals or in a blank before them ("Invoice", " invoice") towards each other, in place.

    A question rarely spells a word as the page does; what looks for the same token again then finds its other spellings too.

    Args:
        embedding: [vocabulary, hidden]; lengths stay as they are.
        texts: What the first tokens say, by id. Tokens that say no letters or digits stay as they are.
    """
    spellings = defaultdict(list)
    for token, said in enumerate(texts[: len(embedding)]):
        word = said.decode("utf-8", "ignore").strip().casefold()
        if word.isalnum():
            spellings[word].append(token)
    for tokens in spellings.values():
        own = embedding[tokens].float()
        lengths = own.norm(dim=1, keepdim=True)
        common = own.mean(0) / own.mean(0).norm() * lengths
        moved = (1 - LIKENESS) ** 0.5 * own + LIKENESS**0.5 * common
        if len(tokens) > 1:
            embedding[tokens] = (moved / moved.norm(dim=1, keepdim=True) * lengths).to(embedding.dtype)


def _subspaces(config: Architecture) -> list[Tensor]:
    """Four sets of orthonormal directions [head, hidden], apart from each other where the width allows it."""
    random = torch.randn(4 * config.head_dim, config.hidden_size)
    whole = 4 * config.head_dim <= config.hidden_size
    blocks = torch.linalg.qr(random.T).Q.T.split(config.head_dim) if whole else map(_orthonormal, random.split(config.head_dim))
    return list(blocks)


def _orthonormal(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows.T).Q.T


def _remember(layer: Attention, config: Architecture, content: Tensor, one_back: Tensor, two_back: Tensor) -> None:
    """Head 0 attends to the token before and writes its content into `one_back`; head 1 to the one before that.

    A query that is the same everywhere, turned by its position, meets a key that is the same everywhere, turned by its own:
    the score depends on the distance alone and is largest where their constant angle makes up for it.
    """
    head, fast = config.head_dim, config.head_dim // 8
    unit = config.hidden_size**-0.5  # of a fresh embedding's components
    angle = frequencies(head, config.rope_theta)[:fast]
    pair = torch.stack([angle.cos(), angle.sin()], dim=-1) * POSITION
    layer.k_proj.bias[: 2 * fast] = pair.flatten()  # one step ahead
    layer.q_proj.bias[: 2 * fast : 2] = POSITION
    layer.q_proj.bias[head : head + 2 * fast] = (pair * torch.tensor([1.0, -1.0])).flatten()  # one step behind
    layer.v_proj.weight[:head] = content
    layer.o_proj.weight[:, :head] = WRITE * unit * one_back.T
    layer.o_proj.weight[:, head : 2 * head] = WRITE * unit * two_back.T


def _recall(reading: Reading, content: Tensor, one_back: Tensor, two_back: Tensor) -> None:
    """Words read in media bring along the two before them in the place where text finds its predecessors."""
    head = len(content)
    if head > MEMORY:
        return
    reading.recall.weight[:head] = content
    reading.before.weight.zero_()
    reading.before.weight[:, :head] = WRITE * one_back.T
    reading.before.weight[:, MEMORY : MEMORY + head] = WRITE * two_back.T


def _find(
    layer: Attention, config: Architecture, shared: int, content: Tensor, one_back: Tensor, two_back: Tensor, copied: Tensor
) -> None:
    """Attends to what followed the present token before (and, in the second group, the present two), and promotes it.

    Only slowly turning channels compare, or the distance would matter as much as the content.
    """
    head = config.head_dim
    slow = slice(head // 2, head)
    half = (slow.start + slow.stop) // 2
    first, second = slice(slow.start, half), slice(half, head)
    q, k = (proj.weight.view(-1, head, config.hidden_size) for proj in (layer.q_proj, layer.k_proj))
    q[0, slow], k[0, slow] = MATCH * content[slow], MATCH * one_back[slow]
    q[shared, first], k[1, first] = MATCH * content[first], MATCH * one_back[first]
    q[shared, second], k[1, second] = MATCH * one_back[second], MATCH * two_back[second]
    layer.v_proj.weight[: 2 * head] = torch.cat([copied, copied])
    for n in (0, shared):
        layer.o_proj.weight[:, n * head : (n + 1) * head] = PROMOTE * config.hidden_size**-0.5 * copied.T
