"""Where a policy is in what the run has planned for it, whatever its replay ratio was on the way.

The unit that does not depend on the ratio is the transition: an update is worth as many of them as
the ratio of its time says. Counts alone decide, those since the last change of the ratio and what
had passed before; so whoever goes on from the same counts is at the same place.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from tuitrain.config.resolve import planned_updates
from tuitrain.config.schema import Config
from tuitrain.learning.lr import Course
from tuitrain.workers.blueprint import Base


class Pace(NamedTuple):
    """The replay ratio of a policy, and since when it holds.

    Attributes:
        ratio: updates per transition.
        updates: of the policy, asked for until it began to hold.
        passed: transitions after the warm-up that they were worth.
    """

    ratio: Fraction
    updates: int
    passed: Fraction

    @classmethod
    def of(cls, config: Config, base: Base, policy: str, rule: tuple[Fraction, int, int]) -> Pace:
        """From the counts of a session and those before it.

        Args:
            rule: of ``Limiter.ratios``, whose counts are of the present replay.
        """
        ratio, inserts, updates = rule
        passed, before = base.replay_began(policy)
        since_warm = inserts - config.replay.learning_starts
        return cls(ratio, before + updates, passed + since_warm)

    def passed_at(self, updates: int) -> Fraction:
        """Transitions after the warm-up that so many updates of the policy are worth."""
        return self.passed + max(0, updates - self.updates) / self.ratio

    def course(self, config: Config, agents: int) -> Course:
        """What schedules over all planned updates go by.

        Args:
            agents: see ``planned_updates``.
        """
        length = planned_updates(config, agents, self.ratio)
        return Course(length, self.updates, float(self.passed * self.ratio))
