"""A run of one actor in shared memory, all of whose observations are different, in this process."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.parity.cases import config
from tuitrain.config.resolve import resolve
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers import stores
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.stores import Stores

CHUNK_STEPS, N_FRAMES = 5, 4

Run = tuple[Blueprint, Stores]


SEQUENCES: dict[str, Any] = {
    "n_frames": N_FRAMES,
    "env": {
        "id": "tests.envs:SequenceEnv",
        "kwargs": {"p_terminate": 0.1, "p_truncate": 0.1},
        "n_frames": N_FRAMES,
    },
}


@functools.cache
def _report() -> dict[str, Any]:
    """What the probe says of the default run, in which hundreds of actors die."""
    return probe(resolve(config("cartpole", "sequential", actors=1, **SEQUENCES), cores=2), None)


@contextmanager
def one_actor(folder: Path, **settings: Any) -> Iterator[Run]:
    """Its memory, with the first weights published; every such run goes the same way.

    Args:
        settings: of ``tests.parity.cases.config``; by default, one agent and stacks of 4.
    """
    case = resolve(config("cartpole", "sequential", actors=1, **(settings or SEQUENCES)), cores=2)
    assert case.actors.chunk_steps == CHUNK_STEPS
    known = not settings and not (folder / "checkpoints").exists()
    report = copy.deepcopy(_report()) if known else probe(case, folder)
    blueprint = Blueprint.from_probe(
        run_id=f"test-{os.getpid()}-{folder.parent.name[-15:]}-{folder.name[-15:]}",
        run_dir=str(folder),
        lock_path=str(folder / "lock"),
        config=case,
        report=report,
    )
    shared = stores.create(blueprint)
    try:
        Learner(blueprint, shared).publish(0)
        yield blueprint, shared
    finally:
        shared.close()
        stores.unlink_all(blueprint.run_id)


def die_after(chunks: int, run: Run, more: int) -> None:
    """An actor that dies with a chunk that nobody will see, and its successor's first ones.

    Args:
        chunks: committed before.
        more: committed by the successor.
    """
    blueprint, shared = run
    actor = build_actor(blueprint, shared, 0)
    for at, number in enumerate([*range(chunks + 1), *range(chunks, chunks + more)]):
        actor.pull()
        actor.begin(Ticket(0, (number,) * len(actor.parts)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        if at == chunks:
            actor.close()
            actor = build_actor(blueprint, shared, 0)
        else:
            actor.commit()
    actor.close()
