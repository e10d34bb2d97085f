"""What a diagnosis must not keep quiet: that it does not learn, that evaluations differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuitrain.diagnosis.diagnose import Diagnosis, Wrong
from tuitrain.diagnosis.headlines import HEADLINES
from tuitrain.protocol import CheckView, Snapshot

_ELSEWHERE, _LEARNING = "evaluation_env", "learning"
"""Checks that evaluations play what training does, and that it learns."""


def doubted(found: Diagnosis, snapshot: Snapshot) -> Diagnosis:
    """With why a run in which nothing is raised may not be well all the same."""
    verdict, doubt = snapshot.learning.verdict, ""
    if verdict == "FLAT":
        doubt = "it does not learn (yet): evaluations are FLAT"
    elif verdict in ("FALLING", "BELOW BEST"):
        doubt = f"it does not learn (any more): evaluations are {verdict}"
    elif any(policy.updates for policy in snapshot.policies) and not any(
        policy.episodes for policy in snapshot.policies
    ):
        doubt = "it does not learn (yet): no episode has ended in training"
    return replace(found, doubt=doubt)


def noted(found: Diagnosis, kwargs: Mapping[str, Any], others: Mapping[str, Any]) -> Diagnosis:
    """With a note if evaluations play other settings, which is the cause where it does not learn.

    Args:
        kwargs: `env.kwargs`.
        others: `env.eval_kwargs`.
    """
    if not others:
        return found
    here = _listed(others)
    there = _listed({key: kwargs[key] for key in others if key in kwargs})
    note = (
        f"Evaluations play with {here}, training {f'with {there}' if there else 'without'}: what "
        "is learned may not hold there (env.eval_kwargs)"
    )
    view = CheckView(
        id=_ELSEWHERE,
        name="evaluation env",
        value=here,
        limit=there or "as in training",
        state="warn",
        advice="take env.eval_kwargs out, and see whether what is learned holds in training",
        catalogue_id="X.28",
    )
    wrong = tuple(
        Wrong(HEADLINES[_ELSEWHERE], view, one.since, (one.check, *one.leads_to))
        if one.check.id == _LEARNING
        else one
        for one in found.wrong
    )
    found = replace(found, wrong=wrong, notes=(*found.notes, note))
    if not any(one.check is view for one in wrong):
        return found
    return replace(
        found,
        ok=tuple(check for check in found.ok if check.id != _ELSEWHERE),
        not_measured=tuple(check for check in found.not_measured if check.id != _ELSEWHERE),
    )


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value!r}" for key, value in settings.items())
