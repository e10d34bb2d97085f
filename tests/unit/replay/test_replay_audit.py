"""The live audit: honest rows of every kind pass, and each fault is counted under its own name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.replay.audited import ALWAYS, GAMMA, Noting, Place
from tests.unit.replay.faulty import EndsLate, HeadFirst, NoBoundaries, PassesPins, TailStays
from tests.unit.replay.story import TAGS
from tuitrain.replay import index as index_module
from tuitrain.replay.audit import Entry
from tuitrain.replay.auditor import TOLD
from tuitrain.replay.buffer import ReplayReader
from tuitrain.replay.layout import AUDITS, HEADER_AUDITS
from tuitrain.replay.shard import ShardWriter
from tuitrain.replay.window import stack_rows

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
