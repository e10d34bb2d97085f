"""When the target network changes, as pure functions of the update count.

The learner follows the rule and counts; a check elsewhere compares that count with
``expected_target_updates``. No torch, so that the supervisor can do the comparing.
"""

from __future__ import annotations

from tuitrain.config.learner import LearnerConfig
from tuitrain.config.resolve import DEFAULT_TARGET_UPDATE_EVERY


def target_period(config: LearnerConfig) -> int:
    """Updates between two target updates: 1 with ``tau``, else the period of hard copies.

    Raises:
        ValueError: both rules are set.
    """
    if config.tau is not None:
        if config.target_update_every_updates is not None:
            raise ValueError(
                "learner.target_update_every_updates and learner.tau are both set; keep one: "
                "a hard copy every so many updates, or a soft update at each"
            )
        return 1
    return config.target_update_every_updates or DEFAULT_TARGET_UPDATE_EVERY


def expected_target_updates(updates: int, config: LearnerConfig) -> int:
    """Target updates there must have been after so many updates (the first copy, made when the
    learner is built, is not one)."""
    return updates // target_period(config)
