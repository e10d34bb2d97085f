"""What an actor acts on is what is learned from, bit for bit: every stack, in every kind of row.

A stack is noted as it is handed to the network, and compared with the one a reader makes of the
same row. Ways to get it wrong (a memory of the actor's own, cleared at the wrong time) must show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.one_actor import CHUNK_STEPS, N_FRAMES, Run, one_actor
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor

CHUNKS = 12

Place = tuple[int, int]
"""Row and lane."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with one_actor(tmp_path) as made:
        yield made


def disagreements(run: Run, fault: Any = None) -> tuple[int, int]:
    """Sampled stacks that are not what was acted on, and how many rows were compared."""
    blueprint, shared = run
    actor = build_actor(blueprint, shared, 0)
    (part,) = actor.parts.values()
    acted: dict[Place, bytes] = {}
    act, row = part.policy.act, 0

    def note(stack: Any, *args: Any) -> Any:
        nonlocal row
        given = stack if fault is None else fault(row, stack)
        for lane, frames in enumerate(given):
            acted[row, lane] = np.ascontiguousarray(frames).tobytes()
        row += 1
        return act(given, *args)

    part.policy.act = note
    replay = shared.replays["default"]
    reader, rng = replay.reader(0, gamma=0.9), np.random.default_rng(0)
    wrong = 0
    compared: set[Place] = set()
    for chunk in range(CHUNKS):
        actor.pull()
        actor.begin(Ticket(0, (chunk,)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        actor.commit()
        window = reader.pin()
        batch = reader.sample(window, 300, rng)
        lanes = reader.origin(batch).lane.tolist()
        for state, place in zip(
            batch.state, zip(batch.rows.tolist(), lanes, strict=True), strict=True
        ):
            wrong += np.ascontiguousarray(state).tobytes() != acted[place]
            compared.add(place)
        reader.unpin()
    assert int(replay.columns.header[0, 0]) > 0, "the ring has not wrapped"
    actor.close()
    return wrong, len(compared)


def test_what_was_acted_on_is_what_is_sampled(run: Run) -> None:
    wrong, compared = disagreements(run)
    assert wrong == 0
    assert compared > 150


class OwnMemory:
    """An actor's frames in a list of its own, beside the shard.

    Args:
        clear_every: rows after which it is emptied, as if an episode began; 0 is never.
        shift: rows by which it is behind.
    """

    def __init__(self, clear_every: int = 0, shift: int = 0) -> None:
        self._frames: list[Any] = []
        self._clear_every, self._shift = clear_every, shift

    def __call__(self, row: int, stack: Any) -> Any:
        if self._clear_every and row % self._clear_every == 0:
            self._frames.clear()
        self._frames.append(stack[:, -1].copy())
        newest = len(self._frames) - 1
        back = (max(0, newest - self._shift - k) for k in range(N_FRAMES - 1, -1, -1))
        return np.stack([self._frames[at] for at in back], axis=1)


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param({"clear_every": CHUNK_STEPS}, id="cleared-every-chunk"),
        pytest.param({"clear_every": CHUNK_STEPS * CHUNKS // 2}, id="cleared-once"),
        pytest.param({}, id="never-cleared"),
        pytest.param({"shift": 1}, id="a-row-behind"),
    ],
)
def test_a_memory_of_the_actors_own_is_caught(run: Run, memory: dict[str, int]) -> None:
    assert disagreements(run, OwnMemory(**memory))[0] > 0
