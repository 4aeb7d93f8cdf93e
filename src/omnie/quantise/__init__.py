"""A model folder to one whose matrices are in 4 bits (`convert.py`), and how many bytes a folder spends on what (`report.py`).

The rounding is in `ops/int4_linear`, the choice of matrices in `model/int4`; `files.py` reads and writes tensors one by one.
"""
