"""One actor does all the work and the others are dead: nothing is lost before the first update,
and what the dead have left does not stay in the draw for ever."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import Memory, NullLock, layout
from tests.unit.replay.story import TAGS, Scribe, stories
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import HEADER_TAIL, ReplayLayout
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.limiter_rule import LimiterRule

GAMMA = 0.9
FAST, DEAD = 0, 1


@dataclass
class Run:
    """Two actors and a learner, called in turn as processes would call them."""

    chunk_steps: int
    lanes: int
    starts: int
    capacity: int
    end_chance: float

    def __post_init__(self) -> None:
        chunk = self.chunk_steps * self.lanes
        ratio = Fraction(1, 2)
        rule = LimiterRule(ratio, self.starts, 1 + 2 * chunk * ratio, 2 * chunk)
        self.shape: ReplayLayout = layout(
            spec=PolicySpec((TAGS,), "float32", 5, ("agent",)),
            n_frames=3,
            n_step=2,
            n_actors=2,
            envs_per_actor=self.lanes,
            chunk_steps=self.chunk_steps,
            capacity=self.capacity,
            learning_starts=self.starts,
            max_lead_inserts=int(rule.max_lead_updates / ratio) + 1,
        )
        lock: Any = NullLock()
        self.limiter = Limiter(
            np.zeros(Limiter.table_shape(1, 2), np.int64), [rule], lock, 10**9, 2
        )
        self.store = PolicyReplay(self.shape, Memory(self.shape.nbytes), [lock] * 2)
        self.store.initialise()
        rng = np.random.default_rng(0)
        self.scribes = [
            Scribe(self.store.writer(a), past, rng, end_chance=self.end_chance, absent_chance=0)
            for a, past in enumerate(stories(2, self.lanes))
        ]
        self.reader = self.store.reader(0, GAMMA)

    @property
    def inserts(self) -> int:
        return self.limiter.totals().inserts[0]

    def act(self, actor: int) -> bool:
        """One chunk; False if the actor has to wait for the learner."""
        most = self.chunk_steps * self.lanes
        ticket = self.limiter.reserve(actor, [most], most)
        if ticket is None:
            return False
        inserts = self.scribes[actor].write(self.chunk_steps, ticket.stamp_base[0], version=1)
        self.limiter.commit(actor, [inserts], most)
        return True

    def learn(self) -> None:
        """All updates that are due."""
        self.limiter.add_updates(0, self.limiter.updates_due(0))

    def overwritten(self) -> int:
        """Rows that can't be read any more."""
        return int(self.store.columns.header[:, HEADER_TAIL].sum())

    def drawn(self, min_stamp: int) -> tuple[int, set[int]]:
        """How many transitions may be drawn, and of which shards."""
        window = self.reader.pin(min_stamp)
        batch = self.reader.sample(window, 2000, np.random.default_rng(0))
        shards = set(self.reader.origin(batch).shard.tolist())
        self.reader.unpin()
        return window.sampleable, shards


def warmed_up(**sizes: Any) -> Run:
    """As far as the limiter lets one actor go alone before the first update."""
    run = Run(**sizes)
    assert run.act(DEAD)
    while run.act(FAST):
        pass
    assert run.inserts >= run.starts
    return run


SIZES = [
    # every second row is a boundary row: as many rows as there can be
    {"chunk_steps": 4, "lanes": 3, "starts": 200, "capacity": 200, "end_chance": 1.0},
    {"chunk_steps": 1, "lanes": 1, "starts": 50, "capacity": 50, "end_chance": 1.0},
    {"chunk_steps": 16, "lanes": 8, "starts": 1000, "capacity": 1200, "end_chance": 0.2},
]


@pytest.mark.parametrize("sizes", SIZES)
def test_no_row_is_overwritten_before_the_first_update(sizes: dict[str, Any]) -> None:
    run = warmed_up(**sizes)
    assert run.overwritten() == 0
    assert (run.reader.pin().low == 0).all(), "the first update could not draw all rows"


@pytest.mark.parametrize("sizes", SIZES[:2])
def test_a_ring_that_counts_on_every_actor_is_caught(
    sizes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its share of the capacity alone it wraps in warm-up."""

    class Share(ReplayLayout):
        @property
        def ring_rows(self) -> int:
            share = -(-self.capacity // (self.n_actors * self.lanes))
            return share + self.n_frames + self.n_step + 2 * (self.chunk_steps + 1)

    monkeypatch.setattr("tests.unit.replay.helpers.ReplayLayout", Share)
    assert warmed_up(**sizes).overwritten() > 0


@pytest.mark.parametrize("stamps", [True, False])
def test_what_a_dead_actor_left_leaves_the_draw(stamps: bool) -> None:
    """Rows older than the capacity, counted over all actors; without the stamp they stay."""
    run = warmed_up(**SIZES[2])
    assert run.drawn(max(0, run.inserts - run.capacity))[1] == {FAST, DEAD}
    of_the_dead = run.inserts
    while run.inserts <= of_the_dead + 2 * run.capacity:
        run.learn()
        assert run.act(FAST)
    sampleable, shards = run.drawn(run.inserts - run.capacity if stamps else 0)
    assert shards == ({FAST} if stamps else {FAST, DEAD})
    chunk = run.chunk_steps * run.lanes
    if stamps:
        assert run.capacity - 2 * chunk <= sampleable <= run.capacity + chunk
