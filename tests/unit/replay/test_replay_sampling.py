"""What is sampled: tagged observations show where every frame came from."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import TAGS, Feeder, layout, replay
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay import reader as reader_module
from tuitrain.replay import window as window_module
from tuitrain.replay.buffer import Batch, NothingToSample, PolicyReplay
from tuitrain.replay.layout import ReplayLayout

GAMMA = 0.9


def filled(
    shape: ReplayLayout, chunks: int, seed: int = 0, cuts: bool = False
) -> tuple[PolicyReplay, list[Feeder]]:
    store = replay(shape)
    rng = np.random.default_rng(seed)
    feeders = [Feeder(store.writer(a), rng) for a in range(shape.n_actors)]
    for _ in range(chunks):
        for feed in feeders:
            feed.write_chunk(int(rng.integers(1, shape.chunk_steps + 1)))
            if cuts and rng.random() < 0.3:
                feed.writer.begin(1)
                feed.cut()
    return store, feeders


def tags(batch: Batch) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    size, frames = batch.state.shape[:2]
    both = (batch.state, batch.next_state)
    now, then = (x.reshape(size, frames, -1)[..., :TAGS].astype(np.int64) for x in both)
    return now, then


def crossings(batch: Batch, n_step: int) -> int:
    """Samples of which some frame, or the bootstrap, belongs elsewhere than its newest frame."""
    now, then = tags(batch)
    frames = now.shape[1]
    back = np.arange(frames - 1, -1, -1)
    wrong = 0
    for stack in (now, then):
        newest = stack[:, -1:]
        right = (stack[..., :3] == newest[..., :3]).all((1, 2))
        right &= (stack[..., 3] == np.maximum(newest[..., 3] - back, 0)).all(1)
        wrong += int((~right).sum())
    first, last = now[:, -1], then[:, -1]
    steps = last[:, 3] - first[:, 3]
    right = (first[:, :3] == last[:, :3]).all(1) & (steps >= 1) & (steps <= n_step)
    right &= (first[:, 0] == batch.shard) & (first[:, 1] == batch.lanes)
    right &= batch.action == first[:, 3] % 5
    rewards = np.array(
        [
            np.float32(sum(GAMMA**k * float(np.float32(row + k)) for k in range(m)))
            for row, m in zip(batch.rows.tolist(), steps.tolist(), strict=True)
        ]
    )
    right &= batch.returns == rewards
    right &= (batch.discount == 0) | (batch.discount == (GAMMA**steps).astype(np.float32))
    right &= (batch.discount == 0) | (steps == n_step) | (steps < n_step)
    return wrong + int((~right).sum())


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
    reader = store.reader(0)
    window, rng = reader.pin(), np.random.default_rng(1)
    for slot in range(10):
        assert crossings(reader.sample(window, 64, rng, n_step, GAMMA, slot=slot % 2), n_step) == 0


@pytest.mark.parametrize("mutant", ["stack", "boundary", "cut", "wrap"])
def test_the_tags_catch_mutants(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_rows = window_module.stack_rows
    if mutant == "stack":
        monkeypatch.setattr(
            window_module, "stack_rows", lambda r, a, n: stack_rows(r, np.full_like(a, 9), n)
        )
    elif mutant == "wrap":
        true = window_module.cells

        def cells(ring: Any, shard: Any, rows: Any, lanes: Any) -> Any:
            return true(ring, shard, rows + (rows % 7 == 0), lanes)

        monkeypatch.setattr(window_module, "cells", cells)
    else:
        monkeypatch.setattr(window_module, mutant.upper(), 0)
    store, _ = filled(layout(), 40, cuts=True)
    reader = store.reader(0)
    window, rng = reader.pin(), np.random.default_rng(1)
    assert sum(crossings(reader.sample(window, 64, rng, 2, GAMMA), 2) for _ in range(10)) > 0


def valid_cells(store: PolicyReplay, n_step: int) -> set[tuple[int, int, int]]:
    """By brute force through the exhaustively tested window function."""
    reader = store.reader(0)
    window = reader.pin()
    out = set()
    columns, shape = store.columns, store.layout
    ring = window_module.Ring(shape.ring_rows, shape.lanes, shape.n_actors)
    for shard in range(shape.n_actors):
        for row in range(window.low[shard], window.head[shard]):
            for lane in range(shape.lanes):
                one = np.ones(1, np.int64)
                found = window_module.n_step(
                    columns, ring, one * shard, one * row, one * lane, n_step, GAMMA,
                    one * window.low[shard], one * window.head[shard], n_frames=shape.n_frames,
                )  # fmt: skip
                if found.valid[0]:
                    out.add((shard, row, lane))
    return out


def drawn(store: PolicyReplay, batches: int, size: int, n_step: int) -> Counter[Any]:
    reader = store.reader(0)
    window, rng = reader.pin(), np.random.default_rng(2)
    count: Counter[Any] = Counter()
    for _ in range(batches):
        batch = reader.sample(window, size, rng, n_step, GAMMA)
        count.update(
            zip(batch.shard.tolist(), batch.rows.tolist(), batch.lanes.tolist(), strict=True)
        )
    return count


@pytest.mark.parametrize("redraws", [16, 0])
def test_draws_are_uniform_over_the_valid_transitions(
    redraws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rejection, and with the rejected taken from the list at once."""
    monkeypatch.setattr(reader_module, "_REDRAWS", redraws)
    monkeypatch.setattr(reader_module, "_LIST_CELLS", 10)
    shape = layout(capacity=8, chunk_steps=2, learning_starts=0, max_lead_inserts=1)
    store, feeders = filled(shape, 2)
    feeders[0].write_chunk(2)  # shards of different length
    valid = valid_cells(store, 2)
    count = drawn(store, 200, 100, 2)
    assert set(count) == valid
    expected = 20_000 / len(valid)
    chi2 = sum((count[cell] - expected) ** 2 / expected for cell in valid)
    degrees = len(valid) - 1
    assert chi2 < degrees + 4 * (2 * degrees) ** 0.5


