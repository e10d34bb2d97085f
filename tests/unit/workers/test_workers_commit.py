"""The real actor dies at every store it makes into the replay, and leaves whole rows.

``test_replay_commit`` does the same to the writer alone, with much more around it; here it is
everything that an actor and its environments store, wherever in the code that is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.replay.stores import Died, Stores
from tests.unit.workers.one_actor import CHUNK_STEPS, Run, one_actor
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.shard import ShardWriter
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.row_audit import RowAudit

CHUNKS = 11
"""Chunks before the one that is interrupted: the ring has wrapped."""


def watched(run: Run) -> tuple[PolicyReplay, Stores]:
    """The replay of a run, written through arrays that count."""
    replay = run[1].replays["default"]
    (memory,) = (
        segment.buf
        for segment in run[1]._segments
        if np.may_share_memory(np.frombuffer(segment.buf, np.uint8), replay.columns.header)
    )
    stores = Stores(memory)
    replay.columns = stores.watch(replay.columns)
    return replay, stores


def chunk(actor: Actor, number: int) -> None:
    actor.pull()
    actor.begin(Ticket(0, (number,)), CHUNK_STEPS)
    actor.rollout(CHUNK_STEPS, lambda: None)
    actor.commit()


def rows(replay: PolicyReplay) -> dict[int, bytes]:
    """The readable ones."""
    tail, head = (int(replay.columns.header[0, at]) for at in (HEADER_TAIL, HEADER_HEAD))
    assert 0 <= tail <= head
    slots = ((row, row % replay.layout.ring_rows) for row in range(tail, head))
    data = replay.columns.data()
    return {row: b"".join(column[0, slot].tobytes() for _, column in data) for row, slot in slots}


def until(run: Run, die_at: int | None = None, *, half: bool = False) -> tuple[int, int]:
    """Act, and die at a store of the last chunk: stores of it, and rows that are not whole."""
    replay, stores = watched(run)
    actor = build_actor(*run, 0)
    # something is audited in every chunk, whatever the time: each run makes the same stores
    actor.audit = RowAudit(actor.parts, run[0].spec.n_frames, False, share=1e9)
    written: dict[int, bytes] = {}
    for number in range(CHUNKS):
        chunk(actor, number)
        written |= rows(replay)
    assert replay.columns.header[0, HEADER_TAIL] > 0
    head = int(replay.columns.header[0, HEADER_HEAD])
    try:
        with stores.counting(die_at, half=half):
            chunk(actor, CHUNKS)
    except Died:
        left = rows(replay)
        actor.close()
        return stores.count, sum(row >= head or written[row] != left[row] for row in left)
    actor.close()
    return stores.count, -1


def test_an_actor_that_dies_at_any_store_leaves_whole_rows(tmp_path: Path) -> None:
    with one_actor(tmp_path) as run:
        count, _ = until(run)
    assert count > CHUNK_STEPS * 4, "the environments' stores are not counted"
    for store in range(count):
        for half in (False, True):
            if (store, half) >= (count - 2, True):
                continue  # the head has moved, and the audit is left: the new rows are readable
            folder = tmp_path / f"{store}{half}"
            folder.mkdir()
            with one_actor(folder) as run:
                made, torn = until(run, store, half=half)
            assert made == store
            assert torn == 0


def test_an_actor_whose_tail_stays_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the chunk it dies in, that is: before, the tail moves as it should."""
    true = ShardWriter._move_tail
    last = CHUNKS * CHUNK_STEPS + CHUNK_STEPS + 1

    def mutant(writer: ShardWriter, tail: int) -> bool:
        return tail == last - writer.ring.rows or true(writer, tail)

    monkeypatch.setattr(ShardWriter, "_move_tail", mutant)
    with one_actor(tmp_path) as run:
        assert until(run, 5)[1] > 0
