"""The terminal UI: a client of the run's socket; the only place that imports textual."""
