"""The live audit: honest rows of every kind pass, and each fault is counted under its own name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.replay.faulty import EndsLate, HeadFirst, NoBoundaries, PassesPins, TailStays
from tests.unit.replay.helpers import Memory, NullLock, layout
from tests.unit.replay.stores import Died, Stores
from tests.unit.replay.story import TAGS, Scribe, stories
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay import auditor as auditor_module
from tuitrain.replay import index as index_module
from tuitrain.replay.audit import AFTERMATH, MOST_CREDIT_S, Budget, Entry, checksum, stack_hash
from tuitrain.replay.audit_trail import between
from tuitrain.replay.auditor import TOLD, Auditor
from tuitrain.replay.buffer import PolicyReplay, ReplayReader
from tuitrain.replay.layout import AUDITS, HEADER_AUDITS, ReplayLayout
from tuitrain.replay.shard import ShardWriter
from tuitrain.replay.window import stack_rows

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


# ---- honest ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_step", [1, 2, 5])
@pytest.mark.parametrize("n_frames", [1, 2, 4])
def test_honest_rows_of_every_kind_pass(n_frames: int, n_step: int) -> None:
    """Wrapped several times, with absences, legal actions, and successors amid episodes."""
    for dtype, masked in (("float32", False), ("uint8", True)):
        # tags wrap in a uint8, as pixels may: the two sides must agree all the same
        place = Place(n_frames, n_step, dtype=dtype, masked=masked)
        for _ in range(60):
            place.write()
            place.look()
            if place.rng.random() < 0.15:
                place.succeed()
        assert place.store.columns.header[0, 0] > 2 * place.shape.ring_rows
        assert not any(place.counts().values()), place.auditor.news()
        assert place.auditor.counts.audited > 1000


def test_a_reader_that_comes_later_takes_up_what_is_there() -> None:
    place = Place()
    place.write(8)
    late = place.store.reader(0, GAMMA, None, ALWAYS)
    assert late.auditor is not None
    late.auditor.look(late.sample(late.pin(), 500, place.rng))
    assert late.auditor.counts.audited > 50
    assert not late.auditor.news()


def test_without_an_audit_there_is_no_auditor() -> None:
    assert Place().store.reader(0, GAMMA).auditor is None


def test_whatever_is_drawn_is_the_same_with_an_audit() -> None:
    place = Place()
    place.write(8)
    plain, audited = place.store.reader(0, GAMMA), place.store.reader(0, GAMMA, None, ALWAYS)
    drawn = [
        reader.sample(reader.pin(), 64, np.random.default_rng(1)) for reader in (plain, audited)
    ]
    assert (drawn[0].cells == drawn[1].cells).all()
    assert (drawn[0].state == drawn[1].state).all()


# ---- faults ------------------------------------------------------------------------------------


def filled(**kind: Any) -> tuple[Place, Entry, Any]:
    """A replay, an entry of a row that can be drawn in it, and the pinned window."""
    place = Place(**kind)
    place.write(12)
    window = place.reader.pin()
    drawable = set(place.reader.sample(window, 2000, place.rng).cells.tolist())
    lanes, rows = place.shape.lanes, place.shape.ring_rows
    entries = [
        entry
        for entry in place.scribe.entries
        if entry.row >= window.low[0] and (entry.row % rows) * lanes + entry.lane in drawable
    ]
    # one with a whole stack behind it, so that damage to any of its frames can be made
    (entry, *_) = [e for e in entries if e.history == place.shape.n_frames - 1]
    return place, entry, window


@pytest.mark.parametrize("masked", [False, True])
def test_any_damaged_byte_of_an_audited_row_is_counted_as_its_checksum(masked: bool) -> None:
    place, entry, window = filled(masked=masked)
    slot, looked = entry.row % place.shape.ring_rows, 0
    for name, column in place.store.columns.data():
        of_lane = column[0, slot:] if column.ndim == 2 else column[0, slot, entry.lane :]
        content = of_lane[:1].reshape(-1).view(np.uint8)
        for byte in range(len(content)):
            content[byte] ^= 0x10
            before = place.counts()["checksum_failures"]
            place.draw(window, 400)
            assert place.counts()["checksum_failures"] > before, name
            content[byte] ^= 0x10
            looked += 1
    assert looked >= 8 + 8 + 4 * TAGS + 4 + 4 + 1 + 1 + 2 + 1 + 5 * masked
    assert place.only("checksum_failures")
    (told,) = place.auditor.news()
    assert f"shard 0, row {entry.row}, lane {entry.lane}: its checksum is" in told
    assert not place.auditor.news()


def test_a_few_rows_are_told_of_and_each_once() -> None:
    place, _, window = filled()
    place.store.columns.reward[:] += 1
    for _ in range(3):
        place.draw(window, 1000)
    told = place.auditor.news()
    assert len(set(told)) == len(told) == TOLD
    assert place.auditor.counts.checksum_failures > 10 * TOLD


def test_a_damaged_frame_before_the_row_is_its_checksum_too() -> None:
    place, entry, window = filled()
    columns, rows = place.store.columns, place.shape.ring_rows
    columns.observation[0, (entry.row - 2) % rows, entry.lane, 1] += 1
    place.draw(window)
    assert place.only("checksum_failures")


@pytest.mark.parametrize("name", ["row", "lane", "history", "stack", "checksum"])
def test_a_damaged_entry_is_never_taken_for_another_fault(name: str) -> None:
    place = Place()
    for _ in range(40):
        place.write()
        slot = (int(place.store.columns.header[0, HEADER_AUDITS]) - 1) % AUDITS
        place.store.columns.audits[0, slot][name] ^= 2
        place.look()
    found = place.counts()
    assert found.pop("checksum_failures") + (name == "lane") > 0
    assert not any(found.values())


@pytest.mark.parametrize("n_frames", [1, 3])
def test_frames_of_an_actors_own_memory_are_counted_as_disagreements(
    n_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noting, "late", 1)
    place = Place(n_frames)
    place.write(12)
    place.look()
    assert place.only("stack_disagreements")
    assert "the actor acted on frames with the hash" in place.auditor.news()[0]


@pytest.mark.parametrize(
    ("mutant", "n_step"), [(NoBoundaries, 1), (NoBoundaries, 3), (EndsLate, 3)]
)
def test_a_writer_that_forgets_where_episodes_end_is_counted_as_crossing(
    mutant: type[ShardWriter], n_step: int
) -> None:
    place = Place(n_step=n_step, writer=mutant)
    for _ in range(40):
        place.write()
        place.look()
    assert place.only("cross_episode_samples")


def test_a_row_that_a_cut_should_part_from_the_next_is_counted_as_crossing() -> None:
    place, entry, window = filled(n_step=1)
    # the reader has taken the row up already, as one that leads to the next
    place.store.columns.flags[0, (entry.row + 1) % place.shape.ring_rows] |= 2
    place.draw(window)
    assert place.counts()["cross_episode_samples"] > 0
    assert any("is another episode's" in text for text in place.auditor.news())


def _stacks_forget_age(rows: Any, age: Any, n_frames: int) -> Any:
    return stack_rows(rows, np.full_like(age, n_frames), n_frames)


def test_a_learner_that_stacks_across_episodes_is_counted_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its frames are not those that were acted on, and not of one episode."""
    monkeypatch.setattr(index_module, "stack_rows", _stacks_forget_age)
    place = Place()
    for _ in range(20):
        place.write()
        place.look()
    found = place.counts()
    assert found["stack_disagreements"] > 0
    assert found["cross_episode_samples"] >= found["stack_disagreements"]
    assert found["checksum_failures"] == 0


