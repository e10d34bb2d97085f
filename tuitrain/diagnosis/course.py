"""How a run has gone by its evaluations, in words; or nothing where that is not certain. Pure."""

from __future__ import annotations

from tuitrain.diagnosis.contrast import above_chance
from tuitrain.protocol import PolicyView

LEARNED = "it has learned"
"""Begins what is said of a run that is well as far as is known, and gets no better."""


def has_learned(policy: PolicyView) -> str:
    """That greedy play is clearly better than play by chance, and since when no better still."""
    if not above_chance(policy):
        return ""
    view, first = policy.learning, policy.first_return_mean or 0.0
    last = f" over the last {view.window} evaluations" if view.window else ""
    said = f"{LEARNED}: {first:.4g} by chance, {view.newest or 0.0:.4g} now"
    return f"{said}; it no longer gets better{last}"
