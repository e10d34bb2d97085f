"""Using the lock: who excludes whom, threads, what is counted, one descriptor per process."""

from __future__ import annotations

import errno
import os
import pickle
import threading
from pathlib import Path

import pytest

from tests.unit.replay.lock_processes import LONG_S, SHORT_S, Start, mine, until, use
from tuitrain.replay import lock as lock_module
from tuitrain.replay.lock import LockFile, LockTimeout, LockUnusable, RWLock


@pytest.mark.parametrize(
    ("held", "asked", "granted"),
    [
        ("read", "read", True),
        ("read", "write", False),
        ("write", "read", False),
        ("write", "write", False),
    ],
)
def test_who_excludes_whom(
    file: LockFile, start: Start, held: str, asked: str, granted: bool
) -> None:
    other, lock = start(), mine(file)
    assert other.do(f"enter {held}") == "inside"
    if granted:
        use(lock, asked)
    else:
        with pytest.raises(LockTimeout) as error:
            use(lock, asked)
        assert error.value.holder_pid == other.pid
        assert error.value.resource == "thing"
        assert error.value.waited_s >= SHORT_S
        assert "'thing' was not free within" in str(error.value)
        assert f"process {other.pid}, which is stopped or stuck" in str(error.value)
    assert other.do("leave") == "outside"
    use(lock, asked)


def test_a_waiting_process_gets_it_when_it_is_free(file: LockFile, start: Start) -> None:
    holder, waiter = start(), start()
    assert holder.do("enter write") == "inside"
    waiter.channels[0].say("enter write")
    assert holder.do("leave") == "outside"
    assert waiter.channels[0].hear() == "inside"


