"""A flipped bit in what a shard says of itself is named, or does no harm.

Rows carry no checksum, so damage to their contents is not seen; these are the two numbers that
decide which rows there are.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.replay.helpers import Feeder, layout, replay
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL, ReplayDamaged

SHAPE = layout(n_actors=2, envs_per_actor=2, capacity=12, learning_starts=0, max_lead_inserts=2)
BITS = [(word, bit) for word in (HEADER_TAIL, HEADER_HEAD) for bit in range(64)]


def filled(chunks: int) -> tuple[PolicyReplay, Feeder]:
    store = replay(SHAPE)
    feed = Feeder(store.writer(1), np.random.default_rng(0), end_chance=0.0)
    for _ in range(chunks):
        feed.write_chunk(4)
    return store, feed


def flip(store: PolicyReplay, word: int, bit: int) -> None:
    store.columns.header.view(np.uint64)[1, word] ^= np.uint64(1) << np.uint64(bit)


@pytest.mark.parametrize("chunks", [1, 20], ids=["part full", "wrapped"])
def test_a_flipped_bit_of_the_head_stops_the_writer(chunks: int) -> None:
    for bit in range(64):
        store, feed = filled(chunks)
        flip(store, HEADER_HEAD, bit)
        with pytest.raises(ReplayDamaged, match="the head of shard 1"):
            feed.writer.begin(4)


@pytest.mark.parametrize("chunks", [1, 20], ids=["part full", "wrapped"])
def test_a_reader_refuses_or_sees_only_rows_that_were_written(chunks: int) -> None:
    """What it can't tell: an older head, a newer tail, and in a ring that has not wrapped a newer
    head, which its writer tells at its next chunk."""
    refused = 0
    for word, bit in BITS:
        store, feed = filled(chunks)
        reader = store.reader(0, gamma=0.9)
        flip(store, word, bit)
        try:
            window = reader.pin()
        except ReplayDamaged:
            refused += 1
            continue
        if window.head[1] <= feed.row:
            assert 0 <= window.low[1] <= window.head[1]
        else:
            assert chunks == 1
            assert window.head[1] < SHAPE.ring_rows
    assert refused > 100


def test_a_successor_refuses_a_damaged_shard() -> None:
    store, _ = filled(20)
    flip(store, HEADER_HEAD, 40)
    with pytest.raises(ReplayDamaged, match="shared memory is damaged"):
        store.writer(1)
