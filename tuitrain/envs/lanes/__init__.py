"""Environments stepped together: every way in which agents take turns, as lanes."""
