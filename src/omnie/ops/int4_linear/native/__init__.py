"""The C++ of the processor's backend, and how it is compiled; `cpu.py` calls it."""
