"""What the live audit costs: the same actor and learner with it and without, in one process.

Stretches with and without an audit come in turn, in random order, on the same objects; the quotient
is of processor time, so neighbours do not count. The audit's own clock runs only in its stretches:
else it would spend in them what it has saved in the others. Rows that the learner takes up are
written with the clock stopped.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.pairs import PAIRS, interleave, ratio
from benchmarks.supervised import CARTPOLE
from tuitrain.config.load import load_config
from tuitrain.config.resolve import resolve
from tuitrain.replay.auditor import Auditor
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers import stores
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.row_audit import RowAudit
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner

FINER = 20
"""So many times the rounds of other subjects: the quotients are almost 1."""
STRETCH_S = 0.05
CHUNKS_A_DRAW = 3
"""Written before every draw, untimed, as by three actors."""

CASES: dict[str, list[str]] = {
    "CartPole": [],
    "84×84, 4 frames": [
        "env.id=benchmarks.audit:Noise",
        "env.n_frames=4",
        "learner.network=nature",
        "learner.network_kwargs={}",
        "learner.n_step=1",
        "learner.batch_size=32",
        "replay.capacity=4000",
        "replay.learning_starts=1000",
    ],
}


class Noise(gymnasium.Env[Any, Any]):
    """Pictures of noise at next to no cost."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(6)

    def __init__(self) -> None:
        self._pictures = np.random.default_rng(0).integers(0, 256, (64, 84, 84), np.uint8)
        self._count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """See gymnasium."""
        super().reset(seed=seed)
        return self._pictures[self._count % 64], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See gymnasium."""
        self._count += 1
        return self._pictures[self._count % 64], 0.0, self._count % 200 == 0, False, {}


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


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for name, overrides in CASES.items():
        with _world(overrides) as (blueprint, shared):
            learner = Learner(blueprint, shared)
            learner.publish(0)
            actor = build_actor(blueprint, shared, 0)
            try:
                figures |= _actor(name, blueprint, actor, pairs * FINER)
                figures |= _learner(name, blueprint, actor, learner, pairs * FINER)
            finally:
                actor.close()
    return figures


@contextmanager
def _world(overrides: list[str]) -> Iterator[tuple[Blueprint, stores.Stores]]:
    """A run's memory in this process, without processes."""
    config = resolve(load_config(CARTPOLE, ["actors.count=1", *overrides]), cores=4)
    with tempfile.TemporaryDirectory() as folder:
        blueprint = Blueprint.from_probe(
            run_id=f"bench-audit-{os.getpid()}",
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


def _chunk(actor: Actor, rows: int) -> None:
    actor.begin(Ticket(10**9, (0,) * len(actor.parts)), rows)
    actor.rollout(rows, lambda: None)
    actor.commit()


def _actor(name: str, blueprint: Blueprint, actor: Actor, rounds: int) -> dict[str, Any]:
    rows, frames = blueprint.config.actors.chunk_steps, blueprint.spec.n_frames
    actor.pull()
    watches = {"audited": Stopwatch(), "plain": Stopwatch()}
    shares = {"audited": blueprint.audit_share(1), "plain": 0.0}
    audits = {
        arm: RowAudit(actor.parts, frames, False, shares[arm], watches[arm].now) for arm in watches
    }
    _chunk(actor, rows)
    start = time.perf_counter()
    _chunk(actor, rows)
    chunks = max(1, round(STRETCH_S / (time.perf_counter() - start)))

    def stretch(arm: str) -> Callable[[], float]:
        def run() -> float:
            actor._audit = audits[arm]
            before = watches[arm].cpu_s
            with watches[arm].running():
                for _ in range(chunks):
                    _chunk(actor, rows)
            return watches[arm].cpu_s - before

        return run

    found = interleave({arm: stretch(arm) for arm in watches}, rounds)
    actor._audit = RowAudit(actor.parts, frames, False, 1.0)  # from now on, of every chunk
    budget = audits["audited"]
    return {
        f"actor, {name}: audited / plain": ratio(found["audited"], found["plain"]),
        f"actor, {name}": {
            "share of time": budget.share(),
            "chunks with an audited row": budget.count / (chunks * rounds),
        },
    }


def _learner(
    name: str, blueprint: Blueprint, actor: Actor, learner: Learner, rounds: int
) -> dict[str, Any]:
    rows = blueprint.config.actors.chunk_steps
    (policy,) = learner.policies.values()
    watches = {"audited": Stopwatch(), "plain": Stopwatch()}
    auditor = Auditor(
        policy.reader._layout, policy.reader._columns, policy.reader._index,
        blueprint.audit_share(1), watches["audited"].now,
    )  # fmt: skip
    arms: dict[str, Auditor | None] = {"audited": auditor, "plain": None}
    while not policy.reader.pin().sampleable > blueprint.config.replay.learning_starts:
        policy.reader.unpin()
        _chunk(actor, rows)
    policy.reader.unpin()

    def draw_and_update(watch: Stopwatch) -> int:
        """All updates whose batches are drawn together."""
        for _ in range(CHUNKS_A_DRAW):
            _chunk(actor, rows)
        made = 0
        with watch.running():
            while not made or not policy.must_draw:
                learner.step(policy.name, sure=32)
                made += 1
        return made

    def stretch(arm: str) -> Callable[[], float]:
        def run() -> float:
            policy.auditor = policy.reader.auditor = arms[arm]
            watch = watches[arm]
            before, began, made = watch.cpu_s, watch.now(), 0
            while watch.now() - began < STRETCH_S:
                made += draw_and_update(watch)
            return (watch.cpu_s - before) / made

        return run

    found = interleave({arm: stretch(arm) for arm in arms}, rounds)
    counts = auditor.counts
    return {
        f"learner, {name}: audited / plain": ratio(found["audited"], found["plain"]),
        f"learner, {name}": {
            "share of time": auditor.record()["audit_share"],
            "draws looked at per s": f"{counts.audited / watches['audited'].now():.0f}",
            "wrong": str(sum(vars(counts).values()) - counts.audited),
        },
    }
