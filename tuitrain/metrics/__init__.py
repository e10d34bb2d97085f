"""Counters and sinks."""
