"""What is sampled: tagged observations show where every frame came from."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import TAGS, Feeder, layout, replay
from tests.unit.replay.tagged import GAMMA, crossings, filled
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay import index as index_module
from tuitrain.replay import window as window_module
from tuitrain.replay.buffer import NothingToSample, PolicyReplay

SHAPES = [
    pytest.param({"spec": PolicySpec((4,), "float32", 5, ("x",))}, id="vector"),
    pytest.param({"spec": PolicySpec((5, 6), "uint8", 5, ("x",))}, id="image"),
    pytest.param({"spec": PolicySpec((4, 2, 2), "uint8", 5, ("x", "y"))}, id="two-agents"),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n_frames", "n_step"), [(1, 1), (3, 2), (4, 5)])
@pytest.mark.parametrize("chunks", [3, 9, 40])
def test_no_sample_crosses_episodes_shards_lanes_cuts_or_the_wrap(
    shape: dict[str, Any], n_frames: int, n_step: int, chunks: int
) -> None:
    store, feeders = filled(
        layout(n_frames=n_frames, n_step=n_step, **shape), chunks, seed=chunks, cuts=True
    )
    assert chunks < 40 or all(feed.writer.tail > 0 for feed in feeders)
    reader = store.reader(0, GAMMA)
    window, rng = reader.pin(), np.random.default_rng(1)
    for slot in range(10):
        assert crossings(reader, reader.sample(window, 64, rng, slot=slot % 2), n_step) == 0


@pytest.mark.parametrize("mutant", ["stack", "boundary", "cut", "wrap"])
def test_the_tags_catch_mutants(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_rows = window_module.stack_rows
    if mutant == "stack":
        monkeypatch.setattr(
            index_module, "stack_rows", lambda r, a, n: stack_rows(r, np.full_like(a, 9), n)
        )
    elif mutant == "wrap":
        true = window_module.cells

        def cells(ring: Any, shard: Any, rows: Any, lanes: Any) -> Any:
            return true(ring, shard, rows + (rows % 7 == 0), lanes)

        monkeypatch.setattr(window_module, "cells", cells)
        monkeypatch.setattr(index_module, "cells", cells)
    else:
        monkeypatch.setattr(window_module, mutant.upper(), 0)
    store, _ = filled(layout(), 40, cuts=True)
    reader = store.reader(0, GAMMA)
    window, rng = reader.pin(), np.random.default_rng(1)
    assert sum(crossings(reader, reader.sample(window, 64, rng), 2) for _ in range(10)) > 0


def valid_cells(store: PolicyReplay) -> set[tuple[int, int, int]]:
    """By brute force through the exhaustively tested window function."""
    reader = store.reader(0, GAMMA)
    window = reader.pin()
    out = set()
    columns, shape = store.columns, store.layout
    ring = window_module.Ring(shape.ring_rows, shape.lanes, shape.n_actors)
    one = np.ones(1, np.int64)
    for shard in range(shape.n_actors):
        readable = max(0, int(window.low[shard]) - (shape.n_frames - 1))
        # a row is looked at once n_step rows after it are committed
        for row in range(window.low[shard], window.head[shard] - shape.n_step):
            for lane in range(shape.lanes):
                found = window_module.n_step(
                    columns, ring, one * shard, one * row, one * lane, shape.n_step, GAMMA,
                    one * readable, one * window.head[shard], n_frames=shape.n_frames,
                )  # fmt: skip
                if found.valid[0]:
                    out.add((shard, row, lane))
    return out


def drawn(store: PolicyReplay, batches: int, size: int) -> Counter[Any]:
    reader = store.reader(0, GAMMA)
    window, rng = reader.pin(), np.random.default_rng(2)
    assert window.sampleable == reader.sampleable
    count: Counter[Any] = Counter()
    for _ in range(batches):
        batch = reader.sample(window, size, rng)
        origin = reader.origin(batch)
        count.update(
            zip(origin.shard.tolist(), batch.rows.tolist(), origin.lane.tolist(), strict=True)
        )
    return count


@pytest.mark.parametrize("actors", [1, 2])
@pytest.mark.parametrize("at_once", [1 << 15, 3])
def test_draws_are_uniform_over_the_valid_transitions(
    actors: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all rows are looked at together or a few at a time."""
    monkeypatch.setattr(index_module, "_AT_ONCE_CELLS", at_once)
    shape = layout(
        n_actors=actors, capacity=8, chunk_steps=2, learning_starts=0, max_lead_inserts=1
    )
    store, feeders = filled(shape, 9)
    feeders[0].write_chunk(2)  # shards of different length
    valid = valid_cells(store)
    count = drawn(store, 200, 100)
    assert set(count) == valid
    expected = 20_000 / len(valid)
    chi2 = sum((count[cell] - expected) ** 2 / expected for cell in valid)
    degrees = len(valid) - 1
    assert chi2 < degrees + 4 * (2 * degrees) ** 0.5


