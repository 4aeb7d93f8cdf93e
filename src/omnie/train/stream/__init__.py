"""What the trainer is fed: skills drawn, made, encoded, packed in worker processes, and moved to the device."""
