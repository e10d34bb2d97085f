"""Faults in real runs: what each makes the checks say, and what no clean run does."""
