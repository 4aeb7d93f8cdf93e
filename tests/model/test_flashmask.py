"""`attn_implementation="flashmask"` gives what "sdpa" gives: our model, ERNIE's classes, cached, padded, packed, in Trainer."""

import copy

import pytest
import torch
from transformers import (
    DataCollatorWithFlattening,
    Ernie4_5_MoeConfig,
    Ernie4_5_MoeForCausalLM,
    Ernie4_5Config,
    Ernie4_5ForCausalLM,
    masking_utils,
)

import omnie
from laws import assert_close
from omnie.errors import OptionError
from omnie.model.hub import OmnieForConditionalGeneration
from omnie.ops.flashmask import ColumnMask, dynamic, kinds
from omnie.ops.flashmask.interface import attention, mask_of

from .cases import toy

omnie.register()
SMALL = {
    "vocab_size": 96, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "use_cache": False,
}  # fmt: skip
EXPERTS = {"moe_num_experts": 6, "moe_intermediate_size": 16, "moe_k": 2}


def ours(**changes) -> OmnieForConditionalGeneration:
    return OmnieForConditionalGeneration.of(toy(**changes))


def ernie(**changes) -> Ernie4_5ForCausalLM:
    torch.manual_seed(0)
    return Ernie4_5ForCausalLM(Ernie4_5Config(**SMALL | changes)).eval()


def ernie_experts(**changes) -> Ernie4_5_MoeForCausalLM:
    torch.manual_seed(0)
    return Ernie4_5_MoeForCausalLM(Ernie4_5_MoeConfig(**SMALL | EXPERTS | changes)).eval()


MODELS = {"ours": ours, "ernie": ernie, "ernie-experts": ernie_experts}


def both(model, **inputs) -> list[torch.Tensor]:
    """Logits with sdpa and with flashmask."""
    results = []
    for name in ("sdpa", "flashmask"):
        model.set_attn_implementation(name)
        with torch.inference_mode():
            results.append(model(**inputs).logits)
    return results


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(32, 96, (rows, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_sdpa(name):
    want, got = both(MODELS[name](), input_ids=ids(2, 21))
    assert_close("logits", got, want)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("long", [False, True], ids=["dense-call", "tiles"])
def test_a_padded_batch_is_that_of_sdpa(name, long, monkeypatch):
    if long:
        monkeypatch.setattr("omnie.ops.flashmask.interface.SMALL", 0)
    real = torch.ones(2, 21, dtype=torch.long)
    real[0, :5] = 0
    want, got = both(MODELS[name](), input_ids=ids(2, 21), attention_mask=real)
    assert_close("logits", got[real.bool()], want[real.bool()])


@pytest.mark.parametrize("name", MODELS)
def test_generate_gives_the_same_tokens(name):
    model, answers = MODELS[name](use_cache=True) if name != "ours" else ours(), []
    prompt = {"input_ids": ids(2, 9), "attention_mask": torch.tensor([[0] * 3 + [1] * 6, [1] * 9])}
    for name in ("sdpa", "flashmask"):
        model.set_attn_implementation(name)
        answers.append(model.generate(**prompt, max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=1).tolist())
    assert answers[0] == answers[1]


def test_sliding_windows_are_those_of_sdpa():
    want, got = both(ours(sliding_window=4, global_layer_every=2), input_ids=ids(1, 19))
    assert_close("logits", got, want)


@pytest.mark.parametrize("implementation", ["flashmask", "sdpa"])
@pytest.mark.parametrize("name", MODELS)
def test_rows_packed_by_positions_equal_separate_ones(name, implementation):
    """What `DataCollatorWithFlattening` makes: one row, positions start again."""
    model = MODELS[name]()
    model.set_attn_implementation(implementation)
    rows = [ids(1, n)[0].tolist() for n in (7, 12, 3)]
    batch = DataCollatorWithFlattening(return_position_ids=True)([{"input_ids": row} for row in rows])
    with torch.inference_mode():
        packed = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"]}
        got = model(**packed, use_cache=None if name == "ours" else False).logits[0]
        want = torch.cat([model(input_ids=torch.tensor([row])).logits[0] for row in rows])
    assert_close("logits", got, want)
    if name == "ours":
        with pytest.raises(OptionError, match="packed rows"):
            model(**packed, use_cache=True)


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both-directions"])
def test_lengths_of_packed_sequences_are_understood(causal):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 12, 8) for _ in range(3))
    got, _ = attention(None, q, k, v, None, is_causal=causal, cu_seq_lens_q=torch.tensor([0, 5, 12], dtype=torch.int32))
    parts = [[x[:, :, rows] for x in (q, k, v)] for rows in (slice(0, 5), slice(5, 12))]
    assert_close("output", got, torch.cat([attention(None, *part, None, is_causal=causal)[0] for part in parts], 1))


