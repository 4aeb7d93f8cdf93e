"""What a run keeps of itself: checkpoints to go on from, curves, and what is measured between two reports."""
