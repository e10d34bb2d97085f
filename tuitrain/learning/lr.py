"""The learning rate as a pure function of the number of updates made, so that it survives resume.

Also how far schedules over all planned updates are, which a change of the replay ratio moves. No
torch, no state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuitrain.config.learner import LearnerConfig


@dataclass(frozen=True)
class Course:
    """What schedules over the planned updates go by: how many of them have passed.

    Attributes:
        length: updates the run would make, had the replay ratio been from the first transition on
            what it is now.
        since: updates made when the ratio became what it is now.
        passed: how many of `length` had passed then.
    """

    length: int
    since: int = 0
    passed: float = 0.0

    def at(self, updates: int) -> float:
        """How many of `length` have passed when so many updates are made.

        Those that were still owed when the ratio was changed belong to what had passed.
        """
        return self.passed + max(0, updates - self.since)


def lr_at(update: float, config: LearnerConfig, total_updates: int) -> float:
    """Learning rate of the update that follows `update` finished ones.

    Args:
        update: updates made so far (``Course.at``); the first update has 0 and gets ``config.lr``
            exactly.
        config: ``lr``, ``lr_end``, ``lr_schedule`` and ``lr_schedule_updates``.
        total_updates: updates the run will make; the schedule's length where
            ``lr_schedule_updates`` is not set.

    Returns:
        Between ``lr`` and ``lr_end``; exactly ``lr_end`` once a schedule has ended. Cosine is
        a half period (Loshchilov & Hutter 2017, without restarts).
    """
    if config.lr_schedule == "constant":
        return config.lr
    length = config.lr_schedule_updates or total_updates
    if update >= length:
        return config.lr_end
    share = update / length
    if config.lr_schedule == "linear":
        return config.lr + (config.lr_end - config.lr) * share
    return config.lr_end + (config.lr - config.lr_end) * (0.5 * (1.0 + math.cos(math.pi * share)))
