"""What a diagnosis must not keep quiet: that it does not learn, that evaluations differ. Pure.

What is no proof of a fault is no check either. It is noted where it does not learn: there it is a
trail, and elsewhere a task that is as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tuitrain.diagnosis.checks import BY_ID
from tuitrain.diagnosis.checks.row import LEARNS, TOO_FEW, WORKING, better_than_chance
from tuitrain.diagnosis.contrast import (
    LOOK,
    above_chance,
    above_training,
    all_alike,
    below_training,
    worse_than_chance,
)
from tuitrain.diagnosis.course import fallen, few_updates, has_learned, unsteady
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

    And with notes on how episodes end, where it does not learn, and on how evaluations compare,
    where something else is raised.
    """
    verdict = snapshot.learning.verdict
    doubt, then = _doubt(snapshot)
    notes = tuple(_ends(snapshot)) if verdict in _NOT_LEARNING else ()
    if any(p.gamma == 0 and (p.length_max or 0) > 1 for p in snapshot.policies):
        notes += ("learner.gamma = 0: nothing counts but the next reward of an episode",)
    if found.wrong:
        notes += tuple(said for said in (_worse(snapshot), _below(snapshot)) if said)
    elif short := _unmeasured(found, snapshot):
        notes += (short,)
    return replace(found, doubt=doubt, then=then, notes=(*found.notes, *notes))


_NOT_LEARNING = "FLAT", "FALLING", "BELOW BEST"

_LONGER = "Try a longer run, or `tuitrain doctor CONFIG --learn`."


def _doubt(snapshot: Snapshot) -> tuple[str, str]:
    """Why it may not be well, and what to do then; the surest first."""
    verdict, policies = snapshot.learning.verdict, snapshot.policies
    ended = any(policy.episodes for policy in policies)
    if any(policy.updates for policy in policies) and not ended and verdict not in LEARNS:
        return "it does not learn (yet): no episode has ended in training", (
            "Returns are known at ends alone. Does step() ever say terminated or truncated? If the "
            "task has no end, a time limit gives it some (gymnasium's TimeLimit, for one)."
        )
    worst = _worst(snapshot)
    if verdict == "FLAT" and (swings := unsteady(worst))[0]:
        return swings
    alike = [all_alike(policy) for policy in policies]
    every_alike = bool(alike) and all(said for said, _ in alike)
    few, change = few_updates(worst)
    if verdict == "FLAT" and few and not (every_alike or better_than_chance(worst)):
        return f"it does not learn (yet): evaluations are FLAT, and {few}", f"{change}."
    if worse := _worse(snapshot):
        return worse, f"{LOOK[0].upper()}{LOOK[1:]}."
    if below := _below(snapshot):
        return below, _APART
    if verdict in ("FLAT", "TOO EARLY") and every_alike:
        return alike[0]
    if verdict == "FLAT":
        if learned := _learned(snapshot):
            return learned, _ALL
        return "it does not learn (yet): evaluations are FLAT", _LONGER
    if verdict in ("FALLING", "BELOW BEST"):
        return fallen(worst)
    if verdict == "TOO EARLY":
        then = _MORE if snapshot.state not in WORKING else ""
        above = [above_chance(policy) for policy in policies]
        if above and all(above):
            return (
                f"whether it goes on learning is not known: {above[0]}, but it is {verdict}",
                then,
            )
        said = f"whether it learns is not known: it is {verdict} to say"
        return (f"{said}, and {few}", f"{change}. {then}") if few and then else (said, then)
    if verdict == "n/a":
        return f"whether it learns is not known: {snapshot.learning.reason or 'nobody says'}", ""
    return "", ""


_MORE = (
    "Try a longer run, evaluate more often (eval.every_steps), or `tuitrain doctor CONFIG --learn`."
)
_ALL = (
    "If more can be had: try a longer run, a lower learner.lr, or `tuitrain compare` other configs."
)
_APART = (
    "Do evaluations play another game (other settings, another normalisation, other beginnings), "
    "or does greedy play go round in circles where chance leads out?"
)


