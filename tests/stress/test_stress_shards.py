"""Writers and readers at full speed: no torn row, no crossed stack, no row past the head."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stress import shard_worker
from tests.stress.rows import GAMMA, SHAPE, Feed, crossed, torn
from tests.stress.shard_worker import DEADLINE_S
from tuitrain.replay import segment
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL
from tuitrain.replay.lock import LockFile

pytestmark = pytest.mark.xdist_group("stress")

LONG_S = float(os.environ.get("TUITRAIN_STRESS_S", "600"))


class Field:
    """A replay in shared memory, and the processes that work on it."""

    def __init__(self, folder: Path) -> None:
        self.file = LockFile.create(folder / "locks")
        self.name = f"tuitrain-test-{uuid.uuid4().hex[:12]}"
        memory = segment.create(self.name, SHAPE.nbytes, SHAPE.layout_hash())
        locks = [self.file.rwlock(a, f"shard {a}", DEADLINE_S) for a in range(SHAPE.n_actors)]
        self.store = PolicyReplay(SHAPE, memory, locks)
        self.store.initialise()
        self.processes: list[subprocess.Popen[str]] = []
        self.successors = 0

    def start(self, role: str, *args: object) -> subprocess.Popen[str]:
        command = [sys.executable, shard_worker.__file__, role, self.file.path, self.name, *args]
        process = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(
        self,
        kind: str,
        *,
        windows: int,
        rows: int,
        seconds: float = 0.0,
        kill_every: int = 0,
        kills: int = 0,
    ) -> list[dict[str, Any]]:
        """What the readers say of writers of one kind, which are killed when the readers end.

        Args:
            kill_every: rows after which a writer is killed, wherever it is, and another one takes
                its place; 0 is never.
            kills: the readers go on until there were so many, unless they have found a fault.
        """
        writers = [self.start("write", shard, kind) for shard in range(SHAPE.n_actors)]
        readers = [
            self.start("read", index, windows, rows, seconds) for index in range(SHAPE.n_readers)
        ]
        deadline = time.monotonic() + DEADLINE_S + 2 * seconds
        ends = [kill_every] * len(writers)
        while kill_every and (reading := [r.stdout for r in readers if r.poll() is None]):
            assert time.monotonic() < deadline
            select.select(reading, [], [], 0.005)
            if self.successors >= kills:
                self.let_end(readers)
            for shard, writer in enumerate(writers):
                if self.head(shard) >= ends[shard]:
                    self.end(writer)
                    ends[shard] = self.head(shard) + kill_every
                    writers[shard] = self.start("write", shard, kind)
                    self.successors += 1
        self.let_end(readers)
        said = [reader.communicate(timeout=deadline - time.monotonic())[0] for reader in readers]
        assert [reader.returncode for reader in readers] == [0] * len(readers)
        for writer in writers:
            assert writer.poll() is None, "a writer has ended by itself"
            self.end(writer)
        return [json.loads(text) for text in said]

    def head(self, shard: int) -> int:
        return int(self.store.columns.header[shard, HEADER_HEAD])

    def let_end(self, readers: list[subprocess.Popen[str]]) -> None:
        for reader in readers:
            if reader.stdin:
                reader.stdin.close()
                reader.stdin = None

    def end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
        self.processes.remove(process)

    def close(self) -> None:
        for process in list(self.processes):
            self.end(process)
        self.file.close()
        segment.unlink(self.name)


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.close()


def no_fault(field: Field, *, windows: int, rows: int, **how: Any) -> None:
    for said in field.run("ShardWriter", windows=windows, rows=rows, **how):
        print(said)
        assert said["faults"] == []
        assert said["windows"] >= windows
        assert said["head"] >= rows
        assert said["sampled"] >= windows
    # killed wherever they were: what they leave is whole
    for shard in range(SHAPE.n_actors):
        tail, head = int(field.store.columns.header[shard, HEADER_TAIL]), field.head(shard)
        assert head - tail > SHAPE.ring_rows // 2
        assert torn(field.store.columns, shard, tail, head) == []


def test_full_speed(field: Field) -> None:
    """With writers that are killed wherever they are, and their successors."""
    t = SHAPE.ring_rows
    no_fault(field, windows=50, rows=6 * t, kill_every=2 * t, kills=4)


@pytest.mark.long
@pytest.mark.timeout(2 * LONG_S + 300)
def test_full_speed_for_long(field: Field) -> None:
    rows = 20 * SHAPE.ring_rows
    no_fault(field, windows=1000, rows=rows, seconds=LONG_S, kill_every=5 * rows)
    print(f"{field.successors} successors")


@pytest.mark.parametrize(
    "kind", ["TailStays", "HeadFirst", pytest.param("PassesPins", marks=pytest.mark.long)]
)
def test_a_writer_that_breaks_the_protocol_is_caught(field: Field, kind: str) -> None:
    said = field.run(kind, windows=10**9, rows=0)  # until a fault is found, both of them
    assert all(one["faults"] for one in said)


@pytest.mark.long
def test_a_successor_that_hides_the_cut_is_caught(field: Field) -> None:
    said = field.run("HidesTheCut", windows=10**9, rows=0, kill_every=2 * SHAPE.ring_rows)
    assert all(one["faults"] for one in said)


def test_a_stack_of_other_rows_is_caught(field: Field) -> None:
    """The check of batches sees what no row tells: frames that belong to another episode."""
    feeds = [Feed(field.store.writer(shard)) for shard in range(SHAPE.n_actors)]
    for feed in feeds:
        for _ in range(30):
            feed.write_chunk()

    def drawn() -> list[str]:
        reader = field.store.reader(0, GAMMA)
        window = reader.pin()
        batch = reader.sample(window, 500, np.random.default_rng(0))
        return crossed(batch, reader, window.head.tolist())

    assert drawn() == []
    field.store.columns.age[:] += 2
    assert drawn() == ["state"]  # the bootstrap rows all have as many rows before them
