"""Learners that count what the real one does, or do one thing wrong. Entries for ``Fleet.run``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuitrain.schedules import asynchronous, lockstep, sequential
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learners import learner as learner_module
from tuitrain.workers.learners.learner import Learner, PolicyLearner
from tuitrain.workers.link import Link
from tuitrain.workers.stores import attach


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


def _run(kind: type[PolicyLearner], args: ChildArgs, link: Link) -> None:
    blueprint = args.blueprint
    assert blueprint is not None
    honest = learner_module.PolicyLearner
    learner_module.PolicyLearner = kind  # type: ignore[misc]  # put back: this process lives on
    try:
        if args.role == "trainer":
            sequential.run(args, link)
        stores = attach(blueprint)
        learner = Learner(blueprint, stores)
        if blueprint.config.run.schedule == "lockstep":
            lockstep.conduct(blueprint, stores, learner, link)
        else:
            asynchronous.learn(blueprint, stores, learner, link)
    finally:
        learner_module.PolicyLearner = honest  # type: ignore[misc]


def never_publishes(args: ChildArgs, link: Link) -> None:
    """A learner or trainer."""
    _run(NeverPublishes, args, link)


def publishes_mid_update(args: ChildArgs, link: Link) -> None:
    """A learner or trainer."""
    _run(PublishesMidUpdate, args, link)


def honest(args: ChildArgs, link: Link) -> None:
    """A learner or trainer: the harness itself changes nothing."""
    _run(PolicyLearner, args, link)


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

    link._beat = counted_beat  # type: ignore[method-assign]
    link.finish = counted_finish  # type: ignore[method-assign,assignment]
    asynchronous.run_learner(args, link)
