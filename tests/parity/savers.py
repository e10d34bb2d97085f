"""Workers that carry out a checkpoint in the midst of a run, whenever it has been asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest import mock

from tuitrain.schedules import lockstep
from tuitrain.schedules.learning import LearnerDesk
from tuitrain.schedules.rounds import Reporter
from tuitrain.schedules.saving import Saves
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


def run_actor(args: ChildArgs, link: Link) -> None:
    """`lockstep`'s, to whom saving takes longer than from one record to the next."""
    make, episodes = Saves.make, Reporter.episodes
    saved = False

    def make_slowly(saves: Saves, request: int, *, moment: bool) -> None:
        nonlocal saved
        make(saves, request, moment=moment)
        saved = True

    def episodes_late(reporter: Reporter, total_steps: int) -> None:
        reporter._next_s = 0.0 if saved else math.inf
        episodes(reporter, total_steps)

    with (
        mock.patch.object(Saves, "make", make_slowly),
        mock.patch.object(Reporter, "episodes", episodes_late),
    ):
        lockstep.run_actor(args, link)


def _run_learner(args: ChildArgs, link: Link, now: Callable[[LearnerDesk], bool]) -> None:
    original = LearnerDesk.save_together

    def save_together(desk: LearnerDesk) -> None:
        if now(desk):
            original(desk)

    with mock.patch.object(LearnerDesk, "save_together", save_together):
        lockstep.run_learner(args, link)
