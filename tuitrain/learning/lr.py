"""The learning rate as a pure function of the number of updates made, so that it survives resume.

No torch, no state.
"""

from __future__ import annotations

import math

from tuitrain.config.learner import LearnerConfig


def lr_at(update: int, config: LearnerConfig, total_updates: int) -> float:
    """Learning rate of the update that follows `update` finished ones.

    Args:
        update: updates made so far; the first update has 0 and gets ``config.lr`` exactly.
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
