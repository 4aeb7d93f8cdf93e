"""What a model is made of: the architecture's fields, the table of sizes, and how many parameters a model has. Free of torch;
no weights here.

The modules read plain attributes, so they take an `Architecture` or anything with the same fields (Transformers' `OmnieConfig`
in `hub/` inherits them). Expert groups are an ordered mapping modality -> `{"experts", "width", "top_k"}`. A model without an
encoder (`vision` or `audio` is None) takes no such input.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnie.errors import CheckpointError, OptionError
from omnie.ops.levels import Level

Groups = dict[str, dict[str, int]]
Translate = Callable[[dict[str, Any]], "Architecture"]

EXPERT_GROUPS = ("text", "vision", "audio")
"""Modality of a token -> its group: text 0, image and video 1, audio 2 (see `inputs.MODALITIES`)."""

TRAIL_REACH = 16
"""Tokens before the present one whose places a trail remembers."""


@dataclass(kw_only=True)
class VisionArchitecture:
    """Native-resolution vision transformer."""

    hidden_size: int = 1280
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    intermediate_size: int = 5120
    patch_size: int = 16
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6


@dataclass(kw_only=True)
class ErnieVisionArchitecture(VisionArchitecture):
    """ERNIE 4.5's. `output_norm_eps`: of the norm behind the resampler."""

    patch_size: int = 14
    output_norm_eps: float = 1e-5


VISION_KINDS: dict[str, type[VisionArchitecture]] = {"native": VisionArchitecture, "ernie4_5": ErnieVisionArchitecture}
"""`kind` in a model's `vision` settings -> their fields; without `kind`: native."""