def test_a_holder_that_cannot_be_told(file: LockFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another pid namespace, or gone when it was looked for."""
    lock = mine(file)
    monkeypatch.setattr(lock_module, "_set", lambda *_: False)
    with pytest.raises(LockTimeout, match="could not be identified") as error:
        use(lock, "read")
    assert error.value.holder_pid is None


# ---- within a process --------------------------------------------------------------------------


def held_by_a_thread(lock: RWLock, leave: threading.Event) -> threading.Thread:
    entered = threading.Event()

    def hold() -> None:
        with lock.read():
            entered.set()
            leave.wait(LONG_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(LONG_S)
    return thread


@pytest.mark.parametrize("asked", ["read", "write"])
def test_threads_exclude_each_other(file: LockFile, asked: str) -> None:
    lock, leave = mine(file), threading.Event()
    thread = held_by_a_thread(lock, leave)
    with pytest.raises(LockTimeout, match="by this process itself") as error:
        use(lock, asked)
    assert error.value.holder_pid == os.getpid()
    leave.set()
    thread.join()
    use(lock, asked)


def test_a_thread_gets_in_after_another(file: LockFile) -> None:
    lock, leave = file.rwlock(0, "thing", LONG_S), threading.Event()
    thread = held_by_a_thread(lock, leave)
    second = threading.Thread(target=use, args=(lock, "write"))
    second.start()
    leave.set()
    thread.join()
    second.join(LONG_S)
    assert lock.stats().acquisitions == 2


@pytest.mark.parametrize("mode", ["read", "write"])
def test_it_is_not_reentrant(file: LockFile, start: Start, mode: str) -> None:
    """A second entry is refused and does not end the first."""
    lock, other = mine(file), start(SHORT_S)
    with getattr(lock, mode)():
        with pytest.raises(LockTimeout, match="or twice in this one"):
            use(lock, mode)
        assert other.do("enter write") == f"outside timeout {os.getpid()}"
    assert other.do("enter write") == "inside"


def test_a_second_threads_attempt_does_not_free_the_firsts_lock(
    file: LockFile, start: Start
) -> None:
    lock, other = mine(file), start(SHORT_S)
    refused = []

    def attempt() -> None:
        with pytest.raises(LockTimeout) as error:
            use(lock, "read")
        refused.append(error.value)

    with lock.write():
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        assert len(refused) == 1
        assert other.do("enter read") == f"outside timeout {os.getpid()}"
    assert other.do("enter read") == "inside"


def test_resources_are_independent(file: LockFile, start: Start) -> None:
    other = start()
    assert other.do("enter write") == "inside"
    another = file.rwlock(1, "another", SHORT_S)
    use(another, "write")
    with another.write(), pytest.raises(LockTimeout):
        use(mine(file), "write")
    assert other.do("leave") == "outside"
    with another.write():
        use(mine(file), "write")


def test_an_exception_inside_releases(file: LockFile, start: Start) -> None:
    lock = mine(file)
    with pytest.raises(KeyError), lock.write():
        raise KeyError
    assert start(SHORT_S).do("enter write") == "inside"


def test_stats(file: LockFile, start: Start) -> None:
    lock = mine(file)
    for _ in range(3):
        use(lock, "read")
    assert lock.stats() == lock_module.LockStats(3, 0, 0.0, 0.0)
    start().do("enter write")
    with pytest.raises(LockTimeout):
        use(lock, "read")
    stats = lock.stats()
    assert (stats.acquisitions, stats.waits) == (3, 1)
    assert stats.worst_s == stats.waited_s >= SHORT_S


# ---- the file ----------------------------------------------------------------------------------


def test_the_file_is_opened_once_per_process(file: LockFile, start: Start) -> None:
    lock, other = mine(file), start(SHORT_S)
    with lock.write():
        with pytest.raises(RuntimeError, match="open in this process already"):
            LockFile.open(file.path)
        link = file.path.with_name("same")
        os.link(file.path, link)
        with pytest.raises(RuntimeError, match="open in this process already"):
            LockFile.open(link)
        refused = other.do("enter read")
        assert refused.startswith("outside timeout"), "the refused open dropped the lock"
    with pytest.raises(FileExistsError):
        LockFile.create(file.path)
    with pytest.raises(FileNotFoundError):
        LockFile.open(file.path.with_name("none"))


def test_closing_any_descriptor_drops_the_lock(file: LockFile, start: Start) -> None:
    """Why it is opened once: this is what the refusal prevents."""
    other = start(SHORT_S)
    with mine(file).write():
        os.close(os.open(file.path, os.O_RDONLY))
        assert other.do("enter write") == "inside"


def test_a_closed_file_can_be_opened_again_and_its_old_locks_refuse(tmp_path: Path) -> None:
    first = LockFile.create(tmp_path / "locks")
    lock = mine(first)
    first.close()
    first.close()
    with pytest.raises(LockUnusable, match="has been closed"):
        use(lock, "read")
    again = LockFile.open(tmp_path / "locks")
    use(mine(again), "write")
    again.close()


def test_closing_while_it_is_held_releases(file: LockFile, start: Start) -> None:
    other = start(SHORT_S)
    with mine(file).write():
        file.close()
        assert other.do("enter write") == "inside"


@pytest.mark.parametrize("behind", ["process", "thread"])
def test_closing_tells_a_thread_that_waits(file: LockFile, start: Start, behind: str) -> None:
    """It asks no more: its descriptor's number may belong to another file by now."""
    lock, leave = file.rwlock(0, "thing", LONG_S), threading.Event()
    told = []

    def wait() -> None:
        with pytest.raises(LockUnusable, match="has been closed") as error:
            use(lock, "write")
        told.append(error.value)

    if behind == "process":
        assert start().do("enter write") == "inside"
    else:
        holder = held_by_a_thread(lock, leave)
    thread = threading.Thread(target=wait)
    thread.start()
    if behind == "process":
        until(lambda: lock._waiting)
    file.close()
    thread.join(LONG_S)
    leave.set()
    if behind == "thread":
        holder.join()
    assert len(told) == 1


def test_closed_while_it_asks(file: LockFile, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = mine(file)

    def closed(*_: object) -> bool:
        file.close()
        raise OSError(errno.EBADF, "closed")

    monkeypatch.setattr(lock_module, "_set", closed)
    with pytest.raises(LockUnusable, match="has been closed"):
        use(lock, "read")


def test_closed_while_it_waits_for_a_thread(
    file: LockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for nothing with the number of a descriptor that is gone."""
    lock = mine(file)

    class Thread:
        held = True

        def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool:
            if not blocking:
                return False
            file.close()
            return True

        def release(self) -> None:
            self.held = False

    thread = Thread()
    monkeypatch.setattr(lock, "_thread", thread)
    monkeypatch.setattr(lock_module, "fcntl", None)
    with pytest.raises(LockUnusable, match="has been closed"):
        use(lock, "read")
    assert not thread.held


def test_one_lock_per_resource(file: LockFile) -> None:
    assert mine(file) is mine(file)
    with pytest.raises(ValueError, match="is 'thing', not 'other'"):
        file.rwlock(0, "other", SHORT_S)
    for resource, deadline_s in ((-1, 1.0), (3, 0.0)):
        with pytest.raises(ValueError, match="deadline"):
            file.rwlock(resource, "x", deadline_s)


def test_nothing_can_be_pickled(file: LockFile) -> None:
    for thing in (file, mine(file)):
        with pytest.raises(TypeError, match=r"LockFile\.(adopt|open)"):
            pickle.dumps(thing)
