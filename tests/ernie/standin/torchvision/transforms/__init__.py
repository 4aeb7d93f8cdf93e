"""Resampling filters by name."""

from enum import Enum


class InterpolationMode(Enum):
    NEAREST, NEAREST_EXACT, BOX = "nearest", "nearest-exact", "box"
    BILINEAR, HAMMING, BICUBIC, LANCZOS = "bilinear", "hamming", "bicubic", "lanczos"