@dataclass(kw_only=True)
class AudioArchitecture:
    """Log-mel encoder. `block_frames`: frames (25 per second) that attend to each other and to the block before."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    block_frames: int = 100
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6


@dataclass(kw_only=True)
class Architecture:
    """The whole model. Defaults are those of `8b`.

    Attributes:
        num_dense_layers: So many first layers have no experts; `dense_layers` names further ones.
        shared_expert_width: 0: no shared experts.
        router_norm_min: The least that a token's chosen scores are divided by.
        attention_bias: Biases of queries and keys. `use_bias`: of every projection in attention, dense layers and shared
            experts. `head_bias`: of the output head.
        attention: `exact`, `certified:EPS` or `fast:BUDGET` (`ops/levels.py`), where no gradient is computed.
        tie_word_embeddings: The output head is the embedding matrix.
        vision, audio: What differs from the encoders' defaults; None: no such encoder. `vision` may name its `kind`.
        placeholders: Ids of the tokens that stand for media ("image", "video", "audio") and around them ("image_start",
            "image_end", ...), where they are not those of our own vocabulary.
        reading: Medium ("image", which serves video too, or "audio") -> letters that may be read in one of its
            tokens (`reading/`), "things": how many things in pictures have names, "marks": how many series of a chart are
            told apart, and "written", "spoken": how many n-grams are known of what pictures and recordings usually say; None:
            encoders whose tokens say nothing.
        short_convolution: Tokens that a layer's convolutions span (`layers/convolution.py`); None: there are none.
        trail_layer: Its heads leave a trail that those of the next layer follow (`layers/trail.py`); None: there is none.
        rotary_pairs: So many of a head's channel pairs turn with the position, the fastest; None: all.
        lookahead: Tokens behind each token of a prompt that it sees (`layers/lookahead.py`); our own vocabulary's only.
        log_scaling: Tokens beyond which attention gets sharper with the length (`rope.sharpness`); None: never.
    """

    vocab_size: int = 103_424
    hidden_size: int = 2048
    num_hidden_layers: int = 24
    num_dense_layers: int = 1
    dense_layers: list[int] = field(default_factory=list)
    intermediate_size: int = 6144
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
    head_dim: int = 128
    expert_groups: Groups = field(
        default_factory=lambda: {
            "text": {"experts": 64, "width": 512, "top_k": 8},
            "vision": {"experts": 64, "width": 192, "top_k": 8},
            "audio": {"experts": 16, "width": 128, "top_k": 4},
        }
    )
    shared_expert_width: int = 1024
    router_norm_min: float = 1e-12
    sliding_window: int | None = None
    global_layer_every: int = 1
    max_position_embeddings: int = 131_072
    rope_theta: float = 500_000.0
    rope_sections: list[int] = field(default_factory=lambda: [22, 22, 20])
    norm_eps: float = 1e-5
    initializer_range: float = 0.02
    attention_bias: bool = False
    use_bias: bool = False
    head_bias: bool = False
    tie_word_embeddings: bool = True
    attention: str = "exact"
    vision: dict[str, Any] | None = field(default_factory=dict)
    audio: dict[str, Any] | None = field(default_factory=dict)
    placeholders: dict[str, int] | None = None
    reading: dict[str, int] | None = None
    short_convolution: int | None = None
    trail_layer: int | None = None
    rotary_pairs: int | None = None
    log_scaling: int | None = None
    lookahead: int | None = None

    @property
    def vision_architecture(self) -> VisionArchitecture:
        values = dict(self.vision or {})
        return VISION_KINDS[values.pop("kind", "native")](**values)

    @property
    def audio_architecture(self) -> AudioArchitecture:
        return AudioArchitecture(**(self.audio or {}))

    @property
    def reach(self) -> int:
        """So many tokens before each one reach into it by convolutions."""
        return max((self.short_convolution or 1) - 1, 0 if self.trail_layer is None else TRAIL_REACH)

    def is_sliding(self, layer: int) -> bool:
        """Whether a decoder layer sees only `sliding_window` tokens; every `global_layer_every`-th layer sees all."""
        return self.sliding_window is not None and (layer + 1) % self.global_layer_every != 0

    def is_dense(self, layer: int) -> bool:
        """Whether a decoder layer has one feed-forward network instead of experts."""
        return layer < self.num_dense_layers or layer in self.dense_layers

    def check(self) -> None:
        """Raises `CheckpointError` when fields are not of their kind, absurd, or contradict each other.

        Called before anything is built: a damaged file must neither fill the memory nor keep the processor busy.
        """
        _check_numbers(self, Architecture)
        self._check_attention()
        self._check_layers()
        self._check_groups()
        self._check_vision()
        _check_encoder("audio", self.audio, AudioArchitecture)
        self._check_placeholders()
        self._check_reading()

    def _check_attention(self) -> None:
        try:
            Level.parse(self.attention)
        except (OptionError, AttributeError) as error:
            raise CheckpointError("attention is not usable", value=_short(self.attention), hint=str(error)) from None
        sections = self.rope_sections
        if not isinstance(sections, list) or len(sections) != 3 or not all(isinstance(n, int) and n >= 0 for n in sections):
            raise CheckpointError("rotary sections are not usable", value=sections, allowed="three whole numbers")
        if sum(self.rope_sections) * 2 != self.head_dim or self.rope_sections[0] != self.rope_sections[1]:
            raise CheckpointError(
                "rotary sections do not fit the head",
                value=f"{self.rope_sections} for head_dim {self.head_dim}",
                allowed="[h, w, t] with h = w and h + w + t = head_dim / 2",
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise CheckpointError(
                "query heads do not divide among the key-value heads",
                value=f"{self.num_attention_heads} / {self.num_key_value_heads}",
                allowed="a whole number",
            )

    def _check_layers(self) -> None:
        layers, largest = self.dense_layers, self.num_hidden_layers - 1
        if not isinstance(layers, list) or not all(type(n) is int and 0 <= n <= largest for n in layers):
            raise CheckpointError("dense_layers is not usable", value=_short(layers), allowed=f"a list of 0 to {largest}")
        if self.trail_layer is not None and not 0 <= self.trail_layer < largest:
            raise CheckpointError("trail_layer has no layer behind it", value=self.trail_layer, allowed=f"0 to {largest - 1}")
        if self.trail_layer is not None and self.head_dim % 4:
            raise CheckpointError("head_dim does not fit a trail", value=self.head_dim, allowed="a multiple of 4")

    def _check_groups(self) -> None:
        groups = self.expert_groups
        if groups == {} and all(self.is_dense(layer) for layer in range(self.num_hidden_layers)):
            return
        if not isinstance(groups, dict) or set(groups) - set(EXPERT_GROUPS) or "text" not in groups:
            raise CheckpointError(
                "expert groups are not usable", value=_short(groups), allowed=f"text, and any of {', '.join(EXPERT_GROUPS)}"
            )
        for name, group in groups.items():
            if not isinstance(group, dict) or set(group) != {"experts", "width", "top_k"}:
                raise CheckpointError(f"expert group '{name}' is not usable", value=group, allowed="experts, width and top_k")
            for key, value in group.items():
                _check_count(f"expert_groups.{name}.{key}", value, LARGEST.get(key, LARGEST_COUNT))
            if not 0 < group["top_k"] <= group["experts"]:
                raise CheckpointError(
                    f"expert group '{name}' cannot choose", value=group["top_k"], allowed=f"1 to {group['experts']} experts"
                )

    def _check_vision(self) -> None:
        values = dict(self.vision) if isinstance(self.vision, dict) else self.vision
        kind = values.pop("kind", "native") if isinstance(values, dict) else "native"
        if not isinstance(kind, str) or kind not in VISION_KINDS:
            raise CheckpointError("vision.kind is not known", value=_short(kind), allowed=", ".join(VISION_KINDS))
        _check_encoder("vision", values, VISION_KINDS[kind])

    def _check_placeholders(self) -> None:
        found, largest = self.placeholders, self.vocab_size - 1
        if found is not None and not isinstance(found, dict):
            raise CheckpointError("placeholders are not usable", value=_short(found), allowed="names and token ids")
        if found is not None and self.lookahead is not None:
            raise CheckpointError(
                "lookahead knows turns by our own vocabulary's tokens", value=_short(found), allowed="no placeholders"
            )
        for name, token in (found or {}).items():
            _check_count(f"placeholders.{name}", token, largest, least=0)

    def _check_reading(self) -> None:
        found = {} if self.reading is None else self.reading
        part_of = dict.fromkeys(("image", "things", "marks", "written"), "image") | dict.fromkeys(("audio", "spoken"), "audio")
        if not isinstance(found, dict) or not all(name in part_of and part_of[name] in found for name in found):
            allowed = "image, audio, and beside image things, marks and written, beside audio spoken, with whole numbers"
            raise CheckpointError("reading is not usable", value=_short(found), allowed=allowed)
        for name, count in found.items():
            _check_count(f"reading.{name}", count, 64 if name in ("image", "audio", "marks") else LARGEST_COUNT)


MEDIA = ("image", "video", "audio")
"""Media that stand in a text as tokens of their own: `placeholders`, and `NAME_token_id` in Transformers' words."""

