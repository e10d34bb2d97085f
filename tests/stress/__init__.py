"""Processes at full speed on one replay: what the short proofs say must hold then too."""
