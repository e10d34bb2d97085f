"""What a worker is built from, and how a test double takes a part's place.

A contributor who wants to see what a run says when something in it is wrong writes a subclass that
overrides public methods, and a function that puts it in place::

    # frozen.py
    from tuitrain.workers.learners.policy_learner import PolicyLearner

    class Frozen(PolicyLearner):
        def publish(self, steps):
            return self.store.version() if self.store.published() else super().publish(steps)

    def double(parts):
        parts.replace(PolicyLearner, Frozen)

``TUITRAIN_TEST_DOUBLE=frozen.py:double tuitrain launch CONFIG`` then runs it: the function is
called in every worker before it builds anything, and the run warns that it has a double. Without
the variable nothing here does anything. Builders ask ``the`` which class they are to make. Imports
nothing of what it names, so that every room can import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tuitrain.loading import load_object

VARIABLE = "TUITRAIN_TEST_DOUBLE"
"""`file.py:function` or `package.module:function`, in the environment of whoever starts a run."""

PARTS: dict[str, str] = {
    "tuitrain.envs.make:make_lanes": "builds the environments of actors and evaluator",
    "tuitrain.workers.acting.actor:Actor": "steps environments",
    "tuitrain.workers.acting.policy_lanes:PolicyLanes": "one policy's part of an actor",
    "tuitrain.workers.acting.ahead_lanes:AheadLanes": "the same, of games that go move by move",
    "tuitrain.learning.policy:Policy": "a network that acts, of actors and evaluator",
    "tuitrain.replay.shard:ShardWriter": "writes an actor's rows",
    "tuitrain.replay.reader:ReplayReader": "draws transitions",
    "tuitrain.replay.limiter:Limiter": "says who may go on",
    "tuitrain.workers.learners.learner:Learner": "the learner of a process's policies",
    "tuitrain.workers.learners.policy_learner:PolicyLearner": "one policy's part of a learner",
    "tuitrain.learning.dqn:DQN": "the update, and the target network's",
    "tuitrain.learning.weights:WeightStore": "publishes weights and takes them",
    "tuitrain.workers.evaluating.evaluator:Evaluator": "plays without exploration",
}
"""Every part that can be replaced, as ``module:name``, and what it does."""

T = TypeVar("T")


class CannotReplace(TypeError):
    """A double that would not be the part it is put in place of; the text says why."""


class Parts:
    """The doubles of this process, by the part each of them stands in for."""

    def __init__(self) -> None:
        self._doubles: dict[Any, Any] = {}

    def replace(self, part: T, double: T) -> None:
        """Let `double` be made, or called, wherever `part` would be.

        Args:
            part: one of ``PARTS``.
            double: a subclass that overrides public methods; for a function, another one.

        Raises:
            CannotReplace: it is none, or overrides what is private.
        """
        name = _name(part)
        if name not in PARTS:
            raise CannotReplace(f"{name} is no part of a worker: these are: {', '.join(PARTS)}")
        if isinstance(part, type):
            if not (isinstance(double, type) and issubclass(double, part)):
                raise CannotReplace(f"the double of {name} must be a subclass of it")
            mine = {key for one in double.__mro__ if one not in part.__mro__ for key in vars(one)}
            private = sorted(k for k in mine if k[0] == "_" != k[1:2] and hasattr(part, k))
            if private:
                raise CannotReplace(
                    f"{_name(double)} overrides {', '.join(private)} of {name}, which may change "
                    "at any time: override public methods"
                )
        self._doubles[part] = double

    def get(self, part: T) -> T:
        """The double of `part`, or `part`."""
        double: T = self._doubles.get(part, part)
        return double

    @contextmanager
    def restored(self) -> Iterator[Parts]:
        """What is replaced inside is as before afterwards."""
        before = dict(self._doubles)
        try:
            yield self
        finally:
            self._doubles = before


PROCESS = Parts()
"""This process's."""


def the(part: T) -> T:
    """What is to be made, or called, where `part` is meant: itself, unless a double is in place."""
    return PROCESS.get(part)


def wanted() -> str:
    """The reference in ``VARIABLE``; empty if no double is wanted."""
    return os.environ.get(VARIABLE, "")


def put_in_place() -> None:
    """Call the function that ``VARIABLE`` names, if it names one.

    Raises:
        LoadError: it cannot be found.
        CannotReplace: see ``Parts.replace``.
    """
    if reference := wanted():
        load_object(reference)(PROCESS)


def _name(part: Any) -> str:
    return f"{part.__module__}:{part.__qualname__}"