LARGEST_COUNT = 2**22
LARGEST = {
    "num_hidden_layers": 1024,
    "num_dense_layers": 1024,
    "experts": 4096,
    "max_position_embeddings": 2**31,
    "sliding_window": 2**31,
    "lookahead": 64,
}
"""The largest number that a configuration may state, where it is not `LARGEST_COUNT`."""
LEAST = {"num_dense_layers": 0, "shared_expert_width": 0, "trail_layer": 0, "log_scaling": 2}
"""The smallest one, where it is not 1."""


def _check_numbers(owner: Any, kind: type, prefix: str = "") -> None:
    """Every whole number, float and switch among the fields of `kind`."""
    for item in dataclasses.fields(kind):
        value, annotation = getattr(owner, item.name), str(item.type)
        if annotation == "float" and not (type(value) in (int, float) and 0 < value < math.inf):
            raise CheckpointError(f"{prefix}{item.name} is not usable", value=_short(value), allowed="a number above 0")
        if annotation == "int" or (annotation == "int | None" and value is not None):
            least = LEAST.get(item.name, 1)
            _check_count(prefix + item.name, value, LARGEST.get(item.name, LARGEST_COUNT), least)
        if annotation == "bool" and type(value) is not bool:
            raise CheckpointError(f"{prefix}{item.name} is not usable", value=_short(value), allowed="true or false")


def _check_count(name: str, value: Any, largest: int, least: int = 1) -> None:
    if type(value) is not int or not least <= value <= largest:
        raise CheckpointError(f"{name} is not usable", value=_short(value), allowed=f"a whole number, {least} to {largest}")


STEPS: dict[type, tuple[str, int]] = {VisionArchitecture: ("patch_size", 8), AudioArchitecture: ("block_frames", 2)}
"""Encoder -> a field of which only multiples of a number fit the modules."""


def _check_encoder(name: str, values: Any, kind: type) -> None:
    if values is None:
        return
    known = {item.name for item in dataclasses.fields(kind)}
    if not isinstance(values, dict) or set(values) - known:
        raise CheckpointError(f"{name} settings are not usable", value=_short(values), allowed=", ".join(sorted(known)))
    encoder = kind(**values)
    _check_numbers(encoder, kind, f"{name}.")
    if encoder.hidden_size % (4 * encoder.num_attention_heads):
        raise CheckpointError(
            f"{name} heads do not fit",
            value=f"hidden_size {encoder.hidden_size}, {encoder.num_attention_heads} heads",
            allowed="a head size that is a multiple of 4",
        )
    step, least = STEPS.get(kind, ("hidden_size", 1))
    if getattr(encoder, step) % least:
        raise CheckpointError(f"{name}.{step} is not usable", value=getattr(encoder, step), allowed=f"a multiple of {least}")


def _short(value: Any) -> str:
    """A value for an error's line, whatever a file holds."""
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


