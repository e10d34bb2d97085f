"""A replay full of tagged observations, which show where every frame that is sampled came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.replay.helpers import TAGS, Feeder, replay
from tuitrain.replay.buffer import Batch, PolicyReplay, ReplayReader
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


def crossings(reader: ReplayReader, batch: Batch, n_step: int) -> int:
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
    origin = reader.origin(batch)
    right &= (first[:, 0] == origin.shard) & (first[:, 1] == origin.lane)
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
