"""Kernels. Each folder is one operation with one signature and several equal backends; `reference.py` is its meaning."""
