"""A user's commands, run beside training."""
