"""Trainers with the learning taken out, one part each. A learning test must fail with them.

Entry functions for ``Fleet.run(entries=...)``, for every schedule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tuitrain.parts import PROCESS
from tuitrain.schedules import asynchronous, lockstep, sequential
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learners.policy_learner import PolicyLearner
from tuitrain.workers.link import Link


class LearnerOff(PolicyLearner):
    """Samples and counts updates, but never changes a weight."""

    def update(self, phases: Any = None) -> None:
        before = {k: v.clone() for k, v in self.dqn.online.state_dict().items()}
        super().update(phases)
        self.dqn.online.load_state_dict(before)


class PublishingFrozen(PolicyLearner):
    """Publishes the weights of its first publication for ever."""

    def publish(self, steps: int) -> int:
        if not hasattr(self, "_frozen"):
            version = super().publish(steps)
            self._frozen = self.store.newest().copy()
            return version
        return self.store.publish(self._frozen, self.dqn.updates, steps)


class RewardsShuffled(PolicyLearner):
    """Learns from returns that belong to other transitions of the batch."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        honest = self.reader.sample
        shuffle = np.random.default_rng(0)

        def sample(*args: Any, **kwargs: Any) -> Any:
            batch = honest(*args, **kwargs)
            order = shuffle.permutation(len(batch.returns))
            batch.returns[:] = batch.returns[order]
            batch.discount[:] = batch.discount[order]
            return batch

        self.reader.sample = sample


def run_with(kind: type[PolicyLearner], args: ChildArgs, link: Link) -> None:
    """A learner or trainer of the run's schedule that learns every policy with this class."""
    with PROCESS.restored() as parts:
        parts.replace(PolicyLearner, kind)
        if args.role == "trainer":
            sequential.run(args, link)
        elif args.config.run.schedule == "lockstep":
            lockstep.run_learner(args, link)
        else:
            asynchronous.run_learner(args, link)


def learner_off(args: ChildArgs, link: Link) -> None:
    run_with(LearnerOff, args, link)


def publishing_frozen(args: ChildArgs, link: Link) -> None:
    run_with(PublishingFrozen, args, link)


def rewards_shuffled(args: ChildArgs, link: Link) -> None:
    run_with(RewardsShuffled, args, link)