def test_our_packed_rows_with_a_sliding_window_equal_separate_rows():
    model, omni = ours(sliding_window=4, global_layer_every=2), toy(sliding_window=4, global_layer_every=2)
    model.set_attn_implementation("flashmask")
    tokens, segments = ids(1, 20), torch.tensor([[1] * 9 + [2] * 8 + [0] * 3])
    places = torch.tensor([[*range(9), *range(8), *range(3)]])
    with torch.inference_mode():
        got = model(tokens, position_ids=places, segment_ids=segments, use_cache=False).logits
        plain = omni(tokens, places[..., None].expand(-1, -1, 3), segment_ids=segments).logits
        want = torch.cat([model(tokens[:, :9]).logits, model(tokens[:, 9:17]).logits], 1)
    assert_close("hub", got[:, :17], want)
    assert_close("plain", plain[:, :17], want)


def test_a_callers_own_column_mask():
    """Pictures that see themselves in both directions: a change of a later token of one changes an earlier token's output."""
    model, tokens = ours(), ids(1, 12)
    groups = torch.tensor([[-1] * 3 + [0] * 4 + [-1] * 5])
    other = tokens.clone()
    other[0, 6] += 1
    model.set_attn_implementation("flashmask")
    seen = {}
    for name, mask in {"causal": kinds.causal(12), "pictures": kinds.bidirectional(kinds.causal(12), groups)}.items():
        with torch.inference_mode():
            change = model(tokens, attention_mask=mask).logits - model(other, attention_mask=mask).logits
        seen[name] = (change[0].abs().amax(1) > 1e-4).tolist()
    assert seen["causal"] == [t >= 6 for t in range(12)] and seen["pictures"] == [t >= 3 for t in range(12)]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_one_step_of_trainer_on_packed_rows_equals_sdpa_on_separate_ones(name, tmp_path):
    """Same loss and same gradients from one packed row as from its two sequences padded side by side."""
    pytest.importorskip("accelerate", reason="Trainer needs accelerate")
    from transformers import Trainer, TrainingArguments

    model, rows = MODELS[name](), [ids(1, 9)[0], ids(1, 6)[0] + 1]
    places = torch.cat([torch.arange(9), torch.arange(6)])[None]
    labels = torch.cat([torch.cat([row.new_tensor([-100]), row[1:]]) for row in rows])[None]
    packed = {"input_ids": torch.cat(rows)[None], "labels": labels, "position_ids": places}
    tokens, padding = torch.full((2, 9), 3), torch.ones(2, 9, dtype=torch.long)
    tokens[0], tokens[1, :6], padding[1, 6:] = rows[0], rows[1], 0
    apart = {"input_ids": tokens, "attention_mask": padding, "labels": tokens.where(padding.bool(), -100)}
    grads = {}
    for name, batch in (("sdpa", apart), ("flashmask", packed)):
        trained = copy.deepcopy(model).train()
        trained.set_attn_implementation(name)
        arguments = TrainingArguments(
            tmp_path, max_steps=1, report_to=[], use_cpu=True, save_strategy="no", learning_rate=0.0, max_grad_norm=1e9
        )
        trainer = Trainer(trained, arguments, train_dataset=[0], data_collator=lambda _, batch=batch: batch)
        trainer.train()
        loss = trained(**batch, use_cache=False).loss
        loss.backward()
        grads[name] = {n: p.grad for n, p in trained.named_parameters() if p.grad is not None} | {"loss": loss}
    assert grads["sdpa"].keys() == grads["flashmask"].keys()
    for parameter, want in grads["sdpa"].items():
        assert_close(parameter, grads["flashmask"][parameter], want, 1e-4)


