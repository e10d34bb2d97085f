"""The proof that lockstep is sequential, byte for byte, and that the proof can fail."""
