"""Training of what is seen ahead: a model learns it that could not yet, and prompts are predicted where nothing is seen."""

import dataclasses

import pytest
import torch

from omnie import checkpoint
from omnie.errors import OptionError
from omnie.model import config as architecture
from omnie.model.omni import Omni
from omnie.processor import Encoder
from omnie.processor.tokens import BEGIN, ID, USER
from omnie.train.config import TrainConfig
from omnie.train.model import build, export
from omnie.train.objective.losses import plain, prompt_targets_of
from omnie.train.stream.packing import IGNORE
from omnie.train.stream.source import BUILT_IN


def test_a_model_that_sees_nothing_ahead_begins_with_a_lookahead_that_changes_nothing(tmp_path):
    torch.manual_seed(0)
    old = Omni(dataclasses.replace(architecture.architecture("toy"), lookahead=None)).eval()
    checkpoint.save(old, Encoder.load(BUILT_IN), folder := tmp_path / "old")
    settings = TrainConfig(tmp_path, init=folder, steps=1, lookahead=3)
    model = build(settings, torch.device("cpu"), torch.float32).eval()
    ahead = model.model.language_model.lookahead
    assert len(ahead.convolution) == model.config.lookahead == 3 and ahead.convolution.abs().min() > 0
    ids = torch.tensor([[ID[BEGIN], ID[USER], 40, 41, 42]])
    places = torch.arange(5)[None, :, None].expand(1, -1, 3)
    with torch.no_grad():
        torch.testing.assert_close(model(ids, places).logits, old(ids, places).logits)
    beside = build(dataclasses.replace(settings, seed=7), torch.device("cpu"), torch.float32).model.language_model.lookahead
    assert torch.equal(beside.convolution, ahead.convolution)  # runs side by side go on from their mean
    export(model, tmp_path / "new", folder)
    assert checkpoint.load(tmp_path / "new")[0].config.lookahead == 3
    again = build(dataclasses.replace(settings, init=tmp_path / "new", lookahead=5), torch.device("cpu"), torch.float32)
    assert again.config.lookahead == 3


@pytest.mark.parametrize("options", [{"lookahead": 3}, {"lookahead": 65, "init": "x"}, {"lookahead": -1, "init": "x"}])
def test_a_lookahead_that_cannot_be_is_refused(options, tmp_path):
    with pytest.raises(OptionError, match="lookahead is out of range"):
        TrainConfig(tmp_path, steps=1, **options)


def test_a_model_that_looks_ahead_predicts_the_prompts_of_plain_sequences_only():
    """Elsewhere the word to predict is seen already."""
    ids = torch.arange(40, 64)[None]
    segments = torch.arange(1, 9).repeat_interleave(3)[None]
    inputs = {"input_ids": ids, "mm_token_type_ids": torch.zeros_like(ids), "segment_ids": segments}
    labels = torch.full_like(ids, IGNORE)
    labels[0, 11] = 51  # an answer, in the fourth sequence
    causal, ahead = (prompt_targets_of(inputs, labels, 32, looks) for looks in (False, True))
    assert causal.labels.tolist() == [n for n in range(40, 64) if (n - 40) % 3 and n != 51]
    shown = plain(segments)[0]
    assert shown.nonzero().flatten().tolist() == [9, 10, 11, 21, 22, 23]
    assert ahead.positions.tolist() == [9, 21, 22] and ahead.labels.tolist() == [50, 62, 63]
