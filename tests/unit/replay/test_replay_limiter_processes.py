"""The limiter between real actors that are killed again and again."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.replay_worker import HASH
from tuitrain.replay import segment
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.replay.lock import LockFile

ROOT = Path(__file__).parents[3]
WORKER = Path(__file__).with_name("replay_worker.py")
ACTORS = 3
STEPS, INSERTS = 4, 3  # of a chunk of the worker's
RULE = LimiterRule(Fraction(1, 2), 50, Fraction(20), STEPS * ACTORS)  # the worker's


class Place:
    """A limiter, and actors that reserve and commit as fast as they may."""

    def __init__(self, folder: Path, total_steps: int) -> None:
        self.total = total_steps
        self.name = f"tuitrain-test-{uuid.uuid4().hex[:12]}"
        self.file = LockFile.create(folder / "locks")
        shape = Limiter.table_shape(1, ACTORS)
        self.memory = segment.create(self.name, int(np.prod(shape)) * 8, HASH)
        table = np.frombuffer(self.memory.buf, np.int64).reshape(shape)
        lock = self.file.rwlock(0, "limiter", 60.0)
        self.shared = Limiter(table, [RULE], lock, total_steps, ACTORS)
        self.actors: dict[int, subprocess.Popen[str]] = {}

    def start(self, actor: int) -> None:
        command = [sys.executable, WORKER, "reserve", self.file.path, self.name]
        command += [actor, self.total, ACTORS]
        self.actors[actor] = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill(self, actor: int) -> None:
        self.actors[actor].kill()
        self.actors[actor].communicate()

    def close(self) -> None:
        for actor in self.actors:
            self.kill(actor)
        self.file.close()
        segment.unlink(self.name)
        self.memory.close()


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[Any]:
    places: list[Place] = []

    def make(total_steps: int) -> Place:
        places.append(Place(tmp_path, total_steps))
        return places[-1]

    yield make
    for place in places:
        place.close()


@pytest.mark.parametrize("kills", [4, pytest.param(150, marks=pytest.mark.long)])
def test_the_ratio_is_kept_though_actors_are_killed(make_place: Any, kills: int) -> None:
    """Anywhere in what they do; the supervisor returns what they held and starts successors."""
    per_kill = 600
    place = make_place(per_kill * (kills + 2))
    shared, rng = place.shared, np.random.default_rng(kills)
    for actor in range(ACTORS):
        place.start(actor)
    deaths, goal = 0, per_kill
    while not shared.ended() or shared.updates_due(0):
        due = shared.updates_due(0)
        shared.add_updates(0, due)
        totals = shared.totals()
        lead = (totals.inserts[0] - RULE.learning_starts) / 2 - totals.updates[0]
        assert lead <= RULE.max_lead_updates
        assert totals.updates[0] == 0 or lead >= -1
        assert totals.inserts[0] == totals.steps // STEPS * INSERTS
        assert totals.reserved_steps <= STEPS * ACTORS
        if deaths < kills and totals.steps >= goal:
            deaths, goal = deaths + 1, goal + per_kill
            actor = int(rng.integers(ACTORS))
            place.kill(actor)
            shared.cancel(actor)
            place.start(actor)
        if not due:
            os.sched_yield()
    assert deaths == kills
    totals = shared.totals()
    assert totals.reserved_steps == 0
    assert totals.steps >= place.total
    assert totals.updates == ((totals.inserts[0] - RULE.learning_starts) // 2 + 1,)
