"""A small replay whose writer notes rows for the live audit, and its reader."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.replay.helpers import Memory, NullLock, layout
from tests.unit.replay.stores import Stores
from tests.unit.replay.story import TAGS, Scribe, stories
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.audit import Entry, checksum, stack_hash
from tuitrain.replay.auditor import Auditor
from tuitrain.replay.buffer import PolicyReplay, ReplayReader
from tuitrain.replay.layout import ReplayLayout
from tuitrain.replay.shard import ShardWriter

GAMMA = 0.9
ALWAYS = 1e9
"""A share at which there is time for everything."""


class Noting(Scribe):
    """Notes one lane of one row of every chunk, by its story alone; entries are kept in a list."""

    late = 0
    """Rows by which the frames that it acts on are too old."""

    def __init__(self, *args: Any, n_frames: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries: list[Entry] = []
        self._n_frames = n_frames
        self._commit = self.writer.commit
        self.writer.commit = self._note_and_commit  # type: ignore[method-assign]

    def _note_and_commit(self, head: int) -> None:
        story, writer = self.story, self.writer
        row = int(self._rng.integers(story.head, head))
        lane = int(self._rng.integers(len(story.lanes)))
        past = [*story.lanes[lane], *(lines[lane] for lines in story.draft)]
        line = past[row]
        idle = line.boundary or line.absent
        history = -1 if idle else min(line.step, self._n_frames - 1)
        back = reversed(range(self.late, self.late + self._n_frames))
        rows = [max(row - k, row - line.step) for k in back]
        seen = np.array([past[at].tags for at in rows]).astype(writer.observation_dtype)
        entry = Entry(row, lane, history, stack_hash(seen), 0)
        entry = entry._replace(
            checksum=checksum(writer.columns, writer.shard, entry, self._n_frames)
        )
        self.entries.append(entry)
        writer.trail.put(entry)
        self._commit(head)


class Place:
    """A small replay of one shard, whose writer notes something of every chunk, and its reader."""

    def __init__(
        self,
        n_frames: int = 3,
        n_step: int = 2,
        *,
        dtype: str = "float32",
        masked: bool = False,
        writer: type[ShardWriter] = ShardWriter,
        seed: int = 0,
    ) -> None:
        self.shape: ReplayLayout = layout(
            spec=PolicySpec((TAGS,), dtype, 5, ("agent",), masked=masked),
            n_frames=n_frames,
            n_step=n_step,
            n_actors=1,
            envs_per_actor=2,
            chunk_steps=3,
            capacity=24,
            learning_starts=0,
            max_lead_inserts=0,
        )
        self.memory = Memory(self.shape.nbytes)
        lock: Any = NullLock()
        self.store = PolicyReplay(self.shape, self.memory, [lock])
        self.store.initialise()
        self.stores = Stores(self.memory.buf)
        self._columns = self.stores.watch(self.store.columns)
        self._kind = writer
        # a story's absences come amid episodes, and longer returns would pass them
        self._absent_chance = 0.1 * (n_step == 1)
        self.rng = np.random.default_rng([seed, n_frames, n_step])
        (self.story,) = stories(1, self.shape.lanes)
        self.scribe = self.succeed()
        self.reader: ReplayReader = self.store.reader(0, GAMMA, None, ALWAYS)
        assert self.reader.auditor is not None
        self.auditor: Auditor = self.reader.auditor

    def succeed(self) -> Noting:
        """The shard has a new writer."""
        lock: Any = NullLock()
        writer = self._kind(self._columns, 0, lock)
        self.scribe = Noting(
            writer,
            self.story,
            self.rng,
            n_frames=self.shape.n_frames,
            absent_chance=self._absent_chance,
            in_place=bool(self.rng.random() < 0.5),
        )
        return self.scribe

    def write(self, chunks: int = 1) -> None:
        for _ in range(chunks):
            self.scribe.write(3, stamp=self.story.head, version=self.story.head)

    def look(self, size: int = 200) -> None:
        """Draw from a fresh window, and look at it."""
        window = self.reader.pin()
        self.draw(window, size)
        self.reader.unpin()

    def draw(self, window: Any, size: int = 200) -> None:
        if window.sampleable:
            self.auditor.look(self.reader.sample(window, size, self.rng))

    def counts(self) -> dict[str, int]:
        """What was wrong."""
        found = dict(vars(self.auditor.counts))
        found.pop("audited")
        return found

    def only(self, name: str) -> bool:
        """Whether only this was wrong, and something was."""
        found = self.counts()
        return found.pop(name) > 0 and not any(found.values())
