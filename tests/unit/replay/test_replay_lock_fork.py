"""A process that forks while it holds the lock, as an environment might: the child has no part."""

from __future__ import annotations

import pytest

from tests.unit.replay.lock_processes import SHORT_S, Start, Worker, mine, use, where
from tuitrain.replay.lock import LockFile, LockTimeout
from tuitrain.replay.turnstile import WRITE, Place


@pytest.fixture(params=["read", "write"])
def holder(start: Start, request: pytest.FixtureRequest) -> Worker:
    worker = start()
    assert worker.do(f"enter {request.param}") == "inside"
    return worker


def still_held(file: LockFile, holder: Worker) -> None:
    with pytest.raises(LockTimeout) as error:
        use(mine(file), "write")
    assert error.value.holder_pid == holder.pid
    assert holder.do("leave") == "outside"
    use(mine(file), "write")


def test_the_child_is_told_that_it_holds_nothing(file: LockFile, holder: Worker) -> None:
    told = holder.do("fork enter")
    assert told.startswith("lock 'thing' was opened before this process was forked")
    assert str(file.path) in told
    still_held(file, holder)


def test_a_child_that_leaves_the_block_frees_nothing(file: LockFile, holder: Worker) -> None:
    assert holder.do("fork leave") == "leaves"
    still_held(file, holder)


def test_a_child_that_closes_the_file_frees_nothing(file: LockFile, holder: Worker) -> None:
    assert holder.do("fork close") == "closed"
    still_held(file, holder)


def test_the_child_has_no_descriptor_of_the_file(file: LockFile, holder: Worker) -> None:
    assert holder.do("fork descriptor") == "EBADF"
    still_held(file, holder)


def test_a_child_may_open_the_file_itself(file: LockFile, holder: Worker, start: Start) -> None:
    """It is a process like any other then, and waits for its parent."""
    assert holder.do("fork open") == f"timeout {holder.pid}"
    still_held(file, holder)


def test_a_program_started_meanwhile_frees_nothing(file: LockFile, holder: Worker) -> None:
    assert holder.do("spawn") == "0"
    still_held(file, holder)


def test_the_parents_death_frees_it_though_a_child_lives(file: LockFile, start: Start) -> None:
    holder = start(SHORT_S)
    assert holder.do("enter write") == "inside"
    assert holder.do("fork stay") == "stays"
    holder.kill()
    use(mine(file), "write")
    holder.channels[0].say("end")


def test_a_child_of_another_thread_is_told_too(file: LockFile, start: Start) -> None:
    """Of the parent's threads only the one that forks lives on in the child."""
    worker = start(threads=2)
    first, second = worker.channels
    assert first.do("enter write") == "inside"
    assert second.do("fork enter").startswith("lock 'thing' was opened before this process")
    assert first.do("leave") == "outside"
    assert second.do("enter write") == "inside"


@pytest.mark.parametrize("place", [Place.AT_GATE, Place.AT_DATA, Place.THROUGH])
def test_a_child_forked_on_the_way_in_takes_nothing(
    file: LockFile, start: Start, place: Place
) -> None:
    """As by a signal handler: it goes on with the parent's call, and with no descriptor."""
    parent = start(by_steps=True)
    parent.channels[0].go_to(place, WRITE)
    told = parent.do("fork")
    assert told.startswith("lock 'thing' was opened before this process was forked")
    assert parent.channels[0].hear() == where(WRITE, place)
    parent.kill()
    use(mine(file), "write")
