"""Model folders in and out: `config.json`, safetensors (one file or shards), tokenizer and processor settings.

Weights may be stored as int8 with one float16 scale per group of 32 inputs; they become floating point when loaded. Folders in
a published format are translated by the tables of `foreign/`. A folder is checked before memory is taken for it: the headers
name every tensor's shape and type. No pickle is ever read.

`folders.py` finds a model (`hub.py`: in the Hub), `stored.py` checks weight files and reads them, `reading.py` and `writing.py`
are the two directions.
"""

from omnie.checkpoint.folders import DEFAULT, INDEX, WEIGHTS, find, models, shard_names
from omnie.checkpoint.int8 import GROUP, SCALE, SMALL, dequantised, quantised
from omnie.checkpoint.reading import (
    blueprint,
    load,
    load_encoder,
    load_model,
    load_packing,
    parameters,
    published,
    published_encoder,
)
from omnie.checkpoint.stored import TIED, Parameters, tied
from omnie.checkpoint.writing import SHARD, Quantise, appearing, save, save_as_ernie

__all__ = [
    "DEFAULT", "GROUP", "INDEX", "SCALE", "SHARD", "SMALL", "TIED", "WEIGHTS", "Parameters", "Quantise", "appearing",
    "blueprint", "dequantised", "find", "load", "load_encoder", "load_model", "load_packing", "models", "parameters",
    "published", "published_encoder", "quantised", "save", "save_as_ernie", "shard_names", "tied",
]  # fmt: skip
