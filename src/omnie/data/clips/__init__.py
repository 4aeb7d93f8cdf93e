"""Little films made here: which shapes, how they move, what they are drawn on and with what."""
