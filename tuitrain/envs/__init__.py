"""Environments as lanes: one lane is one agent of one environment."""
