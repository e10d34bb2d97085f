"""The lock under fire: readers that always overlap, and processes that are killed at random."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.replay.lock_jobs import READERS, Pair, Relay, page, without_gate
from tests.unit.replay.lock_processes import SHORT_S, Start, Worker, mine, until, use
from tuitrain.replay.lock import LockFile, LockTimeout


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


def shoot(start: Start, words: memoryview, path: Path, kills: int) -> list[Worker]:
    """Four processes that read and write; one of them is killed again and again, and replaced."""
    draw = random.Random(1)
    seeds = iter(range(1_000_000))

    def fresh() -> Worker:
        worker = start(60.0)
        worker.channels[0].say(f"job mix gate {next(seeds)} {path}")
        return worker

    team = [fresh() for _ in range(4)]
    for _ in range(kills):
        enough = words[Pair.WRITES] + draw.randrange(1, 30)
        until(lambda: words[Pair.WRITES] >= enough or words[Pair.TORN] > 0)  # noqa: B023
        victim = draw.randrange(len(team))
        team[victim].close()
        team[victim] = fresh()
    return team


@pytest.mark.parametrize("kills", [60, pytest.param(15_000, marks=pytest.mark.long)])
def test_killed_at_random_nobody_keeps_it_and_nobody_reads_halves(
    file: LockFile, start: Start, words: memoryview, tmp_path: Path, kills: int
) -> None:
    team = shoot(start, words, tmp_path / "page", kills)
    words[Pair.STOP] = 1
    assert [worker.channels[0].hear() for worker in team] == ["done"] * 4
    assert words[Pair.TORN] == 0
    assert words[Pair.READS] > kills
    assert words[Pair.WRITES] > kills
    with mine(file, SHORT_S).write():
        pass


def test_without_a_lock_halves_are_read(
    file: LockFile, start: Start, words: memoryview, tmp_path: Path
) -> None:
    """The invariant is one that breaks."""
    for number in range(4):
        start(60.0).channels[0].say(f"job mix no-lock {number} {tmp_path / 'page'}")
    until(lambda: words[Pair.TORN] > 0)
    words[Pair.STOP] = 1
