"""Training: from encoded examples to weights.

`packing.py` and `loader.py` are NumPy only, because worker processes import them; everything with torch in it is imported by
name (`from omnie.train.trainer import train`), so that importing this package costs nothing.
"""
