"""The window functions against a model that has never heard of rings, ages or flat indices.

The model keeps every row ever written in plain lists and finds episodes by their number. The ring
is filled with poison wherever it does not hold a row of the window, so any look outside shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from tuitrain.replay import first_seen, window
from tuitrain.replay.layout import (
    ABSENT,
    AUDIT,
    AUDITS,
    BOUNDARY,
    CUT,
    MAX_AGE,
    TOLD,
    Columns,
)
from tuitrain.replay.window import Ring, cells, gather_stack, n_step, stack_rows

GAMMA = 0.9
CAPACITIES = range(5, 14)
LENGTHS = range(1, 6)
ROWS = 3 * max(CAPACITIES)
SHARDS, LANES = 2, 3


@dataclass
class Row:
    """One row of the model."""

    observation: int
    reward: float
    terminated: bool = False
    truncated: bool = False
    episode: int = 0
    step: int = 0
    boundary: bool = False
    cut: bool = False
    absent: bool = False


def lane_rows(seed: int, shard: int, lane: int) -> list[Row]:
    """A lane's life: each (shard, lane) has its own kind of episodes."""
    rng = np.random.default_rng([seed, shard, lane])
    kind = shard * LANES + lane
    rows: list[Row] = []
    episode = step = 0
    over = False
    for i in range(ROWS):
        row = Row(
            observation=1 + i + 1000 * kind,
            reward=0.0 if over else float(np.float32(rng.normal())),
            episode=episode,
            step=step,
            boundary=over,
        )
        length = (1 + episode % 4, 10**9, 1, 2 + int(rng.integers(9)), 3, 5)[kind]
        if kind == 3 and not over and i and rng.random() < 0.12:  # its writer was replaced here
            row.cut, row.episode, row.step, row.boundary = True, episode + 1, 0, False
            episode, step = row.episode, 0
        if kind == 5:
            row.absent = bool(rng.random() < 0.2)
        if over and not row.cut:
            over, episode, step = False, episode + 1, 0
        else:
            step += 1
            if step >= length:
                over = True
                row.terminated = (episode % 2 == 0) if kind != 4 else False
                row.truncated = not row.terminated
        rows.append(row)
    return rows


def model_stack(rows: list[Row], i: int, n_frames: int) -> list[int]:
    """Absolute rows of the frames, newest last: back to the episode's first row, then repeat it."""
    frames = [i]
    while len(frames) < n_frames:
        oldest = frames[0]
        starts = rows[oldest].step == 0
        frames.insert(0, oldest if starts else oldest - 1)
        assert rows[frames[0]].episode == rows[i].episode
    return frames


def model_transition(
    rows: list[Row], i: int, n: int, n_frames: int, low: int, head: int
) -> tuple[float, float, int] | None:
    """(return, discount, next row) or None where the transition may not be used."""
    if rows[i].boundary or rows[i].absent or model_stack(rows, i, n_frames)[0] < low:
        return None
    total, discount, at = 0.0, GAMMA**n, i
    for k in range(n):
        if at >= head:
            return None
        total += GAMMA**k * rows[at].reward
        ended = rows[at].terminated or rows[at].truncated
        discount = 0.0 if rows[at].terminated else GAMMA ** (k + 1)
        at += 1
        if at >= head or rows[at].cut:
            return None
        if ended:
            break
    return total, discount, at