def _worst(snapshot: Snapshot) -> PolicyView:
    """Whose verdict is shown where there is room for one."""
    policies = snapshot.policies or [PolicyView(name="")]
    policy = next((p for p in policies if p.name == snapshot.learning.policy), policies[0])
    return policy.model_copy(update={"learning": snapshot.learning})


def _learned(snapshot: Snapshot) -> str:
    """That what is FLAT has learned all the same: all are above chance, or have got better."""
    told = {policy.name: has_learned(policy) for policy in snapshot.policies}
    well = [told[p.name] or p.learning.verdict in LEARNS for p in snapshot.policies]
    said = told.get(snapshot.learning.policy) or next(filter(None, told.values()), "")
    return said if all(well) else ""


def _worse(snapshot: Snapshot) -> str:
    """How evaluations are worse than random play, of every policy: of rivals one has to be."""
    told = [worse_than_chance(policy) for policy in snapshot.policies]
    return told[0] if told and all(told) else ""


def _below(snapshot: Snapshot) -> str:
    """How evaluations are below training, if they get no better: who rises is behind now and
    then."""
    told = [below_training(policy) for policy in snapshot.policies]
    return told[0] if told and all(told) and snapshot.learning.verdict != "IMPROVING" else ""


def _unmeasured(found: Diagnosis, snapshot: Snapshot) -> str:
    """Which checks a run that is over was too short for."""
    short = [check.name for check in found.not_measured if check.value.endswith(TOO_FEW)]
    if not short or snapshot.state in WORKING:
        return ""
    many = f"{len(short)} check{'s' * (len(short) > 1)}"
    return f"The run was too short to measure {many}: {', '.join(short)}"


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
    snapshot: Snapshot | None = None,
) -> Diagnosis:
    """With a note if evaluations play other settings, which is the cause where it does not learn.

    It is none if both were played, and nothing was different but the size of rewards.

    Args:
        kwargs: `env.kwargs`.
        others: `env.eval_kwargs`.
        tried: what came of playing both: `words`, and whether it is `suspect`; None: not known.
        snapshot: what evaluations and training have returned; None of a config.
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
    found = replace(found, notes=(*found.notes, note))
    raised = {one.check.id for one in found.wrong}
    why = "" if snapshot is None else _suspect(snapshot)
    if _ELSEWHERE in raised or not (_LEARNING in raised or why):
        return found
    said = [part for part in (why, words) if part]
    view = CheckView(
        id=_ELSEWHERE,
        name=BY_ID[_ELSEWHERE].name,
        value=here,
        limit=there or "as in training",
        state="warn",
        advice=f"{'; '.join(said) + ': ' if said else ''}take env.eval_kwargs out, and see whether "
        "what is learned holds in training",
        catalogue_id=BY_ID[_ELSEWHERE].catalogue_id,
    )
    cause = Wrong(HEADLINES[_ELSEWHERE], view)
    wrong = tuple(
        replace(cause, since=one.since, leads_to=(one.check, *one.leads_to))
        if one.check.id == _LEARNING
        else one
        for one in found.wrong
    )
    return replace(
        found,
        # behind what was measured: of that it is known that it is so
        wrong=wrong if _LEARNING in raised else (*found.wrong, cause),
        ok=tuple(check for check in found.ok if check.id != _ELSEWHERE),
        not_measured=tuple(check for check in found.not_measured if check.id != _ELSEWHERE),
    )


def _suspect(snapshot: Snapshot) -> str:
    """By what evaluations with other settings are suspected, though `learning` is not raised."""
    if told := _below(snapshot) or _worse(snapshot):
        return told
    verdict = snapshot.learning.verdict
    if verdict not in _NOT_LEARNING or any(map(above_training, snapshot.policies)):
        return ""
    return f"evaluations are {verdict}"


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value!r}" for key, value in settings.items())
