"""Configuration and run folders."""
