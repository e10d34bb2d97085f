"""The lock between real processes."""

from __future__ import annotations

import mmap
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tuitrain.replay import lock as lock_module
from tuitrain.replay.lock import LockFile, LockTimeout, LockUnusable, RWLock

LONG_S = 30.0
SHORT_S = 0.05
WORKER = Path(__file__).with_name("lock_worker.py")


class Worker:
    """A ``lock_worker`` process."""

    def __init__(self, path: Path, deadline_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, WORKER, path, str(deadline_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        )
        self.pid = int(self.reply().split()[1])

    def send(self, command: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def reply(self, timeout_s: float = LONG_S) -> str:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        assert ready, "no reply"
        return self.process.stdout.readline().strip()

    def do(self, command: str) -> str:
        self.send(command)
        return self.reply()

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has taken everything back."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
            self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()


Spawn = Callable[..., Worker]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LockFile]:
    made = LockFile.create(tmp_path / "locks")
    yield made
    made.close()


@pytest.fixture
def spawn(file: LockFile) -> Iterator[Spawn]:
    workers: list[Worker] = []

    def start(deadline_s: float = LONG_S) -> Worker:
        workers.append(Worker(file.path, deadline_s))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def mine(file: LockFile, deadline_s: float = SHORT_S) -> RWLock:
    return file.rwlock(0, "thing", deadline_s)


def use(lock: RWLock, mode: str) -> None:
    with getattr(lock, mode)():
        pass


def until(condition: Callable[[], bool]) -> None:
    """Look again until it holds; pytest's own timeout bounds it."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def standing_in_gate(lock: RWLock) -> int | None:
    return lock_module._blocker(lock._fd, lock._take_gate)


# ---- between processes -------------------------------------------------------------------------


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
    file: LockFile, spawn: Spawn, held: str, asked: str, granted: bool
) -> None:
    other, lock = spawn(), mine(file)
    assert other.do(held) == "held"
    if granted:
        use(lock, asked)
    else:
        with pytest.raises(LockTimeout) as error:
            use(lock, asked)
        assert error.value.holder_pid == other.pid
        assert error.value.resource == "thing"
        assert error.value.waited_s >= SHORT_S
        assert "'thing' was not free within" in str(error.value)
        assert f"process {other.pid}" in str(error.value)
    assert other.do("release") == "released"
    use(lock, asked)


@pytest.mark.parametrize("state", ["read", "write"])
@pytest.mark.parametrize("asked", ["read", "write"])
def test_a_killed_holder_holds_nothing(
    file: LockFile, spawn: Spawn, state: str, asked: str
) -> None:
    other, lock = spawn(), mine(file)
    assert other.do(state) == "held"
    other.kill()
    use(lock, asked)
    assert lock.stats().waits == 0


@pytest.mark.parametrize("asked", ["read", "write"])
def test_killed_in_the_gate(file: LockFile, spawn: Spawn, asked: str) -> None:
    """One holds the data, one stands in the gate behind it; both die, the gate first."""
    holder, waiter, lock = spawn(), spawn(), mine(file)
    assert holder.do("read") == "held"
    waiter.send("write")
    until(lambda: standing_in_gate(lock) == waiter.pid)
    with pytest.raises(LockTimeout) as error:
        use(lock, "read")
    assert error.value.holder_pid == holder.pid, "the culprit is behind the one in the gate"
    waiter.kill()
    use(lock, "read")
    with pytest.raises(LockTimeout):
        use(lock, "write")
    holder.kill()
    use(lock, asked)


def test_a_stopped_holder_is_named_and_a_stopped_gate_too(file: LockFile, spawn: Spawn) -> None:
    holder, waiter, lock = spawn(), spawn(), mine(file)
    assert holder.do("read") == "held"
    waiter.send("write")
    until(lambda: standing_in_gate(lock) == waiter.pid)
    os.kill(waiter.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, waiter.pid, os.WSTOPPED | os.WNOWAIT)
    assert holder.do("release") == "released"
    with pytest.raises(LockTimeout) as error:
        use(lock, "read")
    assert error.value.holder_pid == waiter.pid
    os.kill(waiter.pid, signal.SIGCONT)
    assert waiter.reply() == "held"


def test_a_timeout_leaves_nothing_behind(file: LockFile, spawn: Spawn) -> None:
    holder, impatient, lock = spawn(), spawn(SHORT_S), mine(file)
    assert holder.do("write") == "held"
    reply = impatient.do("write")
    assert reply.startswith(f"timeout {holder.pid} ")
    assert standing_in_gate(lock) is None
    assert holder.do("release") == "released"
    use(lock, "write")
    assert impatient.do("write") == "held"


def test_counters_are_never_torn(file: LockFile, tmp_path: Path) -> None:
    """Three processes add to two numbers in small steps; whoever reads sees them equal."""
    shared = tmp_path / "numbers"
    shared.write_bytes(bytes(16))
    code = (
        "import mmap, os, struct, sys\n"
        "from tuitrain.replay.lock import LockFile\n"
        "lock = LockFile.open(sys.argv[1]).rwlock(0, 'thing', 60.0)\n"
        "file = open(sys.argv[2], 'r+b')\n"
        "page = mmap.mmap(file.fileno(), 16)\n"
        "for _ in range(300):\n"
        "    with lock.write():\n"
        "        a, b = struct.unpack('qq', page[:])\n"
        "        page[:8] = struct.pack('q', a + 1)\n"
        "        os.sched_yield()\n"
        "        page[8:] = struct.pack('q', b + 1)\n"
        "    with lock.read():\n"
        "        a = page[:8]\n"
        "        os.sched_yield()\n"
        "        assert a == page[8:]\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    workers = [
        subprocess.Popen([sys.executable, "-c", code, file.path, shared], env=environment)
        for _ in range(3)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    assert struct.unpack("qq", shared.read_bytes()) == (900, 900)


READER = """
import mmap, os, sys, time
from tuitrain.replay.lock import LockFile
me, hold_s, gate = int(sys.argv[3]), float(sys.argv[4]), sys.argv[5] == "gate"
lock = LockFile.open(sys.argv[1]).rwlock(0, "thing", 60.0)
if not gate:  # an ordinary shared/exclusive lock
    lock._take_gate = lock._free_gate
file = open(sys.argv[2], "r+b")
page = mmap.mmap(file.fileno(), 8)  # inside[3], whose turn to stay, stop
while not page[4]:
    with lock.read():
        page[me] = 1
        since = time.monotonic()
        # Whoever's turn it is stays until the next in line is inside and waits for its turn there,
        # or until the hold time is over: so there is always a reader inside.
        while not page[4] and time.monotonic() - since < hold_s:
            turn = page[3]
            if turn == me:
                if page[(me + 1) % 3] == 2:
                    page[3] = (me + 1) % 3
                    break
            elif (turn + 1) % 3 == me:
                page[me] = 2  # stays until it has had its turn
            else:
                break
            os.sched_yield()
        page[me] = 0
"""


@pytest.mark.parametrize(("gate", "hold_s"), [("gate", 0.002), ("none", 5.0)])
def test_overlapping_readers_do_not_starve_a_writer(
    file: LockFile, tmp_path: Path, gate: str, hold_s: float
) -> None:
    """Three readers who always overlap; without the gate the writer never gets in."""
    shared = tmp_path / "page"
    shared.write_bytes(bytes(8))
    with shared.open("r+b") as handle:
        page = mmap.mmap(handle.fileno(), 8)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, file.path, shared, str(i), str(hold_s), gate],
            env=environment,
        )
        for i in range(3)
    ]
    try:
        turns = set()

        def all_have_had_a_turn() -> bool:
            turns.add(page[3])
            return turns == {0, 1, 2} and any(page[:3])

        until(all_have_had_a_turn)
        if gate == "gate":
            lock = mine(file, 10.0)
            for _ in range(20):
                use(lock, "write")
        else:
            lock = mine(file, 0.5)
            lock._take_gate = lock._free_gate
            with pytest.raises(LockTimeout):
                use(lock, "write")
    finally:
        page[4] = 1
        codes = [reader.wait(timeout=60) for reader in readers]
        page.close()
    assert codes == [0, 0, 0]


# ---- within a process --------------------------------------------------------------------------


def test_threads_exclude_each_other(file: LockFile) -> None:
    lock = mine(file)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.read():
            entered.set()
            leave.wait(LONG_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(LONG_S)
    with pytest.raises(LockTimeout, match="by this process itself") as error:
        use(lock, "write")
    assert error.value.holder_pid == os.getpid()
    leave.set()
    thread.join()
    use(lock, "write")


def test_a_second_threads_attempt_does_not_free_the_firsts_lock(
    file: LockFile, spawn: Spawn
) -> None:
    lock, other = mine(file), spawn(SHORT_S)
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
        assert other.do("read").startswith(f"timeout {os.getpid()}")
    assert other.do("read") == "held"


def test_resources_are_independent(file: LockFile, spawn: Spawn) -> None:
    other = spawn()
    assert other.do("write") == "held"
    use(file.rwlock(1, "another", SHORT_S), "write")


def test_an_exception_inside_releases(file: LockFile, spawn: Spawn) -> None:
    lock = mine(file)
    with pytest.raises(KeyError), lock.write():
        raise KeyError
    assert spawn(SHORT_S).do("write") == "held"


def test_stats(file: LockFile, spawn: Spawn) -> None:
    lock = mine(file)
    for _ in range(3):
        use(lock, "read")
    assert lock.stats() == lock_module.LockStats(3, 0, 0.0, 0.0)
    other = spawn()
    other.do("write")
    with pytest.raises(LockTimeout):
        use(lock, "read")
    stats = lock.stats()
    assert (stats.acquisitions, stats.waits) == (3, 1)
    assert stats.worst_s == stats.waited_s >= SHORT_S


def test_the_file_is_opened_once_per_process(file: LockFile, spawn: Spawn) -> None:
    lock, other = mine(file), spawn(SHORT_S)
    with lock.write():
        with pytest.raises(RuntimeError, match="open in this process already"):
            LockFile.open(file.path)
        link = file.path.with_name("same")
        os.link(file.path, link)
        with pytest.raises(RuntimeError, match="open in this process already"):
            LockFile.open(link)
        assert other.do("read").startswith("timeout"), "the refused open dropped the lock"
    with pytest.raises(FileExistsError):
        LockFile.create(file.path)
    with pytest.raises(FileNotFoundError):
        LockFile.open(file.path.with_name("none"))


def test_closing_any_descriptor_drops_the_lock(file: LockFile, spawn: Spawn) -> None:
    """Why it is opened once: this is what the refusal prevents."""
    other = spawn(SHORT_S)
    with mine(file).write():
        os.close(os.open(file.path, os.O_RDONLY))
        assert other.do("write") == "held"


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


def test_a_fork_is_poisoned_and_the_parent_is_not(spawn: Spawn, file: LockFile) -> None:
    worker = spawn()
    assert worker.do("write") == "held"
    assert worker.do("fork").startswith("unusable lock 'thing' was opened before this process was")
    with pytest.raises(LockTimeout) as error:
        use(mine(file), "read")
    assert error.value.holder_pid == worker.pid
    assert worker.do("release") == "released"


def test_one_lock_per_resource(file: LockFile) -> None:
    assert mine(file) is mine(file)
    with pytest.raises(ValueError, match="is 'thing', not 'other'"):
        file.rwlock(0, "other", SHORT_S)
    for resource, deadline_s in ((-1, 1.0), (3, 0.0)):
        with pytest.raises(ValueError, match="deadline"):
            file.rwlock(resource, "x", deadline_s)


def test_nothing_can_be_pickled(file: LockFile) -> None:
    for thing in (file, mine(file)):
        with pytest.raises(TypeError, match=r"LockFile\.open"):
            pickle.dumps(thing)
