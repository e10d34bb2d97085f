"""Learners that carry out a checkpoint in the midst of a run, whenever it has been asked for."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

from tuitrain.schedules import lockstep
from tuitrain.schedules.learning import LearnerDesk
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.link import Link

ROUND = 9
"""After which it is carried out: the ring has wrapped, and an evaluation been made."""


def run_learner(args: ChildArgs, link: Link) -> None:
    """`lockstep`'s, whose conductor waits for that round."""
    _run_learner(args, link, lambda desk: desk._board.round >= ROUND)


def run_learner_to_the_end(args: ChildArgs, link: Link) -> None:
    """`lockstep`'s, whose conductor waits for the last round."""
    total = args.config.run.total_steps
    _run_learner(args, link, lambda desk: desk._limiter.totals().steps >= total)


def _run_learner(args: ChildArgs, link: Link, now: Callable[[LearnerDesk], bool]) -> None:
    original = LearnerDesk.save_together

    def save_together(desk: LearnerDesk) -> None:
        if now(desk):
            original(desk)

    with mock.patch.object(LearnerDesk, "save_together", save_together):
        lockstep.run_learner(args, link)
