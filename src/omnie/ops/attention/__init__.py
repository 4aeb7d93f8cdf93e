"""Scaled dot-product attention with the call signature of Transformers' attention interface, so that either can stand in.

Backends: `reference` (dense, float32 softmax) and `sdpa` (torch's fused kernel).
"""

from omnie.ops.attention.reference import attention as reference
from omnie.ops.attention.sdpa import attention as sdpa

BACKENDS = {"reference": reference, "sdpa": sdpa}
