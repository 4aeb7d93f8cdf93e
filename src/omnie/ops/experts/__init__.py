"""The routed experts' feed-forward product: y_t = sum over k of w_tk * down_e(silu(gate_e x_t) * up_e x_t), e = index_tk.

Backends share one signature and are chosen by the caller: `reference` (a loop over experts), `batched` (rows sorted by expert
for the grouped products of `ops/grouped_linear/`: training, prefill), `gathered` (the few chosen experts' weights: decode).
"""

from collections.abc import Callable

from torch import Tensor

from omnie.ops.experts.batched import experts as batched
from omnie.ops.experts.gathered import experts as gathered
from omnie.ops.experts.reference import experts as reference

BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "reference": reference,
    "batched": batched,
    "gathered": gathered,
}


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Tensor, down_EDI: Tensor) -> Tensor:
    """The backend that is fastest for this many rows; see `reference.experts` for the meaning of the arguments."""
    few_rows = index_TK.numel() <= gate_up_EID.shape[0] // 2
    backend = gathered if few_rows else batched
    return backend(x_TD, index_TK, weight_TK, gate_up_EID, down_EDI)
