"""Whole runs through the command line: real supervisors, real workers, real terminals."""
