"""An actor and a learner in this process, to be called stretch by stretch; nobody else is there."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
