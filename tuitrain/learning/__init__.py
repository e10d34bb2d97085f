"""Networks, losses, exploration and the update; knows nothing of processes."""