@pytest.mark.parametrize("n_frames", [1, 3])
@pytest.mark.parametrize("n_step", [1, 3])
def test_an_index_that_follows_is_one_that_is_made_anew(n_frames: int, n_step: int) -> None:
    """Rows that enter and leave chunk by chunk leave what a new reader finds at once."""
    shape = layout(n_frames=n_frames, n_step=n_step, capacity=20, n_readers=2)
    store, feeders = filled(shape, 0)
    follower, rng = store.reader(1, GAMMA), np.random.default_rng(4)
    for step in range(60):
        for feed in feeders:
            if rng.random() < 0.7:
                feed.write_chunk(int(rng.integers(1, shape.chunk_steps + 1)))
        oldest = max(0, max(feed.inserts for feed in feeders) - 15)
        window = follower.pin(oldest)
        fresh = store.reader(0, GAMMA)
        assert fresh.pin(oldest).sampleable == window.sampleable
        if window.sampleable:
            mine = follower.sample(window, 64, np.random.default_rng(step))
            theirs = fresh.sample(fresh.pin(oldest), 64, np.random.default_rng(step))
            for name in ("state", "next_state", "action", "returns", "discount", "cells", "rows"):
                assert (getattr(mine, name) == getattr(theirs, name)).all(), name
            assert crossings(follower, mine, n_step) == 0
        follower.unpin()
        fresh.unpin()
    assert all(feed.writer.tail > 0 for feed in feeders)


def test_overlapping_frames_are_those_of_separate_stacks() -> None:
    """With one-step returns state and next state share memory, and both are right."""
    store, _ = filled(layout(n_frames=4, n_step=1), 40, cuts=True)
    reader = store.reader(0, GAMMA)
    batch = reader.sample(reader.pin(), 200, np.random.default_rng(0))
    assert np.shares_memory(batch.state, batch.next_state)
    assert batch.state.base is not None
    assert batch.state.base.shape == (200, 5, TAGS)
    origin = reader.origin(batch)
    ring = window_module.Ring(store.layout.ring_rows, store.layout.lanes, 2)
    for rows, found in ((batch.rows, batch.state), (batch.rows + 1, batch.next_state)):
        wanted = window_module.gather_stack(
            store.columns, ring, origin.shard, rows, origin.lane, 4, np.empty((200, 4, TAGS), "f4")
        )
        assert (found == wanted).all()
    separate, _ = filled(layout(n_frames=4, n_step=2), 40, cuts=True)
    other = separate.reader(0, GAMMA)
    batch = other.sample(other.pin(), 8, np.random.default_rng(0))
    assert batch.state.base is not None
    assert batch.state.base.shape == (8, 8, TAGS)


def test_a_single_valid_transition_among_many_rows_is_found() -> None:
    shape = layout(n_actors=1, envs_per_actor=1, n_frames=1, n_step=1, capacity=200)
    store = replay(shape)
    feed = Feeder(store.writer(0), np.random.default_rng(0), end_chance=0.0)
    for _ in range(40):
        feed.write_chunk(4)
    store.columns.flags[:] |= 1  # as if all were boundary rows
    store.columns.flags[0, 77] = 0
    reader = store.reader(0, GAMMA)
    batch = reader.sample(reader.pin(), 32, np.random.default_rng(0))
    assert set(batch.rows.tolist()) == {77}
    assert crossings(reader, batch, 1) == 0


