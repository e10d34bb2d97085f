"""The trail of noted rows: seen with its row, never half, and only so much of it is kept."""

from __future__ import annotations

import pytest

from tests.unit.replay.audited import Place
from tests.unit.replay.stores import Died
from tuitrain.replay import auditor as auditor_module
from tuitrain.replay.audit import Entry
from tuitrain.replay.audit_trail import between
from tuitrain.replay.layout import AUDITS, HEADER_AUDITS


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
