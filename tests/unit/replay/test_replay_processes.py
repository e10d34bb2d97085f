"""The limiter's counts between real processes. For shards see `tests/stress`."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.unit.replay.replay_worker import HASH
from tuitrain.replay import segment
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.replay.lock import LockFile

WORKER = Path(__file__).with_name("replay_worker.py")


@dataclass
class Place:
    """A lock file, a segment name and the processes started on them."""

    file: LockFile
    name: str
    processes: list[subprocess.Popen[str]]

    def start(self, *args: object) -> subprocess.Popen[str]:
        command = [sys.executable, WORKER, args[0], self.file.path, self.name, *args[1:]]
        process = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(LockFile.create(tmp_path / "locks"), f"tuitrain-test-{uuid.uuid4().hex[:12]}", [])
    yield made
    for process in made.processes:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
    made.file.close()
    segment.unlink(made.name)


def test_no_count_is_lost_between_processes(place: Place) -> None:
    actors, total = 3, 12_000
    shape = Limiter.table_shape(1, actors)
    memory = segment.create(place.name, int(np.prod(shape)) * 8, HASH)
    rule = LimiterRule(Fraction(1, 2), 50, Fraction(20), 4 * actors)
    shared = Limiter(
        np.frombuffer(memory.buf, np.int64).reshape(shape),
        [rule],
        place.file.rwlock(0, "limiter", 60.0),
        total,
        actors,
    )
    workers = [place.start("reserve", actor, total, actors) for actor in range(actors)]
    while not shared.ended() or shared.updates_due(0):
        due = shared.updates_due(0)
        shared.add_updates(0, due)
        totals = shared.totals()
        lead = (totals.inserts[0] - 50) / 2 - totals.updates[0]
        assert lead <= 20
        assert totals.updates[0] == 0 or lead >= -1  # the first update is due at once
        if not due:
            os.sched_yield()
    steps = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    totals = shared.totals()
    assert sum(steps) == totals.steps >= total
    assert totals.inserts == (totals.steps * 3 // 4,)
    assert totals.updates == ((totals.inserts[0] - 50) // 2 + 1,)
