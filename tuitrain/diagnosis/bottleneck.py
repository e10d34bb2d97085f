"""Who waits for whom, in a sentence: what to make faster first. Pure.

From the shares of their recent time that workers spent in each phase. Who waits least is what the
others wait for. Who is busy and yet on a core for less than half of that time gets no core, or
waits for something outside of the run, so that is asked; with a GPU it may well be so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuitrain.protocol import ProcessView

LITTLE = 0.1
"""Who waits for a smaller share of the time than this does not wait."""
MUCH = 0.3
"""If both sides wait for a larger one, neither is the bottleneck."""
STARVED = 0.5
"""Of the time in which it is busy: who is on a core for less does not get one when it could."""

_IDLE = ("start", "wait", "paused")


def silence(processes: Sequence[ProcessView]) -> str | None:
    """Who has fallen silent, and who waits meanwhile; None while everybody is heard.

    What a silent worker told last of its time is of before.
    """
    silent = [p for p in processes if p.state == "silent"]
    if not silent:
        return None
    who = ", ".join(p.name + (f' in "{p.stands_in}"' if p.stands_in else "") for p in silent)
    said = f"silent: {who}"
    heard = bottleneck(processes)
    if heard is not None:
        return f"{said}; of the others: {heard}"
    waits = [f"{p.name} waits for {p.wait}" for p in processes if p.state == "waiting" and p.wait]
    return "; ".join([said, *waits])


def bottleneck(processes: Sequence[ProcessView]) -> str | None:
    """The slowest part of a run; None while it is not measured. Who is silent does not count."""
    processes = [p for p in processes if p.state != "silent"]
    for process in processes:
        if process.role == "trainer" and process.phase_share:
            phase, share = max(process.phase_share.items(), key=lambda item: item[1])
            slow = f"slowest part: {phase}, {share:.0%} of the time"
            return _asked(slow + _starved([process], "trainer"))
    learners = _waiting(processes, "learner")
    actors = _waiting(processes, "actor")
    if learners is None or actors is None:
        return None
    many = sum(process.role == "learner" for process in processes) > 1
    name, waits = ("learners", "wait") if many else ("learner", "waits")
    if max(learners, actors) < LITTLE:
        busy = f"nobody waits: {name} busy {1 - learners:.0%}, actors busy {1 - actors:.0%}"
        return _asked(busy + (_starved(processes, "learner") or _starved(processes, "actor")))
    if min(learners, actors) > MUCH:
        return f"they take turns: {name} {waits} {learners:.0%}, actors wait {actors:.0%}"
    if learners < actors:
        starved = _starved(processes, "learner")
        busy = f"{name}, busy {1 - learners:.0%}{starved}"
        return _asked(f"bottleneck: {busy}; actors wait {actors:.0%}")
    starved = _starved(processes, "actor")
    busy = f"actors, busy {1 - actors:.0%}{starved}"
    return _asked(f"bottleneck: {busy}; {name} {waits} {learners:.0%}")


_CORELESS = " but on a core "


def _asked(words: str) -> str:
    """With a question where somebody has no core: last, for it goes first where room is scarce."""
    return f"{words} (do other processes take the cores?)" if _CORELESS in words else words


def _starved(processes: Sequence[ProcessView], role: str) -> str:
    """What to add of workers of this role that are busy without a core; else nothing."""
    known = [
        (1 - sum(p.phase_share.get(phase, 0.0) for phase in _IDLE), p.cpu_percent / 100)
        for p in processes
        if p.role == role and p.phase_share and p.cpu_percent  # at the first look it is 0
        if not (p.device or "").startswith("cuda")
    ]
    busy, on_core = (sum(column) for column in zip(*known, strict=True)) if known else (0.0, 0.0)
    if on_core >= STARVED * busy:
        return ""
    return f"{_CORELESS}{on_core / len(known):.0%}"


def _waiting(processes: Sequence[ProcessView], role: str) -> float | None:
    """Mean share of the time that workers of this role wait; None if nobody has measured it."""
    shares = [p.phase_share for p in processes if p.role == role and p.phase_share]
    if not shares:
        return None
    return sum(share.get("wait", 0.0) for share in shares) / len(shares)
