"""Is what has died to be started again? A pure function of its history.

The rule of Erlang/OTP's supervisors: more than so many deaths within a period give up, since what
dies again and again will not get well by being started once more. A worker that cannot even be
built gives up at once: it is told with its cause while its user still looks. So does one whose
successor raises the very same before it has done anything, or before there is a new checkpoint
where all go back to one. Decides for one worker, or for a whole
crew that goes back together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Death:
    """One unexpected end.

    Attributes:
        at_s: when, by the clock that `decide` is given.
        ready: whether the worker had reported ready.
        told: whether it told an exception; else a signal, a hang or an exit has ended it.
        cause: of the exception, its type, message and place.
        progress: units of work that it had done before it told the exception.
        checkpoint: the newest one of the run by then, where all would go back to; None: the start.
    """

    at_s: float
    ready: bool
    told: bool
    cause: str = ""
    progress: int = 0
    checkpoint: str | None = None


@dataclass(frozen=True)
class RestartRule:
    """How often one may die.

    Attributes:
        max_restarts: deaths within the period after which one is still started again; 0: never.
        period_s: length of the period in seconds.
        repeats: all go back to the newest checkpoint and do the same as before, so an exception
            that comes a second time after the same checkpoint will come every time.
    """

    max_restarts: int
    period_s: float
    repeats: bool = False


@dataclass(frozen=True)
class Restart:
    """Start it again."""


@dataclass(frozen=True)
class GiveUp:
    """Let the run end.

    Attributes:
        reason: why, for a person; empty where restarting is turned off.
    """

    reason: str


def decide(history: Sequence[Death], now: float, rule: RestartRule) -> Restart | GiveUp:
    """What to do about the newest death.

    Args:
        history: all deaths in this place, oldest first; the last is the one to decide on.
        now: seconds on the clock of `Death.at_s`.
    """
    if rule.max_restarts == 0:
        return GiveUp("")
    newest = history[-1]
    if not newest.ready and (newest.told or len(history) == 1):
        return GiveUp("it failed before it was ready, so it would fail again")
    if newest.told and len(history) > 1 and history[-2].cause == newest.cause:
        if rule.repeats and history[-2].checkpoint == newest.checkpoint:
            return GiveUp(
                "it failed in the same way after it had gone back, with no new checkpoint in "
                "between, so it would fail again"
            )
        if not rule.repeats and newest.progress == 0:
            return GiveUp(
                "it failed in the same way as the one before it, before it had done anything, so "
                "the next would too"
            )
    recent = sum(now - death.at_s <= rule.period_s for death in history)
    if recent > rule.max_restarts:
        whose = "all workers together" if rule.repeats else "this worker"
        return GiveUp(
            f"this was death {recent} of {whose} within {rule.period_s:g} s, and "
            f"supervisor.max_restarts is {rule.max_restarts}"
        )
    return Restart()
