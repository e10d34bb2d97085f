"""The commit protocol: what a reader can see of a writer, whenever either of them stops."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import Feeder, layout, replay, stop_at
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.layout import CUT, MAX_AGE
from tuitrain.replay.shard import RowRefused, ShardBlocked, ShardTaken, ShardWriter

SMALL = layout(n_actors=1, envs_per_actor=2, capacity=12, learning_starts=0, max_lead_inserts=2)


def feeder(seed: int = 0) -> Feeder:
    return Feeder(replay(SMALL).writer(0), np.random.default_rng(seed))


def readable(writer: ShardWriter) -> list[int]:
    return list(range(writer.tail, writer.head))


def torn_rows(feed: Feeder, copy: dict[int, bytes]) -> list[int]:
    """Readable rows that are not what was committed as that row."""
    return [row for row in readable(feed.writer) if row_bytes(feed, row) != copy[row]]


def row_bytes(feed: Feeder, row: int) -> bytes:
    columns, slot = feed.writer.columns, row % feed.writer.ring.rows
    return b"".join(array[0, slot].tobytes() for _, array in columns.data())


def remember(feed: Feeder, copy: dict[int, bytes]) -> None:
    copy.update({row: row_bytes(feed, row) for row in readable(feed.writer)})


def test_the_tail_moves_before_the_first_store_and_the_head_after_the_last() -> None:
    feed = feeder()
    t = feed.writer.ring.rows
    while feed.row + 4 + 1 <= t:
        feed.write_chunk(4)
        assert feed.writer.tail == 0
    head = feed.writer.head
    feed.writer.begin(4)
    assert feed.writer.tail == head + 4 + 1 - t > 0
    assert feed.writer.head == head
    feed.writer.begin(4)  # reserved already: nothing moves
    assert feed.writer.tail == head + 4 + 1 - t


def stopped_anywhere(break_writer: Callable[[ShardWriter], None] | None = None) -> int:
    """Stop a writer before every line of a chunk it writes around the wrap; count torn rows."""
    torn = line = 0
    stopped = True
    while stopped:
        line += 1
        feed = feeder()
        for _ in range(8):
            feed.write_chunk(4)
        assert feed.writer.tail > 0
        if break_writer:
            break_writer(feed.writer)
        before: dict[int, bytes] = {}
        remember(feed, before)
        head = feed.writer.head
        stopped = stop_at(line, "replay/shard.py", lambda f=feed: f.write_chunk(4))
        if feed.writer.head == head:
            torn += len(torn_rows(feed, before))
        else:
            assert feed.writer.head == head + 4
            torn += len(readable(feed.writer)) != feed.writer.ring.rows - 1
    assert line > 50
    return torn


def test_a_writer_that_dies_anywhere_leaves_only_whole_rows() -> None:
    assert stopped_anywhere() == 0


def test_a_writer_that_does_not_move_the_tail_is_caught() -> None:
    def break_writer(writer: ShardWriter) -> None:
        writer._move_tail = lambda tail: True

    assert stopped_anywhere(break_writer) > 0


def test_a_pin_holds_the_tail() -> None:
    feed = feeder()
    for _ in range(8):
        feed.write_chunk(4)
    pins = feed.writer.columns.pins[0]
    pins[0] = feed.writer.tail + 1
    tail = feed.writer.tail
    with pytest.raises(ShardBlocked, match=f"release row {tail + 1}"):
        feed.writer.begin(4)
    assert feed.writer.tail == tail

    asked: list[str] = []

    def wait(predicate: Callable[[], bool], reason: str) -> None:
        asked.append(reason)
        assert not predicate()
        pins[0] = tail + 2
        assert not predicate()
        if len(asked) == 2:
            pins[0] = -1
            assert predicate()

    feed.writer.begin(4, wait)
    assert len(asked) == 2, "woken too early, the writer must wait again"
    assert feed.writer.tail == tail + 4


def test_a_pin_on_rows_that_stay_is_not_in_the_way() -> None:
    feed = feeder()
    for _ in range(8):
        feed.write_chunk(4)
    feed.writer.columns.pins[0, 0] = feed.writer.tail + 4
    feed.writer.begin(4)


@pytest.mark.parametrize(
    ("what", "bad"),
    [
        ("observation", np.zeros((1, 2, 4), np.float32)),
        ("observation", np.zeros((4,), np.float32)),
        ("observation", np.zeros((4, 2), np.float32)),
        ("observation", np.zeros((1, 4), np.float32)),
        ("observation", np.zeros((2, 4), np.float64)),
        ("observation", np.zeros((2, 4), np.uint8)),
        ("age", np.zeros(1, np.int64)),
        ("action", np.zeros(1, np.int64)),
        ("action", np.zeros((2, 1), np.int64)),
        ("action", np.zeros(2, np.float32)),
        ("reward", np.zeros(2, np.float64)),
        ("reward", np.zeros((2, 1), np.float32)),
        ("terminated", np.zeros(2, np.int8)),
        ("terminated", np.zeros(1, bool)),
        ("truncated", np.zeros(2, np.float32)),
        ("truncated", np.zeros(3, bool)),
    ],
)
def test_other_shapes_and_dtypes_are_refused(what: str, bad: np.ndarray[Any, Any]) -> None:
    writer = replay(SMALL).writer(0)
    writer.begin(1)
    good: dict[str, Any] = {
        "observation": np.zeros((2, 4), np.float32),
        "age": np.zeros(2, np.int64),
        "action": np.zeros(2, np.int64),
        "reward": np.zeros(2, np.float32),
        "terminated": np.zeros(2, bool),
        "truncated": np.zeros(2, bool),
    } | {what: bad}
    outcome = [good[name] for name in ("action", "reward", "terminated", "truncated")]

    def put() -> None:
        writer.put_observation(0, good["observation"], good["age"], 0)
        writer.put_outcome(0, *outcome, version=1, stamp=0)

    with pytest.raises(RowRefused) as error:
        put()
    text = str(error.value)
    assert text.startswith(what)
    assert str(bad.shape) in text
    assert str(bad.dtype) in text
    assert "(2, 4) of float32" in text or "(2,) of" in text
    assert "lanes of agent" in text


def test_the_good_row_is_not_refused() -> None:
    writer = replay(SMALL).writer(0)
    writer.begin(1)
    writer.put_observation(0, np.zeros((2, 4), np.float32), np.array([0, MAX_AGE + 9]), 0)
    assert writer.columns.age[0, 0].tolist() == [0, MAX_AGE]
    flat = np.zeros(2, bool)
    writer.put_outcome(0, np.zeros(2, np.int32), np.zeros(2, np.float32), flat, flat, 1, 0)


def test_an_observation_of_another_policy_is_refused() -> None:
    """Agents of another shape, and images where vectors are expected."""
    image = replay(layout(spec=PolicySpec((8, 8), "uint8", 2, ("a", "b")), n_actors=1)).writer(0)
    image.begin(1)
    with pytest.raises(RowRefused, match=r"got shape \(6, 4\) of float32.*\(6, 8, 8\) of uint8"):
        image.put_observation(0, np.zeros((6, 4), np.float32), np.zeros(6, np.int64), 0)


def test_only_reserved_rows_can_be_written() -> None:
    feed = feeder()
    writer, none = feed.writer, np.zeros(2, bool)
    outcome = (np.zeros(2, np.int64), np.zeros(2, np.float32), none, none, 0, 0)
    feed.write_chunk(4)
    writer.begin(2)
    writer.put_observation(6, feed.observation(), feed.step, 0)
    for row in (3, 7):
        with pytest.raises(RowRefused, match="rows 4 to 6"):
            writer.put_observation(row, feed.observation(), feed.step, 0)
    for row in (3, 6):
        with pytest.raises(RowRefused, match="rows 4 to 5"):
            writer.put_outcome(row, *outcome)
    for head in (3, 7):
        with pytest.raises(RowRefused, match=f"row {head}"):
            writer.commit(head)
    writer.commit(5)  # a chunk may end early
    assert writer.head == 5
    for rows in (0, writer.ring.rows):
        with pytest.raises(ValueError, match="cannot be reserved"):
            writer.begin(rows)


def succeeded(mark: bool) -> tuple[list[int], int]:
    """Samples drawn around the death of a writer: all their rows, and the first row after it."""
    store, rng = replay(SMALL), np.random.default_rng(0)
    first = Feeder(store.writer(0), rng, end_chance=0.0)
    first.write_chunk(4)
    first.writer.begin(4)  # dies with a chunk half written
    first.writer.put_observation(5, first.observation(), first.step, 0)
    second = Feeder(store.writer(0), rng, end_chance=0.0, row=4)
    second.episode += 1
    second.writer.begin(4)
    if not mark:
        second.writer._cut_at = -1
    second.writer.put_observation(4, second.observation(), second.step, 0)
    second.write_chunk(4)
    reader = store.reader(0, 0.9)
    batch = reader.sample(reader.pin(), 200, rng)
    return sorted(set(batch.rows.tolist())), second.writer.columns.flags[0, 4, 0]


def test_no_transition_leads_from_a_dead_writer_to_its_successor() -> None:
    """Though neither ended an episode, and though the caller did not mark the cut."""
    assert succeeded(mark=True) == ([0, 1, 4, 5], CUT)
    assert succeeded(mark=False) == ([0, 1, 2, 3, 4, 5], 0)


def test_nothing_that_writes_can_be_pickled() -> None:
    with pytest.raises(TypeError, match=r"PolicyReplay\.writer"):
        pickle.dumps(feeder().writer)
    with pytest.raises(TypeError, match=r"ReplayLayout\.columns"):
        pickle.dumps(feeder().writer.columns)


def test_there_is_no_shard_beyond_the_last() -> None:
    with pytest.raises((ValueError, IndexError)):
        replay(SMALL).writer(1)


def test_a_writer_that_was_taken_for_dead_is_refused() -> None:
    """Also where it has written its rows already: they are not made readable."""
    store = replay(SMALL)
    first = Feeder(store.writer(0), np.random.default_rng(0))
    first.write_chunk(4)
    first.writer.begin(4)
    second = Feeder(store.writer(0), np.random.default_rng(1), row=4)
    with pytest.raises(ShardTaken, match="another writer has taken over shard 0"):
        first.writer.commit(8)
    with pytest.raises(ShardTaken):
        first.writer.begin(4)
    assert second.writer.head == 4
    second.writer.begin(4)
    second.cut()
    second.write_chunk(4)
    assert second.writer.head == 8
