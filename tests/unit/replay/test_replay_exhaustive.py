"""Every small ring at every head position: what a reader offers is what the plain lists say.

``test_replay_window`` does the same for the functions; here it is the whole reading side, with a
reader that has followed from the beginning and one that has just come.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.replay.faulty import AgesGoOn, EndsLate, NoBoundaries, TruncatesAsIfTerminated
from tests.unit.replay.helpers import Memory, NullLock, layout
from tests.unit.replay.story import TAGS, Expected, Scribe, stories
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay import index as index_module
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import ReplayLayout
from tuitrain.replay.window import stack_rows

RINGS = range(5, 14)
LENGTHS = range(1, 6)
GAMMA = 0.9


def ring_of(rows: int, n_frames: int, n_step: int) -> ReplayLayout:
    """A layout with exactly so many rows, though it would ask for more."""
    shape = layout(
        spec=PolicySpec((TAGS,), "float32", 5, ("agent",), masked=True),
        n_frames=n_frames,
        n_step=n_step,
        n_actors=1,
        envs_per_actor=3,
        chunk_steps=1,
        n_readers=2,
    )
    shape.__dict__["ring_rows"] = rows  # where the cached property looks
    return shape


def wrong(rows: int, n_frames: int, n_step: int, seed: int) -> tuple[list[str], int]:
    """What is wrong at any head position, and how many transitions there were to be drawn."""
    shape = ring_of(rows, n_frames, n_step)
    lock: Any = NullLock()
    store = PolicyReplay(shape, Memory(shape.nbytes), [lock])
    store.initialise()
    rng = np.random.default_rng([seed, rows, n_frames, n_step])
    (past,) = stories(1, shape.lanes)
    scribe = Scribe(store.writer(0), past, rng)
    old = store.reader(0, GAMMA)
    found: list[str] = []
    offered = 0
    for head in range(1, 2 * rows + n_frames + n_step):
        scribe.write(1, stamp=head, version=head)
        if rng.random() < 0.05:  # its writer is replaced, amid an episode
            scribe = Scribe(store.writer(0), past, rng)
        kept = max(0, head + 2 - rows)  # the writer's next chunk is one row and a pending one
        low = min(head, kept + n_frames - 1 if kept else 0)
        expected = Expected(
            [past], [low], [head], n_frames=n_frames, n_step=n_step, gamma=GAMMA
        )  # fmt: skip
        offered += len(expected.cells)
        for reader in (old, store.reader(1, GAMMA)):
            window = reader.pin()
            if window.low.tolist() != [low] or window.head.tolist() != [head]:
                found.append(f"head {head}: the window is {window}")
            if window.sampleable != len(expected.cells):
                found.append(f"head {head}: {window.sampleable} may be drawn")
            found += [f"head {head}: {what}" for what in expected.draw(reader, window, rng)]
            reader.unpin()
    return found, offered


@pytest.mark.parametrize("rows", RINGS)
def test_every_small_ring_agrees_with_the_lists(rows: int) -> None:
    """Ring size x n_frames x n_step x every head position."""
    offered = 0
    for n_frames in LENGTHS:
        for n_step in LENGTHS:
            found, count = wrong(rows, n_frames, n_step, seed=0)
            assert not found, (n_frames, n_step)
            offered += count
    assert offered > 20 * rows


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 10))
@pytest.mark.parametrize("rows", RINGS)
def test_every_small_ring_agrees_with_the_lists_in_other_lives(rows: int, seed: int) -> None:
    for n_frames in LENGTHS:
        for n_step in LENGTHS:
            assert not wrong(rows, n_frames, n_step, seed)[0], (n_frames, n_step)


def _stacks_forget_age(rows: Any, age: Any, n_frames: int) -> Any:
    return stack_rows(rows, np.full_like(age, n_frames), n_frames)


def _n_step_of(n: int = 0, gamma: float = 1.0, head: int = 0) -> Any:
    true = index_module.n_step

    def mutant(
        columns: Any, ring: Any, shard: Any, rows: Any, lanes: Any,
        given_n: int, given_gamma: float, low: Any, given_head: Any, *, n_frames: int,
    ) -> Any:  # fmt: skip
        return true(
            columns, ring, shard, rows, lanes, given_n + n, given_gamma * gamma,
            low, given_head + head, n_frames=n_frames,
        )  # fmt: skip

    return mutant


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        pytest.param("stack_rows", _stacks_forget_age, id="age"),
        pytest.param("n_step", _n_step_of(gamma=0.9), id="gamma"),
        pytest.param("n_step", _n_step_of(n=-1), id="n"),
        pytest.param("n_step", _n_step_of(head=-1), id="head"),
    ],
)
def test_a_faulty_index_is_caught(name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, name, mutant)
    assert wrong(11, 3, 2, seed=0)[0]


@pytest.mark.parametrize("mutant", [EndsLate, TruncatesAsIfTerminated, NoBoundaries, AgesGoOn])
def test_a_writer_that_says_the_wrong_of_episodes_is_caught(
    mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.replay.buffer.ShardWriter", mutant)
    assert wrong(11, 3, 2, seed=0)[0]
