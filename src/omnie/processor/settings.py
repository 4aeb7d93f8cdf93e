"""How media become tokens: budgets, rates and scales, as one frozen record that a model folder keeps. No processing here."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from omnie.errors import CheckpointError, OptionError
from omnie.inputs import SPATIAL_MERGE

FILE = "processor_config.json"
MOST = 4
"""Most looks at media."""
OWN_KEYS = ("processor_class", "auto_map")
"""Keys that Transformers writes into the same file; they say which class reads it."""


def check_looks(looks: int) -> None:
    """Raises `OptionError` unless media can be looked at so often."""
    if not 1 <= looks <= MOST:
        raise OptionError("looks is out of range", value=looks, allowed=f"1 to {MOST}")


@dataclass(frozen=True)
class ProcessorSettings:
    """Attributes:
    patch: Side of a patch (pixels); a picture's sides become multiples of `2 * patch`.
    image_max_pixels: Pixels of a picture, or of a document's page, after resizing.
    scan_max_pixels: Of a page without a text layer, whose small print is all that says what stands there; see `scan_pixels`.
    image_min_pixels: A picture with fewer is enlarged to about as many: a token holds one word, a small line has many.
    image_zoom: By how much, at most, the sides of larger pictures are enlarged (`image.fit`): small print wants room.
    video_max_pixels: Pixels of one frame after resizing.
    video_fps: Frames a second; two frames are one piece.
    video_max_frames: Frames of one clip; a longer clip is sampled more thinly, its sound stays whole.
    mel_window: Samples (16 kHz) under one log-mel frame's window.
    mel_floor: Mel power below which everything is silence.
    mel_offset, mel_scale: A log-mel value `x` (natural logarithm) becomes `(x + mel_offset) / mel_scale`.
    context: Longest conversation, in tokens.
    looks: How often pictures and sounds, but not clips, are looked at or heard, at most, for the surest answer (`looks.py`):
        1 to 4; by `omnie` alone, not by Transformers' `generate`.
    """

    patch: int = 16
    image_max_pixels: int = 640 * 512
    scan_max_pixels: int = 640 * 768
    image_min_pixels: int = 20 * 32 * 32
    image_zoom: float = 1.75
    video_max_pixels: int = 160 * 96
    video_fps: float = 2.0
    video_max_frames: int = 128
    mel_window: int = 400
    mel_floor: float = 1e-5
    mel_offset: float = 4.0
    mel_scale: float = 5.0
    context: int = 8192
    looks: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise OptionError(f"setting {field.name} is out of range", value=value, allowed="a number above 0")
            if field.type in (int, "int") and not isinstance(value, int):
                raise OptionError(f"setting {field.name} is not whole", value=value, allowed="a whole number")
        for name in ("image_max_pixels", "scan_max_pixels", "video_max_pixels"):
            if getattr(self, name) < self.unit**2:
                raise OptionError(f"setting {name} is too small", value=getattr(self, name), allowed=f"{self.unit**2} or more")
        check_looks(self.looks)
        if self.image_zoom < 1:
            raise OptionError("setting image_zoom is too small", value=self.image_zoom, allowed="1 or more")
        if self.image_min_pixels > min(self.image_max_pixels, self.scan_max_pixels):
            allowed = f"at most image_max_pixels, {self.image_max_pixels}, and scan_max_pixels, {self.scan_max_pixels}"
            raise OptionError("setting image_min_pixels is too large", value=self.image_min_pixels, allowed=allowed)

    @property
    def unit(self) -> int:
        """Side of the square of pixels that becomes one token."""
        return self.patch * SPATIAL_MERGE

    def scan_pixels(self, pages: int) -> int:
        """Pixels of each of a document's pages without a text layer: `scan_max_pixels`, or as many less as keep them all
        within seven eighths of the context, down to `image_max_pixels`."""
        room = self.context * 7 // 8
        return min(self.scan_max_pixels, max(self.image_max_pixels, room * self.unit**2 // pages))

    @classmethod
    def of(cls, values: dict[str, Any]) -> "ProcessorSettings":
        """Settings from a JSON object; an unknown key is an error that lists the known ones."""
        known = [field.name for field in fields(cls)]
        values = {key: value for key, value in values.items() if key not in OWN_KEYS}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise OptionError("unknown processor setting", value=", ".join(unknown), allowed=", ".join(known))
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path) -> "ProcessorSettings":
        """Settings from `processor_config.json`, or from the folder that holds it."""
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError("processor settings cannot be read", value=f"{file}: {error}") from None
        if not isinstance(values, dict):
            raise CheckpointError("processor settings are not a JSON object", value=file)
        return cls.of(values)

    def save(self, path: str | Path, **more: Any) -> None:
        """Write `processor_config.json` (into a folder, if `path` is one), with further keys of `OWN_KEYS`."""
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        file.write_text(json.dumps(self.to_dict() | more, indent=2) + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """The settings as a JSON object; `processor_class` names the class for Transformers' `AutoProcessor`."""
        return {"processor_class": "OmnieProcessor", **asdict(self)}
