"""The shared replay store: segments, lock, limiter, shards, window, sampling."""
