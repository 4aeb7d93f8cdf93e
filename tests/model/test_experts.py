"""Routers, and where gradients may go."""

import re

import pytest
import torch

from laws import assert_close
from omnie.model.experts import Router, RouterTrace, TokenGroups

from .cases import CONVERSATIONS, conversation, gradients, toy

GROUPS = {0: "text", 1: "vision", 2: "vision", 3: "audio"}
"""Modality -> expert group."""
ENCODERS = {"image": "visual", "clip": "visual", "audio": "audio"}


@pytest.fixture(scope="module")
def model():
    return toy()


def router(bias: list[float] | None = None) -> Router:
    torch.manual_seed(1)
    result = Router(16, 6, 3)
    torch.nn.init.normal_(result.weight)
    if bias:
        result.bias.copy_(torch.tensor(bias))
    return result


def touched(found: dict[str, torch.Tensor]) -> set[str]:
    """Names of the parts whose gradient is not all zero: expert groups, the shared experts, the encoders."""
    parts = {f".groups.{group}.": group for group in ("text", "vision", "audio")}
    parts |= {".shared_experts.": "shared", "model.visual.": "visual", "model.audio.": "audio encoder"}
    return {part for key, part in parts.items() for name, grad in found.items() if key in name and bool(grad.any())}


@pytest.mark.parametrize("modality", GROUPS, ids=["text", "image", "video", "audio"])
def test_a_token_s_gradient_reaches_only_its_own_experts_and_the_shared_ones(model, modality):
    """The toy has one expert layer, its last: what comes out at a token went through that token's experts alone."""
    inputs = conversation(*CONVERSATIONS["all"])
    hidden = model(**inputs).hidden
    hidden[inputs["mm_token_type_ids"] == modality].pow(2).sum().backward()
    found = gradients(model)
    assert touched(found) & {"text", "vision", "audio", "shared"} == {GROUPS[modality], "shared"}
    for part in ("gate.weight", "experts.gate_up_proj", "experts.down_proj"):
        assert found[f"model.language_model.layers.1.mlp.groups.{GROUPS[modality]}.{part}"].any(), part


@pytest.mark.parametrize("name", ["text", *ENCODERS])
def test_a_conversation_s_gradient_reaches_the_experts_and_encoders_of_its_media(model, name):
    inputs = conversation(*CONVERSATIONS[name])
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    want = {
        "text": {"text", "shared"},
        "image": {"text", "shared", "vision", "visual"},
        "audio": {"text", "shared", "audio", "audio encoder"},
        "clip": {"text", "shared", "vision", "visual", "audio", "audio encoder"},
    }
    found = touched(gradients(model))
    # The one expert layer is the last: media tokens' own experts only matter where a media token predicts the next.
    assert found == want[name]


def test_what_stands_before_a_picture_sends_it_nothing(model):
    inputs = conversation(*CONVERSATIONS["image"])
    labels = inputs["input_ids"].clone()
    labels[:, 4:] = -100
    model(**inputs, labels=labels).loss.backward()
    assert touched(gradients(model)) == {"text", "shared"}


def test_every_parameter_learns_from_all_modalities_together(model):
    inputs = conversation(*CONVERSATIONS["all"])
    model(**inputs).logits.pow(2).mean().backward()
    still = {name for name, _ in model.named_parameters()} - {n for n, g in gradients(model).items() if bool(g.any())}
    # What is read is a choice of letters, which only the alignment loss teaches; a fresh model reads nothing. No turn is given.
    known = r"reading\.\w+\.(things|step_head|letter_head|recall|before|source)\.|\.lookahead\."
    assert all(re.search(known, name) for name in still), still


def test_an_unknown_modality_s_tokens_use_the_text_experts():
    """A model without vision and audio experts, as the published text-only ones."""
    groups = TokenGroups.of(torch.tensor([[0, 1, 2, 3, 0]]), ["text"])
    assert {name: index.tolist() for name, index in groups.index.items()} == {"text": [0, 1, 2, 3, 4]}


