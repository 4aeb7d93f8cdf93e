"""How weights move: Muon and AdamW, their rates over a run, and the processes that share the work."""
