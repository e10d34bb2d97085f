"""What a diagnosis must not keep quiet: that it does not learn, that evaluations differ. Pure.

What is no proof of a fault is no check either. It is noted where it does not learn: there it is a
trail, and elsewhere a task that is as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tuitrain.diagnosis.checks import BY_ID
from tuitrain.diagnosis.checks.row import LEARNS
from tuitrain.diagnosis.diagnose import Diagnosis, Wrong
from tuitrain.diagnosis.headlines import HEADLINES
from tuitrain.protocol import CheckView, PolicyView, Snapshot

_ELSEWHERE, _LEARNING = "evaluation_env", "learning"
"""Checks that evaluations play what training does, and that it learns."""

_FEW_ENDS = 20
"""Episodes that may be of the same length by chance."""
_AT_THE_LONGEST = 0.05
"""Of all episodes: lengths that nothing cuts off hardly ever end with so many of the longest."""
_AT_ONCE = 0.3
"""Of all episodes: of an end that is kept across the reset every second one dies."""


def doubted(found: Diagnosis, snapshot: Snapshot) -> Diagnosis:
    """With why a run in which nothing is raised may not be well all the same.

    And with notes on how episodes end, where it does not learn.
    """
    verdict, doubt = snapshot.learning.verdict, ""
    if verdict == "FLAT":
        doubt = "it does not learn (yet): evaluations are FLAT"
    elif verdict in ("FALLING", "BELOW BEST"):
        doubt = f"it does not learn (any more): evaluations are {verdict}"
    elif (
        verdict not in LEARNS
        and any(policy.updates for policy in snapshot.policies)
        and not any(policy.episodes for policy in snapshot.policies)
    ):
        doubt = "it does not learn (yet): no episode has ended in training"
    notes = _ends(snapshot) if verdict in _NOT_LEARNING else ()
    return replace(found, doubt=doubt, notes=(*found.notes, *notes))


_NOT_LEARNING = "FLAT", "FALLING", "BELOW BEST"


def _ends(snapshot: Snapshot) -> Iterator[str]:
    """How episodes end that may not be meant; of several agents nothing is said."""
    if sum(policy.agents for policy in snapshot.policies) != 1:
        return
    (policy,) = snapshot.policies
    episodes, longest = policy.episodes or 0, policy.length_max or 0
    if _often(policy.longest_terminated, _AT_THE_LONGEST, policy) and (
        longest > _LENGTHS_DIFFER * (policy.length_min or longest)
    ):
        yield (
            f"{policy.longest_terminated:,} of {episodes:,} episodes were terminated after exactly "
            f"{longest:,} steps, and none took longer: if that is a time limit, step() is to say "
            "truncated, not terminated, or what comes after it counts as worth nothing"
        )
    if longest > 1 and _often(policy.at_once, _AT_ONCE, policy):
        yield (
            f"{policy.at_once:,} of {episodes:,} episodes ended with their first step: is an end, "
            "or a count of steps, kept across reset()?"
        )


_LENGTHS_DIFFER = 2
"""Where the shortest is not so much shorter than the longest, all may be meant to be alike."""


def _often(count: int | None, share: float, policy: PolicyView) -> bool:
    return (count or 0) >= max(_FEW_ENDS, share * (policy.episodes or 0))


def noted(
    found: Diagnosis,
    kwargs: Mapping[str, Any],
    others: Mapping[str, Any],
    tried: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """With a note if evaluations play other settings, which is the cause where it does not learn.

    It is none if both were played, and nothing was different but the size of rewards.

    Args:
        kwargs: `env.kwargs`.
        others: `env.eval_kwargs`.
        tried: what came of playing both: `words`, and whether it is `suspect`; None: not known.
    """
    if not others:
        return found
    here = _listed(others)
    there = _listed({key: kwargs[key] for key in others if key in kwargs})
    words = "" if tried is None else str(tried["words"])
    note = f"Evaluations play with {here}, training {f'with {there}' if there else 'without'}"
    if tried is not None and not tried["suspect"]:
        return replace(found, notes=(*found.notes, f"{note} (env.eval_kwargs), but {words}"))
    note += ": what is learned may not hold there (env.eval_kwargs)"
    if words:
        note += f". {words[0].upper()}{words[1:]}"
    view = CheckView(
        id=_ELSEWHERE,
        name=BY_ID[_ELSEWHERE].name,
        value=here,
        limit=there or "as in training",
        state="warn",
        advice=f"{words + ': ' if words else ''}take env.eval_kwargs out, and see whether what is "
        "learned holds in training",
        catalogue_id=BY_ID[_ELSEWHERE].catalogue_id,
    )
    wrong = tuple(
        Wrong(HEADLINES[_ELSEWHERE], view, one.since, (one.check, *one.leads_to))
        if one.check.id == _LEARNING
        else one
        for one in found.wrong
    )
    found = replace(found, wrong=wrong, notes=(*found.notes, note))
    if found.doubt and words:
        found = replace(found, doubt=f"{found.doubt}, and they play another game than training")
    if not any(one.check is view for one in wrong):
        return found
    return replace(
        found,
        ok=tuple(check for check in found.ok if check.id != _ELSEWHERE),
        not_measured=tuple(check for check in found.not_measured if check.id != _ELSEWHERE),
    )


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value!r}" for key, value in settings.items())