def test_tokens_are_grouped_by_modality():
    groups = TokenGroups.of(torch.tensor([[0, 1, 1], [3, 2, 0]]), ["text", "vision", "audio"])
    assert {name: index.tolist() for name, index in groups.index.items()} == {"text": [0, 5], "vision": [1, 2, 4], "audio": [3]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chosen_weights_sum_to_one(dtype):
    probabilities, index, weight = router()(torch.randn(50, 16).to(dtype))
    assert weight.dtype == dtype and probabilities.dtype == torch.float32
    assert all(len(set(row)) == 3 for row in index.tolist())
    torch.testing.assert_close(weight.float().sum(-1), torch.ones(50), rtol=0, atol=1e-6 if dtype == torch.float32 else 0.02)


def test_the_largest_probabilities_are_chosen():
    x = torch.randn(50, 16)
    probabilities, index, weight = router()(x)
    order = probabilities.argsort(dim=-1, descending=True)[:, :3]
    assert torch.equal(index, order)
    best = probabilities.gather(1, order)
    assert_close("weights", weight, best / best.sum(-1, keepdim=True))


def test_the_bias_changes_the_choice_but_not_the_weights():
    x = torch.randn(50, 16)
    plain, _, _ = router()(x)
    probabilities, index, weight = router([0, 0, 0, 0, 2.0, -2.0])(x)
    assert torch.equal(probabilities, plain)
    assert bool((index == 4).any(-1).all()) and not bool((index == 5).any())
    chosen = plain.gather(1, index)
    assert_close("weights", weight, chosen / chosen.sum(-1, keepdim=True))


def test_the_bias_takes_no_gradient():
    probe = router([0.1] * 6)
    probe(torch.randn(5, 16))[2][:, 0].sum().backward()
    assert probe.weight.grad.any() and not probe.bias.requires_grad


CASTS = {"to": lambda m: m.to(torch.bfloat16), "bfloat16": lambda m: m.bfloat16(), "half": lambda m: m.half()}


@pytest.mark.parametrize("name", CASTS)
def test_routers_stay_float32_when_the_model_is_cast(name):
    """And unrounded: a router that went through bfloat16 chooses other experts."""
    plain, model = toy(), CASTS[name](toy())
    assert model.model.language_model.embed_tokens.weight.dtype != torch.float32
    routers = [(a, b) for a, b in zip(plain.modules(), model.modules()) if isinstance(a, Router)]
    assert len(routers) == 3
    for before, after in routers:
        assert after.weight.dtype == after.bias.dtype == torch.float32
        assert torch.equal(before.weight, after.weight)


def test_a_bfloat16_model_answers_as_the_float32_one():
    """Same routers, rounded matrices: the logits are near, and routing ran in float32.

    The toy's readings are left out: which word is the likeliest of a thousand equally likely ones is decided by rounding.
    """
    inputs, models = conversation(*CONVERSATIONS["image"]), [toy(std=0.05), toy(std=0.05)]
    with torch.inference_mode():
        for model in models:
            model.model.reading["image"].letter_head.bias[-1] = 100.0
        want, got = models[0](**inputs).logits, models[1].to(torch.bfloat16)(**inputs).logits
    assert got.dtype == torch.bfloat16
    assert_close("logits", got, want, 0.05)


@pytest.mark.parametrize("name", ["text", "all"])
def test_gradient_checkpointing_gives_equal_gradients(model, name):
    """Router losses included, which are collected while a layer runs."""
    inputs = conversation(*CONVERSATIONS[name])
    decoder, results = model.model.language_model, []
    try:
        for decoder.gradient_checkpointing in (False, True):
            trace = RouterTrace()
            output = model.train()(**inputs, labels=inputs["input_ids"], trace=trace)
            (output.loss + sum(trace.balance.values()) + trace.orthogonality).backward()
            results.append(gradients(model) | {"loss": output.loss} | {f"balance {k}": v for k, v in trace.balance.items()})
    finally:
        decoder.gradient_checkpointing = False
        model.eval()
    plain, checkpointed = results
    assert plain.keys() == checkpointed.keys()
    for key, want in plain.items():
        if not key.startswith("balance"):
            assert_close(key, checkpointed[key], want, 1e-6)


def test_the_trace_counts_every_choice(model):
    inputs = conversation(*CONVERSATIONS["all"])
    trace = RouterTrace()
    model(**inputs, trace=trace)
    assert {name: len(loads) for name, loads in trace.load.items()} == {"text": 1, "vision": 1, "audio": 1}
    for loads in trace.load.values():
        assert float(loads[0].sum()) == pytest.approx(1.0)


def test_even_routers_have_balance_one():
    trace = RouterTrace()
    trace.add("text", torch.full((8, 4), 0.25), torch.arange(4).repeat(2)[:, None], torch.eye(4))
    assert float(trace.balance["text"]) == pytest.approx(1.0) and float(trace.orthogonality) == pytest.approx(0.0)


def test_embeddings_are_tied(model):
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert "lm_head.weight" not in dict(model.named_parameters())
    with torch.inference_mode():
        output = model(**conversation(4))
        assert_close("logits", output.logits, output.hidden @ model.model.language_model.embed_tokens.weight.T)


def test_a_router_is_not_rounded_under_autocast():
    x, gate = torch.randn(5, 16), router()
    plain = gate(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = gate(x)
    assert all(torch.equal(one, other) for one, other in zip(plain, cast, strict=True))


def test_a_batch_without_labels_has_no_loss_and_no_gradient(model):
    inputs = conversation(*CONVERSATIONS["text"])
    loss = model(**inputs, labels=torch.full_like(inputs["input_ids"], -100)).loss
    loss.backward()
    assert loss.item() == 0.0
    assert not any(grad.any() for grad in gradients(model).values())
