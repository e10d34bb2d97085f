"""A double for ``TUITRAIN_TEST_DOUBLE``: workers that measure nothing for checks.

The audit is no part of it: `checks.audit_share=0` ends that.
"""

from __future__ import annotations

from typing import Any

from tuitrain.learning.dqn import DQN
from tuitrain.parts import Parts
from tuitrain.workers.acting.ahead_lanes import AheadLanes
from tuitrain.workers.acting.policy_lanes import PolicyLanes
from tuitrain.workers.learners.policy_learner import PolicyLearner


class PlainLanes(PolicyLanes):
    """Nothing is measured of rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.figures = None


class PlainAheadLanes(AheadLanes):
    """The same, of games that go move by move."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.figures = None


class PlainLearner(PolicyLearner):
    """Nothing is measured of draws."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.figures = None


class PlainDQN(DQN):
    """Nobody looks at gradients."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.flow = None


def double(parts: Parts) -> None:
    """Put all of them in place."""
    parts.replace(PolicyLanes, PlainLanes)
    parts.replace(AheadLanes, PlainAheadLanes)
    parts.replace(PolicyLearner, PlainLearner)
    parts.replace(DQN, PlainDQN)
