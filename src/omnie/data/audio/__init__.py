"""Sound made here: who speaks and what, what rings and knocks, and how it is recorded."""
