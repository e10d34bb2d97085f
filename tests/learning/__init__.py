"""Short trainings with a known optimum, and controls that must not reach it."""
