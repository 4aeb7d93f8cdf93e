"""Stands in for torchvision, which is not installed: the few functions that Transformers' processors call.

Only `their_processor.py` sees it, in a process of its own, so that Transformers' own sampling, drawing and cutting run there.
"""

__version__ = "0.26.0"