class World:
    """The model's lanes, and a ring of T rows that holds [low, head) and poison."""

    def __init__(self, t: int, seed: int) -> None:
        self.t = t
        self.lanes = [
            [lane_rows(seed, shard, lane) for lane in range(LANES)] for shard in range(SHARDS)
        ]
        self.ring = Ring(t, LANES, SHARDS)

    @cache  # noqa: B019  # worlds live as long as their test
    def columns(self, low: int, head: int) -> Columns:
        cell = (SHARDS, self.t, LANES)
        rng = np.random.default_rng(head)
        arrays: dict[str, Any] = {
            "header": np.zeros((SHARDS, 8), np.int64),
            "pins": np.full((SHARDS, 1), -1, np.int64),
            "told": np.zeros(SHARDS, TOLD),
            "audits": np.zeros((SHARDS, AUDITS), AUDIT),
            "first_seen": np.zeros((SHARDS, *first_seen.SHAPE)),
            "version": np.full(cell[:2], -7, np.int64),
            "stamp": np.full(cell[:2], -7, np.int64),
            "observation": np.full((*cell, 1), -1, np.float32),
            "action": np.full(cell, -1, np.int32),
            "reward": np.full(cell, np.nan, np.float32),
            "terminated": rng.random(cell) < 0.5,
            "truncated": rng.random(cell) < 0.5,
            "age": rng.integers(0, 9, cell).astype(np.uint16),
            "flags": rng.integers(0, 8, cell).astype(np.uint8),
        }
        for shard, lanes in enumerate(self.lanes):
            for lane, rows in enumerate(lanes):
                for i in range(low, head):
                    row, at = rows[i], (shard, i % self.t, lane)
                    arrays["observation"][at] = row.observation
                    arrays["reward"][at] = row.reward
                    arrays["terminated"][at] = row.terminated
                    arrays["truncated"][at] = row.truncated
                    arrays["age"][at] = row.step
                    arrays["flags"][at] = (
                        BOUNDARY * row.boundary + CUT * row.cut + ABSENT * row.absent
                    )
        return Columns(arrays)

    def positions(self) -> Iterator[tuple[int, int]]:
        """(low, head): as much as the ring can hold beside a pending row, and somewhat less."""
        for head in range(1, ROWS):
            low = max(0, head + 1 - self.t)
            yield low, head
            if head > self.t and head % 3 == 0:
                yield low + 2, head


def disagreements(world: World, n_frames: int, steps: int) -> int:
    """Cells in which the window functions and the model differ."""
    wrong = 0
    for low, head in world.positions():
        columns = world.columns(low, head)
        shard, rows, lanes = (
            a.ravel()
            for a in np.meshgrid(
                np.arange(SHARDS), np.arange(low, head), np.arange(LANES), indexing="ij"
            )
        )
        lows, heads = np.full(len(rows), low), np.full(len(rows), head)
        got = n_step(
            columns, world.ring, shard, rows, lanes, steps, GAMMA, lows, heads, n_frames=n_frames
        )
        use = np.flatnonzero(got.valid)
        out = np.empty((2, len(use), n_frames, 1), np.float32)
        for into, of in zip(out, (rows, got.next_rows), strict=True):
            gather_stack(columns, world.ring, shard[use], of[use], lanes[use], n_frames, into)
        place = {int(cell): k for k, cell in enumerate(use)}
        for cell, (a, i, lane) in enumerate(zip(shard, rows, lanes, strict=True)):
            history = world.lanes[a][lane]
            want = model_transition(history, int(i), steps, n_frames, low, head)
            if want is None or cell not in place:
                wrong += (want is None) != (cell not in place)
                continue
            k = place[cell]
            total, discount, following = want
            wrong += not (
                got.returns[cell] == np.float32(total)
                and got.discount[cell] == np.float32(discount)
                and got.next_rows[cell] == following
                and out[0, k, :, 0].tolist()
                == [history[j].observation for j in model_stack(history, int(i), n_frames)]
                and out[1, k, :, 0].tolist()
                == [history[j].observation for j in model_stack(history, following, n_frames)]
            )
    return wrong


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("t", CAPACITIES)
def test_every_window_agrees_with_the_model(t: int, seed: int) -> None:
    """Capacity x n_frames x n_step x every head position, across the wrap."""
    world = World(t, seed)
    for n_frames in LENGTHS:
        for steps in LENGTHS:
            assert disagreements(world, n_frames, steps) == 0, (n_frames, steps)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 40))
@pytest.mark.parametrize("t", CAPACITIES)
def test_every_window_agrees_with_the_model_in_other_lives(t: int, seed: int) -> None:
    world = World(t, seed)
    for n_frames in LENGTHS:
        for steps in LENGTHS:
            assert disagreements(world, n_frames, steps) == 0, (n_frames, steps)


def test_the_model_sees_every_kind_of_row() -> None:
    """The comparison is worth something only if all cases come up in it."""
    rows = [
        row for shard in range(SHARDS) for lane in range(LANES) for row in lane_rows(0, shard, lane)
    ]
    for kind in ("terminated", "truncated", "boundary", "cut", "absent"):
        assert sum(getattr(row, kind) for row in rows) >= 3, kind
    assert max(row.step for row in rows) > 3 * max(LENGTHS)


def _no_age(rows: Any, age: Any, n_frames: int) -> Any:
    return stack_rows(rows, np.full_like(age, n_frames), n_frames)


def _wrong_wrap(ring: Ring, shard: Any, rows: Any, lanes: Any) -> Any:
    return (shard * ring.rows + rows % (ring.rows - 1)) * ring.lanes + lanes


