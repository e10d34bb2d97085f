"""Processes that answer one question about a run or an environment, and are gone."""
