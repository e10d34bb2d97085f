"""The lock under fire: readers that always overlap, and processes that are killed at random."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.replay.lock_jobs import READERS, Pair, Relay, page, without_gate
from tests.unit.replay.lock_processes import Start, Worker, mine, until, use
from tuitrain.replay.lock import LockFile, LockTimeout

SEATS = range(4)
STOPPED_FOR_S = 0.5
"""Long enough that, behind somebody who is stopped, all others have come to rest."""


@pytest.fixture
def words(tmp_path: Path) -> memoryview:
    path = tmp_path / "page"
    path.write_bytes(bytes(8 * max(Relay.WORDS, Pair.WORDS)))
    return page(path)


def overlapping(start: Start, words: memoryview, path: Path, gate: str, hold_s: float) -> None:
    """Start the readers; return when each has had its turn, and so has been followed by another."""
    for me in range(READERS):
        start(60.0).channels[0].say(f"job overlap {gate} {me} {hold_s} {path}")
    turns = set()

    def all_have_had_a_turn() -> bool:
        turns.add(words[Relay.TURN])
        return turns == set(range(READERS)) and any(words[:READERS])

    until(all_have_had_a_turn)


def reads(words: memoryview) -> int:
    return sum(words[Relay.ACQUISITIONS : Relay.ACQUISITIONS + READERS])


@pytest.mark.parametrize("times", [50, pytest.param(5000, marks=pytest.mark.long)])
def test_overlapping_readers_do_not_starve_a_writer(
    file: LockFile, start: Start, words: memoryview, tmp_path: Path, times: int
) -> None:
    """Readers of 2 ms. Between asking and having it, few of them get in before the writer."""
    overlapping(start, words, tmp_path / "page", "gate", 0.002)
    lock = file.rwlock(0, "thing", 60.0)
    overtaken = []
    for _ in range(times):
        until(lambda: any(words[:READERS]))
        before = reads(words)
        with lock.write():
            overtaken.append(reads(words) - before)
            assert not any(words[:READERS])
    words[Relay.STOP] = 1
    # Each reader may enter once between the count and the gate being taken, and one may be in the
    # gate; the rest is room for a writer that is not scheduled between the two.
    assert sorted(overtaken)[len(overtaken) // 2] <= 2 * READERS
    assert lock.stats().acquisitions == times


def test_without_a_gate_they_do(
    file: LockFile, start: Start, words: memoryview, tmp_path: Path
) -> None:
    overlapping(start, words, tmp_path / "page", "no-gate", 5.0)
    lock = mine(file, 0.5)
    without_gate(lock)
    with pytest.raises(LockTimeout):
        use(lock, "write")
    words[Relay.STOP] = 1


# ---- killed at random ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kills", "stops"), [(60, 5), pytest.param(15_000, 200, marks=pytest.mark.long)]
)
def test_killed_and_stopped_at_random_nobody_keeps_it_and_nobody_reads_halves(
    file: LockFile, start: Start, words: memoryview, tmp_path: Path, kills: int, stops: int
) -> None:
    """Four processes read and write; one is killed, or stopped first, and another comes instead."""
    draw = random.Random(1)
    lock = mine(file, STOPPED_FOR_S)
    team: list[Worker] = []
    named: list[tuple[int | None, int]] = []
    for shot in range(len(SEATS) + kills):
        if shot >= len(SEATS):
            enough = words[Pair.WRITES] + draw.randrange(1, 30)
            until(lambda most=enough: words[Pair.WRITES] >= most or words[Pair.TORN] > 0)
            victim = team.pop(draw.choice(SEATS))
            if shot % (kills // stops) == 0:
                victim.stop()
                try:
                    use(lock, "write")
                except LockTimeout as error:
                    named.append((error.holder_pid, victim.pid))
            victim.close()
        team.append(start(60.0))
        team[-1].channels[0].say(f"job mix gate {shot} {tmp_path / 'page'}")
    words[Pair.STOP] = 1
    assert [worker.channels[0].hear() for worker in team] == ["done"] * len(SEATS)
    assert words[Pair.TORN] == 0
    assert words[Pair.READS] > kills
    assert words[Pair.WRITES] > kills
    use(lock, "write")
    assert [told for told, _ in named] == [stopped for _, stopped in named]


def test_without_a_lock_halves_are_read(
    file: LockFile, start: Start, words: memoryview, tmp_path: Path
) -> None:
    """The invariant is one that breaks."""
    for number in range(4):
        start(60.0).channels[0].say(f"job mix no-lock {number} {tmp_path / 'page'}")
    until(lambda: words[Pair.TORN] > 0)
    words[Pair.STOP] = 1
