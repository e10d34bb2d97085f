"""What whoever looks on is told of each shard: measured by its two sides, else nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import Feeder, Memory, layout
from tuitrain.protocol import ShardView
from tuitrain.replay.buffer import PolicyReplay, PriorityRule
from tuitrain.replay.layout import TOLD
from tuitrain.replay.lock import LockFile, LockTimeout
from tuitrain.tui.widgets.shards import ring

CHUNK, SHORT_S = 4, 0.05


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[PolicyReplay]:
    """Two empty shards with real locks."""
    shape, file = layout(chunk_steps=CHUNK), LockFile.create(tmp_path / "lock")
    locks = [file.rwlock(shard, f"shard {shard}", SHORT_S) for shard in range(shape.n_actors)]
    made = PolicyReplay(shape, Memory(shape.nbytes), locks)
    made.initialise()
    yield made
    file.close()


def fill(replay: PolicyReplay, shard: int, chunks: int) -> Feeder:
    feeder = Feeder(replay.writer(shard), np.random.default_rng(shard))
    for _ in range(chunks):
        feeder.write_chunk(CHUNK)
    return feeder


def drawn(*shards: int) -> tuple[Any, Any]:
    """Draws from these shards, the n-th of them n transitions old."""
    return np.array(shards, np.int64), np.arange(len(shards), dtype=np.int64)


def test_nothing_is_known_that_nobody_has_told(replay: PolicyReplay) -> None:
    fill(replay, 0, 3)
    written, empty = replay.look()
    assert (written.pop("tail"), written.pop("head")) == (0, 3 * CHUNK)
    assert (empty.pop("tail"), empty.pop("head")) == (0, 0)
    for shard in (written, empty):
        assert (shard.pop("rows"), shard.pop("pinned")) == (replay.layout.ring_rows, 0)
        assert set(shard.values()) == {None}


def test_the_writer_tells_what_it_has_reserved(replay: PolicyReplay) -> None:
    writer = fill(replay, 0, 1).writer
    writer.tell()
    assert replay.look()[0]["reserved"] == 1, "the pending row"
    writer.begin(3)
    writer.tell()
    assert replay.look()[0]["reserved"] == 3 + 1
    assert replay.look()[1]["reserved"] is None


def test_the_reader_tells_its_window_shard_by_shard(replay: PolicyReplay) -> None:
    for shard, chunks in ((0, 20), (1, 3)):
        fill(replay, shard, chunks)
    reader = replay.reader(0, 0.9)
    window = reader.pin()
    reader.tell(*drawn())
    seen = replay.look()
    assert [s["low"] for s in seen] == window.low.tolist()
    assert [s["end"] for s in seen] == window.head.tolist()
    first, second = (s["sampleable"] for s in seen)
    assert first is not None
    assert second is not None
    assert 0 < second < first
    assert first + second == window.sampleable
    assert sum(s["rejects"] or 0 for s in seen) == reader.stats().rejects > 0
    assert all(s["rejects"] for s in seen)
    assert all(s["priority_mean"] is s["drawn_share"] is s["age_p50"] is None for s in seen)
    kept = replay.layout.ring_rows - (CHUNK + 1)  # the writer's next chunk need not wait
    assert [s["pinned"] for s in seen] == np.minimum(window.head, kept).tolist()
    reader.unpin()
    assert [s["pinned"] for s in replay.look()] == [0, 0]


def test_rows_that_leave_are_not_counted_as_rejected(replay: PolicyReplay) -> None:
    feeder = fill(replay, 0, 2)
    reader = replay.reader(0, 0.9)
    for _ in range(60):
        feeder.write_chunk(CHUNK)
        window = reader.pin()
        reader.unpin()
    reader.tell(*drawn())
    looked = (int(window.head[0]) - replay.layout.n_step) * replay.layout.lanes
    assert reader.stats().rejects < looked / 2
    assert replay.look()[0]["sampleable"] == window.sampleable


def test_priorities_are_each_shards_own(replay: PolicyReplay) -> None:
    fill(replay, 0, 5)
    fill(replay, 1, 5)
    reader = replay.reader(0, 0.9, PriorityRule(1.0, 1.0, 0.0))
    window = reader.pin()
    batch = reader.sample(window, 500, np.random.default_rng(0))
    in_second = reader.origin(batch).shard == 1
    reader.write_priorities(batch.cells, batch.rows, np.where(in_second, 7.0, 0.5))
    reader.tell(*drawn())
    first, second = replay.look()
    assert (first["priority_max"] or 9) <= 1.0 < (second["priority_max"] or 0) == 7.0
    assert (first["priority_mean"] or 9) < 1.0 < (second["priority_mean"] or 0)


def test_ages_are_of_the_shard_that_was_drawn_from(replay: PolicyReplay) -> None:
    reader = replay.reader(0, 0.9)
    shard = np.array([0] * 100 + [1])
    age = np.array([*np.random.default_rng(0).permutation(100), 5000])
    reader.tell(shard, age)
    first, second = replay.look()
    assert (first["age_p50"], first["age_p95"]) == (50, 94)
    assert (second["age_p50"], second["age_p95"]) == (5000, 5000)
    assert first["drawn_share"] == 100 / 101
    reader.tell(*drawn(0, 0))
    assert replay.look()[1]["age_p50"] is None, "nothing came from there of late"
    assert replay.look()[1]["drawn_share"] == 0


def test_only_waits_for_a_lock_are_counted(replay: PolicyReplay) -> None:
    feeder, reader = fill(replay, 0, 2), replay.reader(0, 0.9)
    reader.pin()
    reader.unpin()
    feeder.writer.tell()
    reader.tell(*drawn())
    seen = replay.look()[0]
    assert seen["lock_waits"] == seen["lock_waited_s"] == seen["lock_worst_s"] == 0
    with replay._locks[0].read(), pytest.raises(LockTimeout):
        feeder.write_chunk(CHUNK)
    feeder.writer.tell()
    seen = replay.look()[0]
    assert seen["lock_waits"] == 1
    assert (seen["lock_waited_s"] or 0) == (seen["lock_worst_s"] or 0) >= SHORT_S
    with replay._locks[0].write(), pytest.raises(LockTimeout):
        reader.pin()
    reader.tell(*drawn())
    both = replay.look()[0]
    assert both["lock_waits"] == 1 + 2, "writer and reader of this process share the lock object"
    assert replay.look()[1]["lock_waits"] == 0


def test_damaged_memory_is_nothing_known_and_no_error(replay: PolicyReplay) -> None:
    """The supervisor looks at every snapshot: whatever stands there, it must go on."""
    bad = [np.inf, -np.inf, np.nan, 1e308, -0.5, 5e-324]
    for i, name in enumerate(TOLD.names or ()):
        replay.columns.told[name] = bad[i % len(bad)]
    replay.columns.header[0, :3] = [2**63 - 1, -(2**63), 7]
    replay.columns.pins[:] = 2**62
    for shard in replay.look():
        ring(ShardView.model_validate(shard), 20)
