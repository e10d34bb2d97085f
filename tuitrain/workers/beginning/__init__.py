"""Where a worker's first state comes from: a checkpoint, another run, or the seed."""
