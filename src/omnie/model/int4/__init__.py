"""A model whose matrices stay in 4 bits in memory: which ones they are and how a folder says so (`plan.py`), the modules that
hold them (`modules.py`), and filling them from files (`files.py`).

The packed format and the products are `ops/int4_linear`; writing such a folder is `omnie/quantise/`.
"""

from omnie.model.int4.files import load, load_packing
from omnie.model.int4.modules import Int4Experts, Int4Linear, multiply_with
from omnie.model.int4.plan import FLOATS, check, config, install, is_tied, matrices, parts, read, targets

__all__ = [
    "FLOATS", "Int4Experts", "Int4Linear", "check", "config", "install", "is_tied", "load", "load_packing", "matrices",
    "multiply_with", "parts", "read", "targets",
]  # fmt: skip