def test_a_single_valid_transition_among_many_rows_is_found() -> None:
    shape = layout(n_actors=1, envs_per_actor=1, n_frames=1, capacity=200)
    store = replay(shape)
    feed = Feeder(store.writer(0), np.random.default_rng(0), end_chance=0.0)
    for _ in range(40):
        feed.write_chunk(4)
    store.columns.flags[:] |= 1  # as if all were boundary rows
    store.columns.flags[0, 77] = 0
    reader = store.reader(0)
    batch = reader.sample(reader.pin(), 32, np.random.default_rng(0), 1, GAMMA)
    assert set(batch.rows.tolist()) == {77}
    assert crossings(batch, 1) == 0


def test_nothing_to_sample_says_why() -> None:
    store = replay(layout())
    reader = store.reader(0)
    rng = np.random.default_rng(0)
    with pytest.raises(NothingToSample, match="'default': the window is empty"):
        reader.sample(reader.pin(), 8, rng, 1, GAMMA)
    feed = Feeder(store.writer(1), rng, end_chance=0.0)
    feed.write_chunk(1)
    with pytest.raises(NothingToSample, match=r"none of the 3 rows .* 1 step"):
        reader.sample(reader.pin(), 8, rng, 1, GAMMA)
    feed.write_chunk(1)
    assert len(reader.sample(reader.pin(), 8, rng, 1, GAMMA).rows) == 8
    store.columns.flags[1, 0] = 1
    with pytest.raises(NothingToSample, match="3 are boundary rows"):
        reader.sample(reader.pin(), 8, rng, 1, GAMMA)


def test_batches_depend_on_window_and_generator_alone() -> None:
    store, feeders = filled(layout(), 30)
    reader = store.reader(0)
    window = reader.pin()
    states = []
    for run in range(2):
        rng = np.random.default_rng(5)
        batches = [reader.sample(window, 16, rng, 2, GAMMA, slot=k) for k in range(3)]
        states.append([b.state.tobytes() + b.rows.tobytes() + b.returns.tobytes() for b in batches])
        for feed in feeders if run == 0 else []:
            feed.write_chunk(4)  # the next chunk is no concern of a pinned window
    assert states[0] == states[1]
    assert len(set(states[0])) == 3


def test_the_window_spares_the_next_chunk_whether_or_not_it_is_reserved() -> None:
    store, feeders = filled(layout(), 40)
    reader = store.reader(0)
    before = reader.pin()
    reader.unpin()
    for feed in feeders:
        feed.writer.begin(store.layout.chunk_steps)
    after = reader.pin()
    assert (before.low == after.low).all()
    assert (before.head == after.head).all()
    assert (before.low > 0).all()


