"""Resizes and normalises tensors [..., C, H, W]. `STANDIN_FILTER`: "pillow" or "torch", the operator that torchvision calls."""

import os

import torch
from PIL import Image

from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

__all__ = ["InterpolationMode", "normalize", "pil_to_tensor", "resize"]


def resize(tensor: torch.Tensor, size: tuple[int, int], interpolation: InterpolationMode, antialias: bool) -> torch.Tensor:
    assert interpolation == InterpolationMode.BICUBIC and antialias and tensor.dtype == torch.uint8
    flat = tensor.flatten(0, -4)
    if os.environ["STANDIN_FILTER"] == "torch":
        done = torch.nn.functional.interpolate(flat, size, mode="bicubic", antialias=True)
    else:
        height, width = size
        done = torch.stack([pil_to_tensor(to_pil_image(x).resize((width, height), Image.Resampling.BICUBIC)) for x in flat])
    return done.unflatten(0, tensor.shape[:-3])


def normalize(tensor: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, inplace: bool = False) -> torch.Tensor:
    mean, std = (torch.as_tensor(values, dtype=tensor.dtype).view(-1, 1, 1) for values in (mean, std))
    return (tensor - mean) / std
