"""A pinned window: what is in it, and what writers may and may not do meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import layout
from tests.unit.replay.tagged import GAMMA, filled


def test_only_the_window_pinned_last_may_be_sampled() -> None:
    store, feeders = filled(layout(), 10)
    reader, rng = store.reader(0, GAMMA), np.random.default_rng(0)
    old = reader.pin()
    assert reader.pin() is old, "nothing has come since"
    feeders[0].write_chunk(1)
    new = reader.pin()
    with pytest.raises(ValueError, match="not pinned any more"):
        reader.sample(old, 8, rng)
    reader.sample(new, 8, rng)
    reader.unpin()
    with pytest.raises(ValueError, match="not pinned any more"):
        reader.sample(new, 8, rng)


@pytest.mark.parametrize("n_frames", [1, 3])
def test_the_same_window_pinned_again_is_as_well_protected(n_frames: int) -> None:
    """Though its writer has reserved its next chunk in between, which it then writes."""
    store, feeders = filled(layout(n_frames=n_frames, n_actors=1), 40)
    reader, (feed,) = store.reader(0, GAMMA), feeders
    window = reader.pin(feed.inserts - 40)
    pins = store.columns.pins.copy()
    before = reader.sample(window, 64, np.random.default_rng(3)).state.copy()
    reader.unpin()
    feed.writer.begin(store.layout.chunk_steps)
    assert reader.pin(feed.inserts - 40) is window
    assert (store.columns.pins == pins).all()
    assert (store.columns.pins >= feed.writer.tail).all()
    feed.write_chunk(store.layout.chunk_steps)
    assert (before == reader.sample(window, 64, np.random.default_rng(3)).state).all()


def test_the_window_spares_the_next_chunk_whether_or_not_it_is_reserved() -> None:
    store, feeders = filled(layout(), 40)
    reader = store.reader(0, GAMMA)
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
    reader = store.reader(0, GAMMA)
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
    history = store.layout.n_frames - 1
    newest = max(feed.inserts for feed in feeders)
    everything = store.reader(0, GAMMA).pin()
    reader = store.reader(0, GAMMA)
    for least in range(1, newest + 5, 3):
        window = reader.pin(least)
        for shard in range(2):
            low, head = int(window.low[shard]), int(window.head[shard])
            stamps = store.columns.stamp[shard]
            rows = range(int(everything.low[shard]), head)
            wanted = [row for row in rows if stamps[row % store.layout.ring_rows] >= least]
            assert list(range(low, head)) == wanted
        # their history stays where it is, and no more than that
        assert (store.columns.pins[:, 0] == window.low - history).all()
    assert reader.pin(newest + 5).sampleable == 0


def test_rows_beyond_the_capacity_are_not_kept_from_the_writer() -> None:
    store, feeders = filled(layout(), 40)
    newest = max(feed.inserts for feed in feeders)
    whole = store.reader(0, GAMMA).pin()
    reader = store.reader(0, GAMMA)
    window = reader.pin(newest - 20)
    spare = int((window.low - whole.low).min())
    assert spare >= 8
    before = reader.sample(window, 32, np.random.default_rng(3)).state.copy()
    for _ in range(1 + spare // 4):
        feeders[0].write_chunk(4)  # without a way to wait: it would raise
    assert (before == reader.sample(window, 32, np.random.default_rng(3)).state).all()


def test_a_window_never_goes_back() -> None:
    """What has left the index stays out, also if the caller asks for older rows again."""
    store, feeders = filled(layout(), 40)
    reader = store.reader(0, GAMMA)
    newest = max(feed.inserts for feed in feeders)
    small = reader.pin(newest - 20)
    again = reader.pin()
    assert (again.low == small.low).all()
    assert again.sampleable == small.sampleable


def test_a_new_reader_and_release_drop_old_pins() -> None:
    store, _ = filled(layout(), 10)
    store.reader(0, GAMMA).pin()
    assert (store.columns.pins >= 0).all()
    store.reader(0, GAMMA)
    assert (store.columns.pins == -1).all()
    store.reader(0, GAMMA).pin()
    store.release(0)
    assert (store.columns.pins == -1).all()
    with pytest.raises(ValueError, match="reader 1: the replay has 1"):
        store.reader(1, GAMMA)