def test_a_column_mask_for_another_implementation_is_an_error():
    model = ours()
    model.set_attn_implementation("sdpa")
    with pytest.raises(OptionError, match="flashmask"):
        model(ids(1, 5), attention_mask=kinds.causal(5))


def test_a_dense_mask_is_an_error():
    model = ours()
    model.set_attn_implementation("flashmask")
    with pytest.raises(OptionError, match="dense mask"):
        model(ids(1, 5), attention_mask=torch.ones(1, 1, 5, 5, dtype=torch.bool))


SEGMENTS = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 2, 2, 2, 3]])
GROUPS = torch.tensor([[-1, -1, 0, 0, 0, -1, 1, 1]] * 2)
CAUSAL = masking_utils.causal_mask_function
FUNCTIONS = {
    "causal": (CAUSAL, 8, 8, 0, 0),
    "block over a cache": (CAUSAL, 3, 8, 5, 0),
    "room that is not filled yet": (CAUSAL, 2, 8, 2, 0),
    "window": (masking_utils.sliding_window_causal_mask_function(3), 8, 8, 0, 0),
    "rolling window": (masking_utils.sliding_window_causal_mask_function(4), 2, 5, 6, 3),
    "packed": (masking_utils.and_masks(CAUSAL, masking_utils.packed_sequence_mask_function(SEGMENTS)), 8, 8, 0, 0),
    "both directions": (masking_utils.bidirectional_mask_function, 8, 8, 0, 0),
    "pictures": (masking_utils.or_masks(CAUSAL, masking_utils.blockwise_overlay(GROUPS)), 8, 8, 0, 0),
    "chunks": (masking_utils.chunked_causal_mask_function(3, torch.zeros(2, dtype=torch.int)), 8, 8, 0, 0),
}


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_transformers_mask_functions_become_columns(name, padded):
    function, *sizes = FUNCTIONS[name]
    real = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8]).bool() if padded else None
    want = masking_utils.sdpa_mask(2, *sizes, function, attention_mask=real, allow_is_causal_skip=False)
    got = mask_of(2, *sizes, function, attention_mask=real, allow_is_causal_skip=False)
    assert isinstance(got, ColumnMask)
    assert torch.equal((~got.hidden(0, sizes[0], 0, sizes[1])).expand(want.shape), want)


def test_a_mask_function_with_holes_is_refused():
    with pytest.raises(OptionError, match="intervals"):
        mask_of(1, 64, 64, mask_function=lambda b, h, q, k: (k <= q) & ((q - k) % 3 == 0))


def test_the_configs_level_is_obeyed_and_needs_flashmask(monkeypatch):
    """`fast` with a small budget changes what long prompts give; with gradients attention is exact."""
    model, seen = ours(), []
    model.config.attention = "fast:0.01"
    real = dynamic.attention
    monkeypatch.setattr(dynamic, "attention", lambda *args, **options: seen.append(args[5]) or real(*args, **options))
    model.set_attn_implementation("flashmask")
    with torch.inference_mode():
        model(ids(1, 5))
    assert [str(level) for level in seen] == ["fast:0.01"] * 2
    model(ids(1, 5)).logits.sum().backward()
    assert len(seen) == 2
    model.set_attn_implementation("sdpa")
    with torch.inference_mode(), pytest.raises(OptionError, match="flashmask"):
        model(ids(1, 5))