def test_bootstrapping_past_an_end_is_counted_as_crossing(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = index_module.n_step

    def through(*args: Any, **kwargs: Any) -> Any:
        found = honest(*args, **kwargs)
        found.discount[:] = GAMMA
        return found

    monkeypatch.setattr(index_module, "n_step", through)
    place = Place(n_step=1)
    for _ in range(20):
        place.write()
        place.look()
    assert place.only("cross_episode_samples")
    assert "though the episode terminated" in place.auditor.news()[0]


@pytest.mark.parametrize("mutant", [TailStays, PassesPins])
def test_rows_that_are_overwritten_under_a_pin_are_counted_as_their_checksum(
    mutant: type[ShardWriter],
) -> None:
    place = Place(writer=mutant)
    place.write(8)
    window = place.reader.pin()
    for _ in range(place.shape.ring_rows // 3):
        place.write()
        place.draw(window)
    assert place.only("checksum_failures")


class SeenTooEarly(HeadFirst):
    """A reader comes by when the head has moved and the rows are not there."""

    reader: ReplayReader

    def begin(self, rows: int, wait: Any = None) -> None:
        super().begin(rows, wait)
        self.reader.pin()
        self.reader.unpin()


def test_a_head_that_comes_before_its_rows_is_counted_as_their_checksum() -> None:
    """The reader has taken up what lay there before, and learns from that."""
    place = Place(n_frames=1, n_step=1, writer=SeenTooEarly)
    SeenTooEarly.reader = place.reader
    for _ in range(40):
        place.write()
        place.look()
    assert place.counts()["checksum_failures"] > 0
    assert place.counts()["stack_disagreements"] == 0


# ---- the trail ---------------------------------------------------------------------------------


def stores_of_a_chunk(seed: int) -> int:
    place = Place(seed=seed)
    place.write(30)
    with place.stores.counting():
        place.write()
    return place.stores.count


def test_a_writer_that_dies_at_any_store_leaves_entries_of_its_own_rows_alone() -> None:
    cases = [(0, store) for store in range(stores_of_a_chunk(0))]
    # between head and entry, the last two, in several lives: the entry may be of any row
    cases += [(seed, stores_of_a_chunk(seed) - 1) for seed in range(1, 9)]
    for seed, store in cases:
        for half in (False, True):
            place = Place(seed=seed)
            place.write(30)
            with pytest.raises(Died), place.stores.counting(store, half=half):
                place.write()
            place.story.settle(place.scribe.writer.head)
            place.succeed()
            for _ in range(6):
                place.look()
                place.write()
            place.look()
            assert not any(place.counts().values()), (store, half, place.auditor.news())
            assert place.auditor.counts.audited > 50


def test_an_entry_that_is_being_written_is_not_read() -> None:
    place = Place()
    place.write(AUDITS + 5)
    columns, count = place.store.columns, AUDITS + 5
    entries = between(columns, 0, 0, count)
    assert entries == place.scribe.entries[-AUDITS + 1 :]
    place.scribe.writer.trail.put(Entry(7, 0, 0, 0, 0))
    assert between(columns, 0, 0, count) == entries
    assert between(columns, 0, count - 2, count) == entries[-2:]
    assert between(columns, 0, count, count) == []


def test_what_is_noted_is_seen_with_its_row_and_not_before() -> None:
    place = Place()
    place.write(4)
    columns = place.store.columns
    before = int(columns.header[0, HEADER_AUDITS])
    writer = place.scribe.writer
    writer.begin(1)
    writer.trail.put(Entry(writer.head, 0, 0, 0, 0))
    assert columns.header[0, HEADER_AUDITS] == before == 4
    place.scribe._commit(writer.head)  # a commit without the row
    assert columns.header[0, HEADER_AUDITS] == before


def test_only_so_many_entries_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor_module, "KEPT", 3)
    place = Place()
    for _ in range(30):
        place.write()
        place.look()
        assert len(place.auditor._entries) <= 3
        assert place.auditor._marked.sum() == len(place.auditor._entries)
    assert place.auditor.counts.audited > 50


# ---- time --------------------------------------------------------------------------------------


def test_at_most_the_share_of_the_time_is_spent() -> None:
    budget = Budget(0.01, now=100.0)
    now, spent = 100.0, 0.0
    for _ in range(10_000):
        now += 0.001
        if budget.allows(now):
            budget.spend(0.0002)
            now += 0.0002
            spent += 0.0002 * AFTERMATH
    assert 0.009 < spent / (now - 100.0) < 0.0101
    assert budget.spent_share(now) == pytest.approx(spent / (now - 100.0))


def test_a_share_of_nothing_permits_nothing_and_a_rest_permits_no_burst() -> None:
    none, some = Budget(0.0, 0.0), Budget(0.5, 0.0)
    assert not none.allows(1e9)
    assert some.allows(1e9)
    some.spend(MOST_CREDIT_S)
    assert not some.allows(1e9)


def test_work_begins_when_there_is_time_for_some_of_it_and_goes_on_until_it_is_spent() -> None:
    budget = Budget(0.01, 0.0, enough_s=0.005)
    assert not budget.allows(0.4)
    assert budget.allows(0.6)
    budget.spend(0.004 / AFTERMATH)
    assert budget.allows(0.6)
    budget.spend(0.004 / AFTERMATH)
    assert not budget.allows(0.6)
    assert not budget.allows(0.9)
    assert budget.allows(1.5)


def test_an_auditor_stops_when_its_time_is_spent() -> None:
    place = Place()
    place.write(8)
    ticks = iter(range(10**6))
    # every look at the clock is a millisecond later, and there is time for two or three rows
    auditor = Auditor(
        place.shape,
        place.store.columns,
        place.reader._index,
        0.2,
        lambda: next(ticks) / 1000,
    )
    window = place.reader.pin()
    batch = place.reader.sample(window, 500, place.rng)
    auditor.take_in(0)
    while not auditor.due():
        pass
    auditor.look(batch)
    assert 1 <= auditor.counts.audited <= 3
    while not auditor.due():
        pass
    auditor.look(batch)
    assert 2 <= auditor.counts.audited <= 6
    assert auditor.record()["audit_share"] > 0
