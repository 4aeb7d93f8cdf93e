"""Token embeddings that spell: which tokens take part, and that a fresh model's embeddings are read as their text."""

import torch

from omnie.model.config import architecture
from omnie.model.omni import Omni
from omnie.processor.tokens import COUNT, SPECIAL
from omnie.train.objective.letters import Letters, spell, spelling_of
from omnie.train.objective.losses import AlignmentHeads

TEXTS = [*(name.encode() for name in SPECIAL), b"a", b"ab", "ä".encode(), b"abcde", b""]


def test_special_empty_and_long_tokens_do_not_spell() -> None:
    chosen, spelt = spelling_of(TEXTS, most=4)
    assert chosen.tolist() == [COUNT, COUNT + 1, COUNT + 2]
    assert spelt.target_lengths.tolist() == [1, 2, 2]
    assert bytes(spelt.targets.tolist()) == b"aab" + "ä".encode()


def test_spelling_sets_embeddings_that_the_heads_read() -> None:
    torch.manual_seed(0)
    model = Omni(architecture("toy"))
    heads = AlignmentHeads(model.config.hidden_size)
    for head in heads.head.values():
        torch.nn.init.normal_(head.weight, std=2.0)
    words = [*TEXTS[:COUNT], *(bytes([a, b]) for a in b"abcdefgh" for b in b"aeiou")]
    letters = Letters(words, heads, torch.device("cpu"))
    embedding = model.model.language_model.embed_tokens.weight
    before, special = float(letters.loss(embedding.detach())), embedding[:COUNT].detach().clone()
    spell(model, letters)
    assert float(letters.loss(embedding.detach())) < 0.85 * before
    assert torch.allclose(embedding.norm(dim=-1), torch.ones(len(embedding)), atol=0.4)
    assert torch.allclose(embedding[:COUNT], torch.nn.functional.normalize(special, dim=-1))


def test_the_loss_trains_heads_and_embeddings() -> None:
    heads = AlignmentHeads(16)
    embedding = torch.randn(len(TEXTS), 16, requires_grad=True)
    Letters(TEXTS, heads, torch.device("cpu")).loss(embedding).backward()
    assert embedding.grad is not None and embedding.grad[COUNT : COUNT + 4].abs().sum(1).min() > 0
    assert all(head.weight.grad is not None for head in heads.head.values())
