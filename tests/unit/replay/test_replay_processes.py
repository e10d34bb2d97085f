"""Replay and limiter with real writers in other processes, some of which are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.unit.replay.helpers import layout
from tests.unit.replay.replay_worker import HASH
from tests.unit.replay.test_replay_sampling import GAMMA, crossings
from tuitrain.replay import segment
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import HEADER_HEAD
from tuitrain.replay.limiter import Limiter, LimiterRule
from tuitrain.replay.lock import LockFile

WORKER = Path(__file__).with_name("replay_worker.py")
SHAPE = layout()


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


def store_at(place: Place) -> PolicyReplay:
    memory = segment.create(place.name, SHAPE.nbytes, SHAPE.layout_hash())
    locks = [place.file.rwlock(a, f"shard {a}", 60.0) for a in range(SHAPE.n_actors)]
    store = PolicyReplay(SHAPE, memory, locks)
    store.initialise()
    return store


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def heads(store: PolicyReplay) -> list[int]:
    return [int(head) for head in store.columns.header[:, HEADER_HEAD]]


def test_no_row_is_torn_while_writers_run_at_full_speed(place: Place) -> None:
    store = store_at(place)
    for shard in range(SHAPE.n_actors):
        place.start("write", shard, "honour")
    until(lambda: min(heads(store)) > SHAPE.ring_rows)
    reader, rng = store.reader(0, GAMMA), np.random.default_rng(0)
    began = heads(store)
    pins = 0
    while pins < 300 or min(heads(store)) < min(began) + 20 * SHAPE.ring_rows:
        window = reader.pin()
        for _ in range(3):
            assert crossings(reader, reader.sample(window, 64, rng), 2) == 0
        reader.unpin()
        pins += 1


def test_a_writer_that_passes_pins_is_caught(place: Place) -> None:
    store = store_at(place)
    place.start("write", 0, "ignore")
    until(lambda: heads(store)[0] > SHAPE.ring_rows)
    reader, rng = store.reader(0, GAMMA), np.random.default_rng(0)
    window = reader.pin()
    until(lambda: heads(store)[0] > window.head[0] + 2 * SHAPE.ring_rows)
    assert crossings(reader, reader.sample(window, 64, rng), 2) > 0


def test_a_pinned_window_outlasts_writers_that_are_killed(place: Place) -> None:
    """Killed at whatever store they are at, many times: only whole rows can be read."""
    store = store_at(place)
    rng = np.random.default_rng(0)
    for attempt in range(10):
        store.initialise()
        reader = store.reader(0, GAMMA)
        writers = [place.start("write", shard, "honour") for shard in range(SHAPE.n_actors)]
        goal = SHAPE.ring_rows + int(rng.integers(1, 4 * SHAPE.ring_rows))
        until(lambda goal=goal: min(heads(store)) > goal)  # type: ignore[misc]
        if attempt % 2:
            window = reader.pin()
        for writer in writers:
            writer.kill()
            writer.wait()
        if not attempt % 2:
            window = reader.pin()
        for _ in range(10):
            assert crossings(reader, reader.sample(window, 64, rng), 2) == 0
        reader.unpin()
        assert len(store.column_digest()) == 64


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
