"""The fault matrix: every role, at every moment, in every way. See docs/reliability.md."""