def test_a_held_window_stops_the_writer_after_one_chunk_and_not_before() -> None:
    store, feeders = filled(layout(), 40)
    reader = store.reader(0)
    reader.pin()
    feeders[0].write_chunk(4)
    waited = []

    def wait(predicate: Any, reason: str) -> None:
        waited.append(reason)
        reader.unpin()
        assert predicate()

    feeders[0].write_chunk(4, wait)
    assert len(waited) == 1


def test_rows_older_than_the_stamp_are_left_out() -> None:
    store, feeders = filled(layout(), 40)
    reader = store.reader(0)
    everything = reader.pin()
    newest = max(feed.inserts for feed in feeders)
    for least in range(1, newest + 5, 3):
        window = reader.pin(least)
        for shard in range(2):
            low, head = int(window.low[shard]), int(window.head[shard])
            stamps = store.columns.stamp[shard]
            rows = range(int(everything.low[shard]), head)
            wanted = [row for row in rows if stamps[row % store.layout.ring_rows] >= least]
            assert list(range(low, head)) == wanted
        assert (store.columns.pins[:, 0] == window.low).all()
    assert reader.pin(newest + 5).cells_total == 0


def test_rows_beyond_the_capacity_are_not_kept_from_the_writer() -> None:
    store, feeders = filled(layout(), 40)
    reader = store.reader(0)
    newest = max(feed.inserts for feed in feeders)
    spare = int((reader.pin(newest - 20).low - reader.pin().low).min())
    assert spare >= 8
    window = reader.pin(newest - 20)
    rng = np.random.default_rng(3)
    before = reader.sample(window, 32, rng, 1, GAMMA).state.copy()
    for _ in range(1 + spare // 4):
        feeders[0].write_chunk(4)  # without a way to wait: it would raise
    assert (before == reader.sample(window, 32, np.random.default_rng(3), 1, GAMMA).state).all()


def test_slots_are_reused_and_do_not_share() -> None:
    store, _ = filled(layout(), 10)
    reader, rng = store.reader(0), np.random.default_rng(0)
    window = reader.pin()
    first = reader.sample(window, 8, rng, 1, GAMMA)
    kept = first.state.copy()
    other = reader.sample(window, 8, rng, 1, GAMMA, slot=1)
    assert not np.shares_memory(first.state, other.state)
    assert (first.state == kept).all()
    assert reader.sample(window, 8, rng, 1, GAMMA) is first
    assert first.state.dtype == np.float32
    assert first.action.dtype == first.version.dtype == first.stamp.dtype == np.int64


def test_version_and_stamp_belong_to_the_row() -> None:
    store, _ = filled(layout(), 40)
    reader = store.reader(0)
    batch = reader.sample(reader.pin(), 64, np.random.default_rng(0), 1, GAMMA)
    slots = batch.rows % store.layout.ring_rows
    assert (batch.version == store.columns.version[batch.shard, slots]).all()
    assert (batch.stamp == store.columns.stamp[batch.shard, slots]).all()
    assert len(set(batch.version.tolist())) > 3


def test_counts() -> None:
    store, _ = filled(layout(), 20)
    reader, rng = store.reader(0), np.random.default_rng(0)
    window = reader.pin()
    assert reader.stats() == (0, 0)
    reader.sample(window, 50, rng, 1, GAMMA)
    draws, rejects = reader.stats()
    assert draws - rejects == 50
    assert rejects > 0
    flags = store.columns.flags
    cells = [
        flags[a, row % store.layout.ring_rows, lane] == 0
        for a in range(2)
        for row in range(window.low[a], window.head[a])
        for lane in range(3)
    ]
    assert window.cells_total == len(cells)
    assert reader.sampleable(window) == sum(cells)
    assert len(valid_cells(store, 1)) <= reader.sampleable(window)


def test_the_digest_sees_readable_rows_and_nothing_else() -> None:
    (store, feeders), (twin, _) = filled(layout(), 40), filled(layout(), 40)
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


def test_a_new_reader_and_release_drop_old_pins() -> None:
    store, _ = filled(layout(), 10)
    store.reader(0).pin()
    assert (store.columns.pins >= 0).all()
    store.reader(0)
    assert (store.columns.pins == -1).all()
    store.reader(0).pin()
    store.release(0)
    assert (store.columns.pins == -1).all()
    with pytest.raises(ValueError, match="reader 1: the replay has 1"):
        store.reader(1)


def test_nothing_that_reads_can_be_pickled() -> None:
    store = replay(layout())
    for thing, hint in ((store, "PolicyReplay"), (store.reader(0), r"PolicyReplay\.reader")):
        with pytest.raises(TypeError, match=hint):
            pickle.dumps(thing)
