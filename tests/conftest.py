"""What every test shares: one thread for torch, because toy-sized matrices on busy cores spend their time in barriers."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
