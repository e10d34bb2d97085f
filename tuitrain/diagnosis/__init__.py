"""Pure checks from a snapshot to a verdict."""
