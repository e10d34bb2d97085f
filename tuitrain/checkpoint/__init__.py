"""Checkpoints: what is in them, which files they are, and which of them is meant."""
