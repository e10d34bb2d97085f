"""Who waits for whom, in a sentence: what to make faster first. Pure.

From the shares of their recent time that workers spent in each phase. Who waits least is what the
others wait for.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuitrain.protocol import ProcessView

LITTLE = 0.1
"""Who waits for a smaller share of the time than this does not wait."""
MUCH = 0.3
"""If both sides wait for a larger one, neither is the bottleneck."""


def bottleneck(processes: Sequence[ProcessView]) -> str | None:
    """The slowest part of a run; None while it is not measured."""
    for process in processes:
        if process.role == "trainer" and process.phase_share:
            phase, share = max(process.phase_share.items(), key=lambda item: item[1])
            return f"slowest part: {phase}, {share:.0%} of the time"
    learners = _waiting(processes, "learner")
    actors = _waiting(processes, "actor")
    if learners is None or actors is None:
        return None
    many = sum(process.role == "learner" for process in processes) > 1
    name, waits = ("learners", "wait") if many else ("learner", "waits")
    if max(learners, actors) < LITTLE:
        return f"nobody waits: {name} busy {1 - learners:.0%}, actors busy {1 - actors:.0%}"
    if min(learners, actors) > MUCH:
        return f"they take turns: {name} {waits} {learners:.0%}, actors wait {actors:.0%}"
    if learners < actors:
        return f"bottleneck: {name}, busy {1 - learners:.0%}; actors wait {actors:.0%}"
    return f"bottleneck: actors, busy {1 - actors:.0%}; {name} {waits} {learners:.0%}"


def _waiting(processes: Sequence[ProcessView], role: str) -> float | None:
    """Mean share of the time that workers of this role wait; None if nobody has measured it."""
    shares = [p.phase_share for p in processes if p.role == role and p.phase_share]
    if not shares:
        return None
    return sum(share.get("wait", 0.0) for share in shares) / len(shares)
