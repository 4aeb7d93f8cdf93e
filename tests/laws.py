"""How the laws compare tensors: by relative root-mean-square error, naming what differs."""

import torch
from torch import Tensor


def relative_rms(got: Tensor, want: Tensor) -> float:
    """Root mean square of the difference over that of `want`, or over 0.01 where that is smaller (some gradients are 0)."""
    got, want = got.detach().double(), want.detach().double()
    if not want.numel() or torch.equal(got, want):
        return 0.0
    return float((got - want).square().mean().sqrt() / want.square().mean().sqrt().clamp_min(0.01))


def assert_close(name: str, got: Tensor, want: Tensor, tolerance: float = 1e-5) -> None:
    """Same shape, all finite, relative RMS error at most `tolerance`."""
    assert got.shape == want.shape, f"{name}: {tuple(got.shape)} for {tuple(want.shape)}"
    assert bool(got.isfinite().all()), f"{name} is not finite"
    error = relative_rms(got, want)
    assert error <= tolerance, f"{name}: relative RMS error {error:.1e}, allowed {tolerance:.0e}"
