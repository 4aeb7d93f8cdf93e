"""Between Pillow's pictures and tensors [C, H, W]."""

import numpy as np
import torch
from PIL import Image


def pil_to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def to_pil_image(tensor: torch.Tensor) -> Image.Image:
    return Image.fromarray(tensor.permute(1, 2, 0).numpy())
