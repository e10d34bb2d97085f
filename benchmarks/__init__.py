"""Measures speed as ratios between arms that were timed side by side. See README.md."""