def test_nothing_to_sample_says_why() -> None:
    store = replay(layout(n_step=1))
    reader = store.reader(0, GAMMA)
    rng = np.random.default_rng(0)
    with pytest.raises(NothingToSample, match="'default': the window is empty"):
        reader.sample(reader.pin(), 8, rng)
    feed = Feeder(store.writer(1), rng, end_chance=0.0)
    feed.write_chunk(1)
    with pytest.raises(NothingToSample, match=r"none of the 1 rows .* 1 step"):
        reader.sample(reader.pin(), 8, rng)
    feed.write_chunk(1)
    assert len(reader.sample(reader.pin(), 8, rng).rows) == 8


def test_batches_depend_on_window_and_generator_alone() -> None:
    store, feeders = filled(layout(), 30)
    reader = store.reader(0, GAMMA)
    window = reader.pin()
    states = []
    for run in range(2):
        rng = np.random.default_rng(5)
        batches = [reader.sample(window, 16, rng, slot=k) for k in range(3)]
        states.append([b.state.tobytes() + b.rows.tobytes() + b.returns.tobytes() for b in batches])
        for feed in feeders if run == 0 else []:
            feed.write_chunk(4)  # the next chunk is no concern of a pinned window
    assert states[0] == states[1]
    assert len(set(states[0])) == 3


def test_slots_are_reused_and_do_not_share() -> None:
    store, _ = filled(layout(), 10)
    reader, rng = store.reader(0, GAMMA), np.random.default_rng(0)
    window = reader.pin()
    first = reader.sample(window, 8, rng)
    kept = first.state.copy()
    other = reader.sample(window, 8, rng, slot=1)
    assert not np.shares_memory(first.state, other.state)
    assert (first.state == kept).all()
    assert reader.sample(window, 8, rng) is first
    assert first.state.dtype == np.float32
    assert first.action.dtype == first.cells.dtype == first.rows.dtype == np.int64


def test_version_and_stamp_belong_to_the_row() -> None:
    store, _ = filled(layout(), 40)
    reader = store.reader(0, GAMMA)
    batch = reader.sample(reader.pin(), 64, np.random.default_rng(0))
    origin = reader.origin(batch)
    slots = batch.rows % store.layout.ring_rows
    assert (origin.version == store.columns.version[origin.shard, slots]).all()
    assert (origin.stamp == store.columns.stamp[origin.shard, slots]).all()
    assert len(set(origin.version.tolist())) > 3


def test_counts() -> None:
    store, _ = filled(layout(), 20)
    reader, rng = store.reader(0, GAMMA), np.random.default_rng(0)
    assert reader.stats() == (0, 0)
    window = reader.pin()
    rows = int((window.head - window.low - store.layout.n_step).sum())
    assert window.sampleable == len(valid_cells(store)) > 0
    reader = store.reader(0, GAMMA)
    window = reader.pin()
    reader.sample(window, 50, rng)
    draws, rejects = reader.stats()
    assert draws == 50
    assert rejects == rows * store.layout.lanes - window.sampleable > 0


@pytest.mark.parametrize("masked", [False, True])
def test_the_digest_sees_readable_rows_and_nothing_else(masked: bool) -> None:
    shape = layout(spec=replace(layout().spec, masked=masked))
    (store, feeders), (twin, _) = filled(shape, 40), filled(shape, 40)
    assert ("legal" in dict(store.columns.data())) == masked
    digest = store.column_digest()
    assert digest == twin.column_digest()
    hidden = feeders[0].writer.head % store.layout.ring_rows
    store.columns.reward[0, hidden] += 1
    store.columns.pins[:] = 3
    assert store.column_digest() == digest
    for name, column in store.columns.data():
        shown = (feeders[1].writer.head - 1) % store.layout.ring_rows
        cell = column[1, shown : shown + 1].view(np.uint8)
        cell ^= 1
        assert store.column_digest() != digest, name
        cell ^= 1
    assert store.column_digest() == digest
    store.columns.header[0, 0] -= 1
    assert store.column_digest() != digest


def test_nothing_that_reads_can_be_pickled() -> None:
    store = replay(layout())
    for thing, hint in ((store, "PolicyReplay"), (store.reader(0, GAMMA), r"PolicyReplay\.reader")):
        with pytest.raises(TypeError, match=hint):
            pickle.dumps(thing)
