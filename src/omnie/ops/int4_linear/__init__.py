"""Products with matrices stored in 4 bits: y = x W^T, and the routed experts' feed-forward product.

The format. A matrix W [out, in], or fused experts [E, out, in], becomes three tensors, all row-major; a matrix named N is
stored under the names in the first column. G is the group size (32, 64 or 128), g = ceil(in / G) the groups of a row (the last
one may be shorter), R = max(1, 64 // g) the rows of a block, so that a block holds about 64 scales or one whole row.

| tensor  | dtype   | shape                    | content                                                                     |
|---------|---------|--------------------------|-----------------------------------------------------------------------------|
| N_codes | uint8   | [(E,) out, ceil(in / 2)] | byte j: input 2j in bits 0 to 3, input 2j + 1 in bits 4 to 7 (8: none left) |
| N_scale | int8    | [(E,) out, g]            | one a group, -127 to 127, never 0; its sign is part of it                   |
| N_block | float32 | [(E,) ceil(out / R)]     | one a block of R rows, above 0 (the last block may have fewer rows)         |

    W[o, i] = (code[o, i] - 8) * scale[o, i // G] * block[o // R]        (an expert's matrix is a matrix of its own)

Scales are quantised a second time (QLoRA, Dettmers et al. 2023, section 3), to a share of their block's float. A parameter
takes 4 + 8 / G + 32 / (G g R) bits: 4.27 with G = 32 and 2,048 inputs. Levels are -8 to 7 without a zero point: a scale's sign
chooses the side that gets the eighth level. Why, and with which errors: `docs/decisions/0010-int4-weights.md`.

`packing.py` packs and unpacks, `hessian.py` packs for known inputs; `reference.py` is the meaning of the products, `cpu.py`
computes them from the packed bytes with C++ kernels (`native/`), `gpu/` with Triton's.
"""

from omnie.ops.int4_linear import cpu, gpu, reference
from omnie.ops.int4_linear.cpu import Activations
from omnie.ops.int4_linear.hessian import pack_for
from omnie.ops.int4_linear.packing import GROUPS, PARTS, Packed, Rounding, pack, rounded, shapes, unpack

BACKENDS = {"reference": reference, "cpu": cpu, "gpu": gpu}
"""Modules that offer `linear` and `experts` with the signatures of `reference`; `cpu` takes `activations` besides.

Each leaves to `reference` what it does not compute; Triton is imported when `gpu` is first asked for a product.
"""

__all__ = [
    "BACKENDS", "GROUPS", "PARTS", "Activations", "Packed", "Rounding", "pack", "pack_for", "rounded", "shapes", "unpack",
]  # fmt: skip
