"""How large each size is, counted from modules on the meta device and, independently, from the configuration."""

import functools

import pytest
import torch

from omnie.errors import CheckpointError, OptionError
from omnie.model.config import SIZES, TRAIL_REACH, Architecture, architecture, of, parameter_counts, read, to_json
from omnie.model.omni import Omni

from .cases import config

EXACT_8B = {
    "total": 8_080_696_320,
    "text": 1_227_851_776,
    "image": 1_333_177_856,
    "audio": 599_948_800,
    "vision encoder": 678_897_152,
    "audio encoder": 92_632_576,
}


@functools.cache
def meta(size: str) -> Omni:
    with torch.device("meta"):
        return Omni(architecture(size))


def decoder_by_hand(c: Architecture, group: str) -> int:
    """Parameters that a token of an expert group meets between embedding and head."""
    heads, keys = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    attention = 2 * c.hidden_size * heads + 2 * c.hidden_size * keys + c.attention_bias * (heads + keys)
    layer = attention + (2 + 2 * (c.short_convolution or 0)) * c.hidden_size
    dense = 3 * c.hidden_size * c.intermediate_size
    routed = c.expert_groups[group]
    experts = routed["top_k"] * 3 * c.hidden_size * routed["width"] + routed["experts"] * c.hidden_size
    sparse = experts + 3 * c.hidden_size * c.shared_expert_width
    sparse_layers = c.num_hidden_layers - c.num_dense_layers
    ahead = 0 if c.lookahead is None else (c.lookahead + c.hidden_size) * c.hidden_size
    following = 0 if c.trail_layer is None else (TRAIL_REACH + 1) * keys // 2 + keys * c.hidden_size
    return c.num_hidden_layers * layer + c.num_dense_layers * dense + sparse_layers * sparse + c.hidden_size + following + ahead


@pytest.mark.parametrize("size", SIZES)
def test_active_parameters_follow_from_the_configuration(size):
    c, counts = architecture(size), parameter_counts(meta(size))
    assert counts["text"] == decoder_by_hand(c, "text") + c.vocab_size * c.hidden_size
    assert counts["image"] == decoder_by_hand(c, "vision") + counts["vision encoder"]
    assert counts["audio"] == decoder_by_hand(c, "audio") + counts["audio encoder"]


@pytest.mark.parametrize("size", SIZES)
def test_the_total_is_every_parameter_once(size):
    model = meta(size)
    assert parameter_counts(model)["total"] == sum(p.numel() for p in model.parameters())
    assert len(dict(model.named_parameters())) == len({id(p) for p in model.parameters()})


def test_the_size_of_8b():
    counts = parameter_counts(meta("8b"))
    assert counts == EXACT_8B
    assert counts["total"] == pytest.approx(8.0e9, rel=0.02)
    assert counts["text"] == pytest.approx(1.2e9, rel=0.05)


def test_nano_and_toy_are_small():
    assert parameter_counts(meta("nano"))["total"] <= 45e6
    assert parameter_counts(meta("toy"))["total"] <= 1e6


def test_a_model_without_media_experts_counts_its_text_experts():
    model = Omni(config(expert_groups={"text": {"experts": 4, "width": 8, "top_k": 2}}))
    counts = parameter_counts(model)
    assert counts["image"] - counts["vision encoder"] == counts["text"] - 1024 * 64


@pytest.mark.parametrize("size", SIZES)
def test_a_configuration_survives_its_file(size, tmp_path):
    (tmp_path / "config.json").write_text(to_json(architecture(size)), encoding="utf-8")
    assert read(tmp_path / "config.json", {"omnie": of}) == ("omnie", architecture(size))


def test_unknown_sizes_name_the_known_ones():
    with pytest.raises(OptionError, match="8b, nano, toy"):
        architecture("70b")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_sections": [3, 3, 3]}, "rotary sections"),
        ({"rope_sections": [4, 2, 2]}, "rotary sections"),
        ({"num_key_value_heads": 3}, "query heads"),
        ({"expert_groups": {"vision": {"experts": 4, "width": 8, "top_k": 2}}}, "not usable"),
        ({"expert_groups": {"text": {"experts": 4, "width": 8, "top_k": 5}}}, "cannot choose"),
    ],
    ids=["sections-too-many", "sections-uneven", "heads", "no-text", "top-k"],
)
def test_contradictions_are_refused(changes, words):
    with pytest.raises(CheckpointError, match=words):
        Omni(config(**changes))
