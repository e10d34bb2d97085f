"""An actor and a learner in this process, to be called stretch by stretch; nobody else is there."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.supervised import CARTPOLE
from tuitrain.config.load import load_config
from tuitrain.config.resolve import resolve
from tuitrain.replay.limiter import Ticket
from tuitrain.workers import stores
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner

EXPLORING, EXPLORED = 0, 10**9
"""Steps of a run by which all actions are drawn at random, and as few as ever."""

PICTURES = [
    "env.id=benchmarks.pictures:Noise",
    "env.n_frames=4",
    "learner.network=nature",
    "learner.network_kwargs={}",
    "learner.n_step=1",
    "learner.batch_size=32",
    "replay.capacity=4000",
    "replay.learning_starts=1000",
]
"""84×84, four frames."""


class Stopwatch:
    """A clock that runs in stretches, and processor time in them."""

    def __init__(self) -> None:
        self._before_s = self._since = 0.0
        self._running = False
        self.cpu_s = 0.0

    def now(self) -> float:
        """Seconds in which it has run."""
        return self._before_s + (time.perf_counter() - self._since if self._running else 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """It runs inside."""
        self._since, cpu, self._running = time.perf_counter(), time.thread_time(), True
        try:
            yield
        finally:
            self._before_s, self._running = self.now(), False
            self.cpu_s += time.thread_time() - cpu


class Account:
    """A clock around some methods of some objects, as long as it is kept; their calls of each other
    count once.

    Args:
        of: an object and the names of its methods. None is nobody.
    """

    def __init__(self, *of: tuple[object | None, Sequence[str]]) -> None:
        self._of = [(one, name) for one, names in of if one is not None for name in names]
        self._deep = False
        self.s = 0.0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """It runs inside."""
        for one, name in self._of:
            setattr(one, name, self._timed(getattr(one, name)))
        try:
            yield
        finally:
            for one, name in self._of:
                delattr(one, name)  # the class's own is seen again

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._deep:
                return method(*args, **kwargs)
            self._deep, began = True, time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.s += time.perf_counter() - began
                self._deep = False

        return timed


@contextmanager
def world(overrides: Sequence[str]) -> Iterator[tuple[Blueprint, stores.Stores]]:
    """The memory of a CartPole run of one actor, or of another one by these settings."""
    config = resolve(load_config(CARTPOLE, ["actors.count=1", *overrides]), cores=4)
    with tempfile.TemporaryDirectory() as folder:
        blueprint = Blueprint.from_probe(
            run_id=f"bench-inside-{os.getpid()}",
            run_dir=folder,
            lock_path=str(Path(folder) / "lock"),
            config=config,
            report=probe(config, Path(folder)),
        )
        shared = stores.create(blueprint)
        try:
            yield blueprint, shared
        finally:
            shared.close()
            stores.unlink_all(blueprint.run_id)


def chunk(actor: Actor, rows: int, steps: int = EXPLORED) -> None:
    """One chunk of an actor, when the run has made so many steps."""
    actor.begin(Ticket(steps, (0,) * len(actor.parts)), rows)
    actor.rollout(rows, lambda: None)
    actor.commit()


def fill(actor: Actor, learner: Learner, rows: int) -> None:
    """Act until there is enough to learn from."""
    starts = learner.blueprint.config.replay.learning_starts
    for policy in learner.policies.values():
        while not policy.reader.pin().sampleable > starts:
            policy.reader.unpin()
            chunk(actor, rows, EXPLORING)
        policy.reader.unpin()
