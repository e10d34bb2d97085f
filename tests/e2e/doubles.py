"""Learners that count what the real one does, or do one thing wrong. Entries for ``Fleet.run``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.learning.doubles import run_with
from tuitrain.schedules import asynchronous
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learners.learner import PolicyLearner
from tuitrain.workers.link import Link


class NeverPublishes(PolicyLearner):
    """Publishes its first weights, and no others."""

    def publish(self, steps: int) -> int:
        """As the real one's."""
        return self.store.version() if self.store.published() else super().publish(steps)


class PublishesMidUpdate(PolicyLearner):
    """What it publishes is half of one moment and half of the moment an update later."""

    _before: np.ndarray[Any, Any] | None = None

    def update(self, *args: Any) -> None:
        """As the real one's."""
        self._before = self._flat.read().copy()
        super().update(*args)

    def publish(self, steps: int) -> int:
        """As the real one's."""
        flat = self._flat.read().copy()
        if self._before is not None:
            half = len(flat) // 2
            flat[:half] = self._before[:half]
        return self.store.publish(flat, self.dqn.updates, steps)


def never_publishes(args: ChildArgs, link: Link) -> None:
    """A learner or trainer."""
    run_with(NeverPublishes, args, link)


def publishes_mid_update(args: ChildArgs, link: Link) -> None:
    """A learner or trainer."""
    run_with(PublishesMidUpdate, args, link)


def honest(args: ChildArgs, link: Link) -> None:
    """A learner or trainer: the harness itself changes nothing."""
    run_with(PolicyLearner, args, link)


def counts_wake_ups(args: ChildArgs, link: Link) -> None:
    """A learner in `async` that tells in a last record how often it woke, and how often it beat."""
    beat, finish = link._beat, link.finish
    beats = 0

    def counted_beat(*what: Any) -> None:
        nonlocal beats
        beats += 1
        beat(*what)

    def counted_finish(**result: Any) -> None:
        link.record({"kind": "wake-ups", "wakeups": link.wakeups, "beats": beats})
        finish(**result)

    link._beat = counted_beat
    link.finish = counted_finish
    asynchronous.run_learner(args, link)