def _wrong_shard(ring: Ring, shard: Any, rows: Any, lanes: Any) -> Any:
    return cells(ring, 0 * shard, rows, lanes)


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("CUT", 0),  # n-step windows cross a cut
        ("BOUNDARY", 0),  # boundary rows are sampled
        ("ABSENT", 0),  # absent rows are sampled
        ("stack_rows", _no_age),  # stacks cross episodes
        ("cells", _wrong_wrap),
        ("cells", _wrong_shard),
    ],
)
def test_the_comparison_catches_mutants(
    name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, name, mutant)
    assert disagreements(World(7, seed=0), 3, 3) > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"head": a["head"] + 1},
        lambda a: a | {"low": a["low"] - 1},
        lambda a: a | {"gamma": a["gamma"] ** 2},
        lambda a: a | {"n_frames": a["n_frames"] - 1},
    ],
    ids=["head", "low", "gamma", "n_frames"],
)
def test_the_comparison_catches_wrong_arguments(
    change: Callable[[dict[str, Any]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("columns", "ring", "shard", "rows", "lanes", "n", "gamma", "low", "head")

    def mutant(*args: Any, n_frames: int) -> Any:
        given = dict(zip(names, args, strict=True)) | {"n_frames": n_frames}
        return window.n_step(**change(given))

    monkeypatch.setitem(globals(), "n_step", mutant)
    assert disagreements(World(7, seed=0), 3, 3) > 0


def test_saturated_ages_still_stack() -> None:
    age = np.array([MAX_AGE], np.uint16)
    rows = np.array([10**9])
    assert stack_rows(rows, age, 4).tolist() == [[10**9 - 3, 10**9 - 2, 10**9 - 1, 10**9]]


def test_first_rows_repeat_the_first_observation() -> None:
    ages = np.array([0, 1, 2, 3, 4], np.uint16)
    stacked = stack_rows(np.arange(5) + 20, ages, 3)
    assert stacked.tolist() == [
        [20, 20, 20],
        [20, 20, 21],
        [20, 21, 22],
        [21, 22, 23],
        [22, 23, 24],
    ]


def test_stacking_writes_where_it_is_told() -> None:
    world = World(7, seed=0)
    columns = world.columns(0, 6)
    out = np.empty((2, 3, 1), np.float32)
    rows, lanes = np.array([3, 5]), np.array([0, 2])
    got = gather_stack(columns, world.ring, np.array([0, 1]), rows, lanes, 3, out)
    assert got is out
    same = np.empty_like(out[:1])
    assert (gather_stack(columns, world.ring, 1, rows[1:], lanes[1:], 3, same) == out[1:]).all()


def test_returns_by_hand() -> None:
    """gamma**n goes with rewards summed over n: 1 + 0.9*2 + 0.81*4 and 0.9**3."""
    cell = (1, 8, 1)
    arrays: dict[str, Any] = {
        "header": np.zeros((1, 8), np.int64),
        "pins": np.full((1, 1), -1, np.int64),
        "told": np.zeros(1, TOLD),
        "audits": np.zeros((1, AUDITS), AUDIT),
        "first_seen": np.zeros((1, *first_seen.SHAPE)),
        "version": np.zeros(cell[:2], np.int64),
        "stamp": np.zeros(cell[:2], np.int64),
        "observation": np.zeros((*cell, 1), np.float32),
        "action": np.zeros(cell, np.int32),
        "reward": np.array([1, 2, 4, 8, 16, 0, 1, 1], np.float32).reshape(cell),
        "terminated": (np.arange(8) == 4).reshape(cell),
        "truncated": np.zeros(cell, bool),
        "age": np.array([0, 1, 2, 3, 4, 5, 0, 1], np.uint16).reshape(cell),
        "flags": np.where(np.arange(8) == 5, BOUNDARY, 0).astype(np.uint8).reshape(cell),
    }
    rows = np.array([0, 3, 4, 5, 6])
    zero = np.zeros(5, np.int64)
    got = n_step(
        Columns(arrays), Ring(8, 1, 1), zero, rows, zero, 3, 0.9, zero, zero + 8, n_frames=1
    )
    assert got.valid.tolist() == [True, True, True, False, False]
    assert got.returns[:3] == pytest.approx([1 + 1.8 + 3.24, 8 + 14.4, 16.0])
    assert got.discount[:3] == pytest.approx([0.729, 0.0, 0.0])
    assert got.next_rows[:3].tolist() == [3, 5, 5]