SIZES: dict[str, dict[str, Any]] = {
    "8b": {},
    "nano": {
        "vocab_size": 1024,
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "intermediate_size": 1024,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "expert_groups": {
            "text": {"experts": 64, "width": 32, "top_k": 8},
            "vision": {"experts": 64, "width": 32, "top_k": 8},
            "audio": {"experts": 16, "width": 32, "top_k": 4},
        },
        "shared_expert_width": 256,
        "max_position_embeddings": 32_768,
        "rope_theta": 10_000.0,
        "rope_sections": [12, 12, 8],
        "attention_bias": True,
        "vision": {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768},
        "audio": {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768},
        "reading": {"image": 8, "audio": 4, "things": 304, "marks": 3},
        "short_convolution": 8,
        "trail_layer": 3,
        "rotary_pairs": 16,
        "log_scaling": 1024,
        "lookahead": 12,
    },
    "toy": {
        "vocab_size": 1024,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "expert_groups": {
            "text": {"experts": 8, "width": 16, "top_k": 2},
            "vision": {"experts": 8, "width": 16, "top_k": 2},
            "audio": {"experts": 4, "width": 16, "top_k": 1},
        },
        "shared_expert_width": 32,
        "max_position_embeddings": 4096,
        "rope_theta": 10_000.0,
        "rope_sections": [3, 3, 2],
        "vision": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
        "audio": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "block_frames": 20,
        },
        "reading": {"image": 4, "audio": 2, "things": 304, "marks": 3},
        "short_convolution": 4,
        "trail_layer": 0,
        "rotary_pairs": 4,
        "log_scaling": 8,
        "lookahead": 4,
    },
}
"""Size -> what differs from `8b`."""


def architecture(size: str) -> Architecture:
    """The architecture of a named size."""
    if size not in SIZES:
        raise OptionError("unknown model size", value=size, allowed=", ".join(SIZES))
    return Architecture(**SIZES[size])


def parameter_counts(model: Any) -> dict[str, int]:
    """How many parameters a model has, and how many of them one token meets.

    Args:
        model: An `Omni` (built under `torch.device("meta")` it takes no memory).

    Returns:
        `total`: every parameter once. `text`, `image`, `audio`: active ones of a token of that modality, which are all but the
        experts that its router does not choose, the other groups' routers and the other modalities' encoders. The embedding
        matrix, also the output head, counts for text; an image or audio token instead comes out of its encoder and what
        reads it, whose parameters are also given alone (`vision encoder`, `audio encoder`). Video counts as images.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    embedding = sizes["model.language_model.embed_tokens.weight"]
    parts = {
        "vision encoder": ("model.visual.", "model.reading.image."),
        "audio encoder": ("model.audio.", "model.reading.audio."),
    }
    counts = {part: sum(n for name, n in sizes.items() if name.startswith(prefix)) for part, prefix in parts.items()}
    routed = sum(n for name, n in sizes.items() if ".mlp.groups." in name)
    trunk = sum(sizes.values()) - sum(counts.values()) - embedding - routed
    beside = {"text": embedding, "image": counts["vision encoder"], "audio": counts["audio encoder"]}
    groups = dict(zip(beside, EXPERT_GROUPS, strict=True))
    active = {token: trunk + beside[token] + _chosen(sizes, model.config, groups[token]) for token in beside}
    return {"total": sum(sizes.values())} | active | counts


def _chosen(sizes: dict[str, int], config: Architecture, group: str) -> int:
    """Router parameters and chosen experts' of all layers for a token of a group; one without experts uses the text group's."""
    if not config.expert_groups:
        return 0
    name = group if group in config.expert_groups else "text"
    own = {key: n for key, n in sizes.items() if f".mlp.groups.{name}." in key}
    experts = sum(n for key, n in own.items() if ".experts." in key)
    shape = config.expert_groups[name]
    return sum(own.values()) - experts + experts * shape["top_k"] // shape["experts"]


def read(path: Path, readers: Mapping[str, Translate]) -> tuple[str, Architecture]:
    """The `model_type` in a `config.json`, and the architecture that the reader for it makes of the fields; checked."""
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError("config.json cannot be read", value=path, hint=str(error)) from error
    kind = fields.get("model_type") if isinstance(fields, dict) else None
    if not isinstance(kind, str) or kind not in readers:
        raise CheckpointError(
            "not an omnie checkpoint", value=f"{_short(kind)} in {path}", allowed=f"model_type {', '.join(readers)}"
        )
    try:
        result = readers[kind](fields)
        result.check()
    except CheckpointError as error:
        raise CheckpointError(error.what, value=f"{error.value} in {path}", allowed=error.allowed, hint=error.hint) from error
    return kind, result


def of(fields: dict[str, Any]) -> Architecture:
    """The architecture in our own `config.json`; keys that are Transformers' own are ignored, missing ones take defaults."""
    names = {item.name for item in dataclasses.fields(Architecture)}
    return Architecture(**{key: value for key, value in fields.items() if key in names})


def to_json(config: Architecture) -> str:
    """`config.json` of an architecture, as `of` and Transformers' `AutoConfig` take it."""
    values = {item.name: getattr(config, item.name) for item in dataclasses.fields(Architecture)}
    header = {"architectures": ["OmnieForConditionalGeneration"], "model_type": "omnie"}
    media = {f"{name}_token_id": token for name, token in (config.placeholders or {}).items() if name in MEDIA}
    return json.dumps(header | values | media, indent=2) + "\n"
