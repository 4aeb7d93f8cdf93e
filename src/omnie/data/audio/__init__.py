"""Sound made here: who speaks and what (voices, sentences), what rings and knocks (events), and how it is recorded (acoustics)."""
