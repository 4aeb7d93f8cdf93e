"""From files to modules, as Transformers' loader goes there: int8 and 4 bits. `stored.py` (what comes out of files),
`quantizer.py` (`quantization_config`, `BitsAndBytesConfig`).
"""

from omnie.model.hub.weights.quantizer import Int4Config, compute_in, quantizer_of, register
from omnie.model.hub.weights.stored import Checkpoint, Weights

__all__ = ["Checkpoint", "Int4Config", "Weights", "compute_in", "quantizer_of", "register"]
