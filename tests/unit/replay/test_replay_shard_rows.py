"""Many rows at once, and observations written in place, against one row at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import layout, replay, stop_at
from tuitrain.replay.layout import BOUNDARY, CUT, MAX_AGE
from tuitrain.replay.shard import RowRefused, ShardWriter

PLAIN = layout(n_actors=1, envs_per_actor=2, capacity=12, learning_starts=0, max_lead_inserts=2)
LAYOUT = replace(PLAIN, spec=replace(PLAIN.spec, masked=True))
ROWS = 4


def rows_of(rng: np.random.Generator) -> dict[str, Any]:
    """What a chunk holds: outcomes of its rows, observations and marks of the rows after each."""
    cell = (ROWS, 2)
    return {
        "observation": rng.standard_normal((ROWS, 2, 4)).astype(np.float32),
        "action": rng.integers(0, 5, cell),
        "reward": rng.standard_normal(cell).astype(np.float32),
        "terminated": rng.random(cell) < 0.3,
        "truncated": rng.random(cell) < 0.3,
        "version": rng.integers(0, 9, ROWS),
        "age": rng.integers(0, MAX_AGE * 2, cell),
        "flags": (rng.random(cell) < 0.3).astype(np.uint8) * BOUNDARY,
        "legal": rng.random((*cell, 5)) < 0.5,
    }


OUTCOME = ("action", "reward", "terminated", "truncated", "version")


def at_once(writer: ShardWriter, row: int, chunk: dict[str, Any]) -> None:
    for place, observation in zip(
        writer.observations(row + 1, ROWS), chunk["observation"], strict=True
    ):
        place[:] = observation
    for place, legal in zip(writer.legal(row + 1, ROWS), chunk["legal"], strict=True):
        assert place is not None
        place[:] = legal
    writer.put_outcome(row, *(chunk[name] for name in OUTCOME), row)
    writer.put_marks(row + 1, chunk["age"], chunk["flags"])


def one_by_one(writer: ShardWriter, row: int, chunk: dict[str, Any]) -> None:
    for k in range(ROWS):
        writer.put_outcome(row + k, *(chunk[name][k] for name in OUTCOME), row)
        writer.put_observation(
            row + k + 1, chunk["observation"][k], chunk["age"][k], chunk["flags"][k]
        )
        writer.put_legal(row + k + 1, chunk["legal"][k])


def test_rows_at_once_are_the_rows_one_by_one_around_the_ring() -> None:
    digests = []
    for write in (at_once, one_by_one):
        writer, rng = replay(LAYOUT).writer(0), np.random.default_rng(0)
        for chunk in range(15):
            writer.begin(ROWS)
            if chunk == 0:
                writer.put_observation(0, np.zeros((2, 4), np.float32), np.zeros(2, int), 0)
                writer.put_legal(0, np.ones((2, 5), np.bool_))
            rows = rows_of(rng)
            write(writer, writer.head, rows)
            writer.commit(writer.head + ROWS)
        assert writer.head > 2 * writer.ring.rows
        assert writer.ring.rows % ROWS, "no chunk lay across the end of the ring"
        pending = writer.columns.age[0, writer.head % writer.ring.rows]
        assert pending.tolist() == np.minimum(rows["age"][-1], MAX_AGE).tolist()
        assert writer.columns.legal is not None
        waiting = writer.columns.legal[0, writer.head % writer.ring.rows]
        assert (waiting == rows["legal"][-1]).all()
        digests.append([(name, array.tobytes()) for name, array in writer.columns.data()])
    assert digests[0] == digests[1]


def readable(writer: ShardWriter) -> dict[int, bytes]:
    """Every row that may be read, with all that it holds."""
    columns, t = writer.columns, writer.ring.rows
    return {
        row: b"".join(array[0, row % t].tobytes() for _, array in columns.data())
        for row in range(writer.tail, writer.head)
    }


@pytest.mark.parametrize("reserves", [True, False], ids=["", "fault: keeps the tail"])
def test_a_writer_that_dies_anywhere_in_a_chunk_leaves_only_whole_rows(reserves: bool) -> None:
    torn = line = 0
    stopped = True
    while stopped:
        line += 1
        writer, rng = replay(LAYOUT).writer(0), np.random.default_rng(0)

        def chunk(writer: ShardWriter = writer, rng: np.random.Generator = rng) -> None:
            writer.begin(ROWS)
            at_once(writer, writer.head, rows_of(rng))
            writer.commit(writer.head + ROWS)

        for _ in range(8):
            chunk()
        if not reserves:
            writer._move_tail = lambda tail: True
        before, head = readable(writer), writer.head
        stopped = stop_at(line, "replay/shard.py", chunk)
        after = readable(writer)
        torn += sum(after[row] != before[row] for row in after if row < head)
        assert writer.head in (head, head + ROWS)
    assert line > 40
    assert (torn == 0) == reserves


def test_marks_of_a_successors_first_row_are_cut() -> None:
    store = replay(LAYOUT)
    first = store.writer(0)
    first.begin(2)
    at = np.zeros((2, 2), np.int64)
    first.commit(2)
    second = store.writer(0)
    second.begin(2)
    second.put_marks(2, at, BOUNDARY)
    flags = store.columns.flags[0]
    assert flags[2].tolist() == [BOUNDARY | CUT] * 2
    assert flags[3].tolist() == [BOUNDARY] * 2
    second.put_marks(3, at[0], 0)
    assert flags[2].tolist() == [BOUNDARY | CUT] * 2


@pytest.mark.parametrize(
    ("what", "bad"),
    [
        ("action", np.zeros((ROWS, 1), np.int64)),
        ("action", np.zeros((ROWS, 2), np.float32)),
        ("action", np.zeros((ROWS, 2, 1), np.int64)),
        ("reward", np.zeros((ROWS - 1, 2), np.float32)),
        ("reward", np.zeros((ROWS, 2), np.float64)),
        ("terminated", np.zeros(2, np.bool_)),
        ("truncated", np.zeros((ROWS, 2), np.uint8)),
        ("age", np.zeros((ROWS, 1), np.int64)),
        ("age", np.zeros((1, ROWS, 2), np.int64)),
    ],
)
def test_rows_of_other_shapes_and_dtypes_are_refused(what: str, bad: np.ndarray[Any, Any]) -> None:
    writer = replay(LAYOUT).writer(0)
    writer.begin(ROWS)
    with pytest.raises(RowRefused, match=rf"^{what} for shard 0 .*spec wants \(2,\)"):
        at_once(writer, 0, rows_of(np.random.default_rng(0)) | {what: bad})


def test_rows_that_are_not_reserved_are_refused() -> None:
    writer, chunk = replay(LAYOUT).writer(0), rows_of(np.random.default_rng(0))
    writer.begin(ROWS)
    with pytest.raises(RowRefused, match=rf"row {ROWS + 1} .*rows 0 to {ROWS} are"):
        writer.observations(2, ROWS)
    with pytest.raises(RowRefused, match=rf"row {ROWS + 1} .*rows 0 to {ROWS} are"):
        writer.legal(2, ROWS)
    with pytest.raises(RowRefused, match=rf"row {ROWS + 1} .*rows 0 to {ROWS} are"):
        writer.put_legal(ROWS + 1, chunk["legal"][0])
    with pytest.raises(RowRefused, match=rf"row {ROWS} .*rows 0 to {ROWS - 1} are"):
        writer.put_outcome(1, *(chunk[name] for name in OUTCOME), 0)
    with pytest.raises(RowRefused, match=rf"row {ROWS + 1} .*rows 0 to {ROWS} are"):
        writer.put_marks(2, chunk["age"], 0)
    with pytest.raises(RowRefused, match="row -1"):
        writer.observations(-1, 2)


def test_flags_are_added_to_marks_around_the_ring_and_only_in_reserved_rows() -> None:
    writer, rng = replay(PLAIN).writer(0), np.random.default_rng(0)
    for chunk in range(15):
        writer.begin(ROWS)
        head, at = writer.head, np.zeros((ROWS + 1, 2), int)
        before = (rng.random((ROWS + 1, 2)) < 0.5).astype(np.uint8) * BOUNDARY
        more = (rng.random((ROWS + 1, 2)) < 0.5).astype(np.uint8) * CUT
        writer.put_marks(head, at, before)
        writer.add_flags(head, more)
        slots = np.arange(head, head + ROWS + 1) % writer.ring.rows
        assert (writer.columns.flags[0, slots] == before | more).all(), chunk
        with pytest.raises(RowRefused, match=f"row {head + ROWS + 1} of shard 0 is not reserved"):
            writer.add_flags(head + 1, more)
        with pytest.raises(RowRefused, match="flags for shard 0"):
            writer.add_flags(head, more.astype(np.int64))
        writer.put_observation(head, np.zeros((2, 4), np.float32), at[0], 0)
        for row in range(head, head + ROWS):
            paid, ends = np.zeros(2, np.float32), np.zeros(2, np.bool_)
            writer.put_outcome(row, at[0], paid, ends, ends, 0, 0)
        writer.commit(head + ROWS)


@pytest.mark.parametrize(
    "bad", [np.ones((2, 4), np.bool_), np.ones((2, 5), np.uint8), np.ones(2, np.bool_)]
)
def test_legal_actions_of_another_form_are_refused(bad: np.ndarray[Any, Any]) -> None:
    writer = replay(LAYOUT).writer(0)
    writer.begin(ROWS)
    with pytest.raises(RowRefused, match=r"^legal for shard 0 .*spec wants \(2, 5\) of bool"):
        writer.put_legal(0, bad)


def test_a_policy_that_is_not_masked_has_no_place_for_legal_actions() -> None:
    writer = replay(PLAIN).writer(0)
    writer.begin(ROWS)
    assert list(writer.legal(0, ROWS + 1)) == [None] * (ROWS + 1)
    with pytest.raises(RowRefused, match="not masked"):
        writer.put_legal(0, np.ones((2, 5), np.bool_))
