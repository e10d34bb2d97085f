"""Writers and readers that come, go and die in any order, against the plain lists of ``story``.

Hypothesis invents the order. After every step each readable row is what was written as that row;
whatever is drawn is a transition of the lists, with the right frames, return, discount and version;
and whatever the lists say may be drawn is.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.replay.helpers import Memory, NullLock, layout
from tests.unit.replay.stores import Died, Stores
from tests.unit.replay.story import BETA, TAGS, Cell, Expected, Scribe, stories, torn_rows
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.buffer import Batch, PolicyReplay, ReplayReader, Window
from tuitrain.replay.layout import HEADER_TAIL
from tuitrain.replay.priority import PriorityRule
from tuitrain.replay.shard import ShardBlocked, ShardWriter

READERS = 2
BY_PRIORITY = 1
"""The reader that draws by priority."""
RULE = PriorityRule(alpha=0.6, beta_start=BETA, epsilon=0.01)
GAMMA = 0.9


@dataclass
class Reading:
    """One reader, and what the model says of it."""

    reader: ReplayReader
    low: list[int]
    """First row of each shard that it has not let go of yet."""
    min_stamp: int = 0
    window: Window | None = None
    expected: Expected | None = None
    pins: list[int] = field(default_factory=list)
    priorities: dict[Cell, float] | None = None
    """Of every transition it may draw, if it draws by them."""
    greatest: float = 1.0
    learned: tuple[Batch, list[Cell]] | None = None
    """What it has drawn and not told the priorities of yet."""


class ReplayMachine(RuleBasedStateMachine):
    """The rules. ``writer_type`` may be one that breaks the protocol."""

    writer_type: type[ShardWriter] = ShardWriter
    seen: ClassVar[Counter[str]] = Counter()
    """What has happened in all runs, to know that it does."""

    @initialize(
        n_frames=st.integers(1, 4),
        n_step=st.integers(1, 4),
        actors=st.integers(1, 3),
        lanes=st.integers(1, 2),
        chunk_steps=st.integers(1, 3),
        capacity=st.integers(1, 12),
        seed=st.integers(0, 9),
        masked=st.booleans(),
    )
    def open(
        self,
        n_frames: int,
        n_step: int,
        actors: int,
        lanes: int,
        chunk_steps: int,
        capacity: int,
        seed: int,
        masked: bool,
    ) -> None:
        self.shape = layout(
            spec=PolicySpec((TAGS,), "float32", 5, ("agent",), masked=masked),
            n_frames=n_frames,
            n_step=n_step,
            n_actors=actors,
            envs_per_actor=lanes,
            chunk_steps=chunk_steps,
            capacity=capacity,
            learning_starts=0,
            max_lead_inserts=0,
            n_readers=READERS,
        )
        self.rng = np.random.default_rng(seed)
        self.past = stories(actors, lanes)
        self.inserts = self.version = 0
        memory = Memory(self.shape.nbytes)
        self.map(memory)
        self.store.initialise()
        self.hire()

    def map(self, memory: Memory) -> None:
        """Look at the memory as a replay."""
        self.memory = memory
        locks: Any = [NullLock()] * self.shape.n_actors
        self.store = PolicyReplay(self.shape, memory, locks)
        self.stores = Stores(memory.buf)
        self.watched = self.stores.watch(self.store.columns)

    def hire(self) -> None:
        """New writers and readers."""
        self.scribes = [self.scribe(shard) for shard in range(self.shape.n_actors)]
        self.readings = [self.reading(index) for index in range(READERS)]

    def scribe(self, shard: int) -> Scribe:
        writer = self.writer_type(self.watched, shard, NullLock())
        in_place = bool(self.rng.random() < 0.5)
        return Scribe(writer, self.past[shard], self.rng, in_place=in_place)

    def reading(self, index: int) -> Reading:
        low = [0] * self.shape.n_actors
        if index == BY_PRIORITY:
            return Reading(self.store.reader(index, GAMMA, RULE), low, priorities={})
        return Reading(self.store.reader(index, GAMMA), low)

    # ---- writers -------------------------------------------------------------------------------

    def blocked(self, shard: int, rows: int) -> bool:
        """Whether a reader that is alive, or was and has not been released, is in the way."""
        tail = self.past[shard].head + rows + 1 - self.shape.ring_rows
        return any(0 <= reading.pins[shard] < tail for reading in self.readings if reading.pins)

    def write(self, shard: int, rows: int) -> None:
        self.version += 1
        self.inserts += self.scribes[shard].write(rows, self.inserts, self.version)

    @rule(shard=st.integers(0, 2), rows=st.integers(1, 3))
    def write_chunk(self, shard: int, rows: int) -> None:
        shard, rows = shard % self.shape.n_actors, min(rows, self.shape.chunk_steps)
        if not self.blocked(shard, rows):
            self.write(shard, rows)
            return
        self.seen["blocked"] += 1
        with pytest.raises(ShardBlocked):
            self.write(shard, rows)

    @rule(shard=st.integers(0, 2), chunks=st.integers(1, 12))
    def write_much(self, shard: int, chunks: int) -> None:
        """Around the ring, unless a pin is in the way."""
        for _ in range(chunks):
            self.write_chunk(shard, self.shape.chunk_steps)

    @rule(shard=st.integers(0, 2), store=st.integers(0, 40), half=st.booleans())
    def writer_dies(self, shard: int, store: int, half: bool) -> None:
        """In a chunk, or after it if it has fewer stores; a successor is there."""
        shard = shard % self.shape.n_actors
        rows = self.shape.chunk_steps
        if not self.blocked(shard, rows):
            try:
                with self.stores.counting(store, half=half):
                    self.write(shard, rows)
            except Died:
                story = self.past[shard]
                before = story.head
                story.settle(self.scribes[shard].writer.head)
                self.inserts += (story.head - before) * self.shape.lanes
                self.seen["died, committed" if story.head > before else "died"] += 1
        self.scribes[shard] = self.scribe(shard)

    # ---- readers -------------------------------------------------------------------------------

    @rule(index=st.integers(0, READERS - 1), younger=st.integers(0, 40))
    def pin(self, index: int, younger: int) -> None:
        """Pin, and work out from the lists what must be offered."""
        reading = self.readings[index]
        reading.min_stamp = max(reading.min_stamp, self.inserts - younger)
        heads = [story.head for story in self.past]
        tails = self.store.columns.header[:, HEADER_TAIL].tolist()
        shape = self.shape
        for shard, story in enumerate(self.past):
            # what the writer's next chunk does not touch
            kept = max(tails[shard], heads[shard] + shape.chunk_steps + 1 - shape.ring_rows, 0)
            first = kept + shape.n_frames - 1 if kept else 0
            first = min(max(first, reading.low[shard]), heads[shard])
            while first < heads[shard] and story.lanes[0][first].stamp < reading.min_stamp:
                first += 1
            reading.low[shard] = first
        reading.window = reading.reader.pin(reading.min_stamp)
        assert reading.window.low.tolist() == reading.low
        assert reading.window.head.tolist() == heads
        reading.expected = Expected(
            self.past,
            reading.low,
            heads,
            n_frames=shape.n_frames,
            n_step=shape.n_step,
            gamma=GAMMA,
        )
        assert reading.window.sampleable == len(reading.expected.cells)
        if reading.priorities is not None:
            old = reading.priorities
            reading.priorities = {
                cell: old.get(cell, reading.greatest) for cell in reading.expected.cells
            }
        reading.pins = self.store.columns.pins[:, index].tolist()
        for shard, pin in enumerate(reading.pins):
            assert tails[shard] <= pin <= reading.expected.oldest[shard]
            assert pin >= heads[shard] + shape.chunk_steps + 1 - shape.ring_rows

    def draw(self, reading: Reading, size: int = 0) -> None:
        """Draw from the window that is pinned, however long it has been."""
        assert reading.window is not None
        assert reading.expected is not None
        self.seen["sampled" if reading.expected.cells else "nothing to sample"] += 1
        past = [story.head for story in self.past]
        self.seen["sampled while written"] += past != reading.window.head.tolist()
        wrong = reading.expected.draw(
            reading.reader, reading.window, self.rng, size=size, priorities=reading.priorities
        )
        assert not wrong

    @rule(size=st.integers(1, 7))
    def learn(self, size: int) -> None:
        """Draw by priority; what the errors were is told later."""
        reading = self.readings[BY_PRIORITY]
        if reading.window is not None and reading.window.sampleable:
            batch = copy.deepcopy(reading.reader.sample(reading.window, size, self.rng))
            origin = reading.reader.origin(batch)
            columns = origin.shard.tolist(), batch.rows.tolist(), origin.lane.tolist()
            reading.learned = batch, list(zip(*columns, strict=True))

    @rule()
    def tell_priorities(self) -> None:
        """Perhaps of rows that are gone by now, or whose place another row has taken."""
        reading = self.readings[BY_PRIORITY]
        if reading.learned is None:
            return
        batch, cells = reading.learned
        errors = self.rng.uniform(-1.5, 1.5, len(cells)).astype(np.float32)
        before = reading.reader.stale_priorities
        reading.reader.write_priorities(batch.cells, batch.rows, errors)
        assert reading.priorities is not None
        late = 0
        for cell, error in zip(cells, errors.tolist(), strict=True):
            if cell in reading.priorities:
                priority = (abs(error) + RULE.epsilon) ** RULE.alpha
                reading.priorities[cell] = priority
                reading.greatest = max(reading.greatest, priority)
            else:
                late += 1
        assert reading.reader.stale_priorities - before == late
        self.seen["late priorities"] += late
        self.seen["priorities"] += len(cells) - late
        reading.learned = None

    @rule(index=st.integers(0, READERS - 1))
    def unpin(self, index: int) -> None:
        reading = self.readings[index]
        reading.reader.unpin()
        reading.window, reading.pins = None, []

    @rule(index=st.integers(0, READERS - 1), released=st.booleans())
    def reader_dies(self, index: int, released: bool) -> None:
        """With what it has pinned: that is let go by whoever buries it, or by its successor."""
        reading = self.readings[index]
        if released:
            self.store.release(index)
            reading.window, reading.pins = None, []
            for shard in range(self.shape.n_actors):
                if not self.blocked(shard, self.shape.chunk_steps):
                    self.write(shard, self.shape.chunk_steps)
        self.readings[index] = self.reading(index)
        assert (self.store.columns.pins[:, index] == -1).all()

    @rule(chunks=st.integers(1, 12), younger=st.integers(0, 40))
    def learn_while_others_write(self, chunks: int, younger: int) -> None:
        """And be late: what was learned from is overwritten meanwhile."""
        for index in range(READERS):
            self.unpin(index)
        self.pin(BY_PRIORITY, younger)
        self.learn(7)
        self.unpin(BY_PRIORITY)
        for shard in range(self.shape.n_actors):
            self.write_much(shard, chunks)
        self.pin(BY_PRIORITY, younger)
        self.tell_priorities()

    # ---- both ----------------------------------------------------------------------------------

    @rule()
    def save_and_load(self) -> None:
        """All rows go to new memory, with new writers and readers, as in a resumed run."""
        self.seen["loaded"] += 1
        saved = bytes(self.memory.buf)
        self.memory.buf[:] = bytes(len(saved))  # nobody may look at the old memory any more
        memory = Memory(len(saved))
        memory.buf[:] = saved
        self.map(memory)
        for index in range(READERS):
            self.store.release(index)
        self.hire()

    @precondition(lambda self: hasattr(self, "past"))
    @invariant()
    def what_is_pinned_can_be_drawn(self) -> None:
        for reading in self.readings:
            if reading.window is not None:
                self.draw(reading, size=7)

    def teardown(self) -> None:
        """Everything that may be drawn at the end is."""
        for index in range(READERS if hasattr(self, "past") else 0):
            self.pin(index, 40)
            self.draw(self.readings[index])

    @precondition(lambda self: hasattr(self, "past"))
    @invariant()
    def every_readable_row_is_whole(self) -> None:
        for story in self.past:
            assert not torn_rows(self.store.columns, story)
            assert not story.draft
        if any(story.head > 2 * self.shape.ring_rows for story in self.past):
            self.seen["wrapped twice"] += 1
