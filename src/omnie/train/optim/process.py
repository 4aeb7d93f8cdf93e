"""How the training process uses the CPU and its memory. Call it before importing PyTorch."""

import ctypes
import os

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def prepare() -> None:
    """Sets up the process for training."""
    share_cores()
    keep_pages()


def share_cores() -> None:
    """Lets OpenMP's threads sleep at barriers instead of spinning; without effect once PyTorch is imported.

    Data workers share the cores with the trainer. A thread that spins holds the core that the other thread needs to reach the
    barrier: measured on 2 cores with other work running, 10 steps of `toy` took 48 s with spinning and 9 s without.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_pages() -> bool:
    """Makes the C library keep the memory that PyTorch frees on the CPU, so that a step does not fault its pages anew.

    glibc hands blocks above 128 KiB (growing to 32 MiB) back to the kernel when they are freed. A step's temporaries are
    larger than that, so every one of them is cleared and mapped again, page by page. Measured on 2 cores: `index_select` into
    32 MiB 7.7 GB/s as it comes, 18.7 GB/s with this, 56 GB/s with huge pages as well; `y + 1` 7.8 and 37.9; log-softmax of
    128 MiB 7.1 and 15.1. Raising the thresholds alone (M_MMAP_THRESHOLD, at most 32 MiB) gained nothing for these sizes:
    mapping is switched off instead. The price is peak memory: about 120 MiB more in that measurement.

    Returns:
        Whether the C library obeyed; elsewhere than on glibc nothing changes.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch then asks for huge pages for blocks of 2 MiB and more
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20))
    return all([mallopt(option, value) == 1 for option, value in settings])
