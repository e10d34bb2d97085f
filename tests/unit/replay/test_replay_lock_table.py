"""``RWLock`` takes the table's step under every answer, which makes the model a model of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from fcntl import F_GETLK, F_SETLK, F_UNLCK
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tuitrain.replay import lock as lock_module
from tuitrain.replay.lock import LockFile, LockTimeout, RWLock
from tuitrain.replay.turnstile import (
    BLAME,
    BYTES,
    DATA,
    GATE,
    READ,
    THREAD,
    WRITE,
    Place,
    Request,
    Table,
    Want,
)

RESOURCE = 3
DEADLINE_S = 0.05
MOST_REFUSALS = 3
TABLES = {"read": READ, "write": WRITE}
WANT = {kind: want for want, kind in lock_module._KIND.items()}

Edge = tuple[Place, str, Place]


class Broken(BaseException):
    """What a signal handler raises."""


class Said(NamedTuple):
    """One request and its answer: granted, refused, late (refused, and it took long), broken."""

    request: Request | None
    answer: str


class Choices:
    """Every way through a tree of choices, one run after another."""

    def __init__(self) -> None:
        self._path: list[list[int]] = []  # choice, number of options
        self._depth = 0

    def pick(self, options: tuple[str, ...]) -> str:
        if self._depth == len(self._path):
            self._path.append([0, len(options)])
        choice = self._path[self._depth][0]
        self._depth += 1
        return options[choice]

    def runs(self) -> Iterator[None]:
        while True:
            self._depth = 0
            yield
            while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return
            self._path[-1][0] += 1


class World:
    """Stands in for the kernel, the thread lock and the clock, and keeps what was said."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.said: list[Said] = []
        self.blame: list[Request] = []
        self.held: set[int] = set()
        self.now_s = 0.0
        self._refusals = 0

    def fcntl(self, fd: int, command: int, packed: bytes) -> bytes:
        kind, whence, start, length, _ = lock_module._FLOCK.unpack(packed)
        assert whence == os.SEEK_SET
        request = Request(WANT[kind], start - BYTES * RESOURCE, length)
        if command == F_GETLK:
            self.blame.append(request)
            return lock_module._FLOCK.pack(F_UNLCK, 0, 0, 0, 0)
        assert command == F_SETLK
        options: tuple[str, ...] = ("granted",)
        if request.want is not Want.FREE:
            options += ("broken before", "broken after", *self._refusal())
        elif request.length == 1:
            options += ("broken before", "broken after")
        if self._answer(request, options) == "refused":
            raise OSError(errno.EAGAIN, "refused")
        return packed

    def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool:
        assert not blocking or 0 < timeout <= DEADLINE_S
        request = Request(Want.EXCLUSIVE, THREAD)
        return self._answer(request, ("granted", *self._refusal())) == "granted"

    def release(self) -> None:
        assert THREAD in self.held
        self._answer(Request(Want.FREE, THREAD), ("granted",))

    def _refusal(self) -> tuple[str, ...]:
        return ("refused", "late") if self._refusals < MOST_REFUSALS else ()

    def _answer(self, request: Request, options: tuple[str, ...]) -> str:
        answer = self.choices.pick(options)
        self.said.append(Said(request, answer.split()[0]))
        if answer in ("refused", "late"):
            self._refusals += 1
            self.now_s += DEADLINE_S if answer == "late" else 0.0
            return "refused"
        if answer != "broken before":
            bytes_ = set(range(request.first, request.first + request.length))
            self.held = self.held - bytes_ if request.want is Want.FREE else self.held | bytes_
        if answer != "granted":
            raise Broken
        return answer


def walk(table: Table, said: list[Said]) -> list[Edge]:
    """The table's steps that were taken; fails where one is not in the table."""
    edges: list[Edge] = []
    place = table[Place.OUTSIDE].then
    refusals = 0
    for number, (request, answer) in enumerate(said):
        step = table[place]
        assert step.request == request, place.name
        following: Place | None
        if answer == "granted":
            following, refusals = step.then, 0
        elif answer == "broken":
            following = step.broken
        else:
            refusals += 1
            repeated = said[number + 1 : number + 2] and said[number + 1].request == request
            following = place if repeated else step.overdue
            if answer == "late" and refusals > 1:
                assert following is not place, "the deadline has passed"
            if not any(a == "late" for _, a in said):
                assert following is place, "the deadline has not passed"
        assert following is not None, f"{answer} at {place.name}"
        edges.append((place, answer.replace("late", "refused"), following))
        place = following
    assert place is Place.OUTSIDE
    return edges


def steps_of(table: Table) -> set[Edge]:
    """All that the table allows from AT_THREAD on."""
    edges: set[Edge] = set()
    for place, step in table.items():
        if place is Place.OUTSIDE:
            continue
        edges.add((place, "granted", step.then))
        if step.broken is not None:
            edges.add((place, "broken", step.broken))
        if step.overdue is not None:
            edges |= {(place, "refused", place), (place, "refused", step.overdue)}
    return edges


def taken(
    mode: str, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[RWLock], None] | None = None
) -> tuple[set[Edge], int]:
    """Run one hold under every sequence of answers; the table's steps taken, and how many runs."""
    path = Path("/proc/self/exe")  # any file will do: no request reaches the kernel
    fd = os.open(path, os.O_RDONLY)
    file = LockFile(path, fd)
    edges: set[Edge] = set()
    runs = 0
    choices = Choices()
    try:
        for _ in choices.runs():
            runs += 1
            world = World(choices)
            lock = RWLock(file, RESOURCE, "thing", DEADLINE_S)
            if spoil is not None:
                spoil(lock)
            clock = SimpleNamespace(monotonic=lambda w=world: w.now_s, sleep=lambda _s: None)
            with monkeypatch.context() as patch:
                patch.setattr(lock, "_thread", world)
                patch.setattr(lock_module, "fcntl", world.fcntl)
                patch.setattr(lock_module, "time", clock)
                try:
                    with getattr(lock, mode)():
                        assert world.held == {THREAD, DATA}
                        world.said.append(Said(None, "granted"))
                except (Broken, LockTimeout) as error:
                    at_thread = world.said[-1].request == Request(Want.EXCLUSIVE, THREAD)
                    timed_out = isinstance(error, LockTimeout)
                    assert world.blame == (list(BLAME) if timed_out and not at_thread else [])
            assert world.held == set(), "nothing is left behind"
            edges.update(walk(TABLES[mode], world.said))
    finally:
        os.close(fd)
    return edges, runs


@pytest.mark.parametrize("mode", ["read", "write"])
def test_the_code_takes_the_steps_of_the_table(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    edges, runs = taken(mode, monkeypatch)
    assert edges == steps_of(TABLES[mode])
    assert runs > 300


def ask(want: Want, first: int, length: int = 1) -> bytes:
    kind = lock_module._KIND[want]
    return lock_module._FLOCK.pack(kind, os.SEEK_SET, BYTES * RESOURCE + first, length, 0)


def keeps_the_gate_on_failure(lock: RWLock) -> None:
    lock._free_all = ask(Want.FREE, DATA)


def takes_no_gate(lock: RWLock) -> None:
    lock._take_gate = lock._free_gate


def shares_the_gate(lock: RWLock) -> None:
    lock._take_gate = ask(Want.SHARED, GATE)


def reads_alone(lock: RWLock) -> None:
    lock._read._take = lock._write._take


def never_gives_up(lock: RWLock) -> None:
    lock.deadline_s = 1e9


def gives_up_at_once(lock: RWLock) -> None:
    lock.deadline_s = 0.0


def swallows_a_failure(lock: RWLock) -> None:
    lock._release = lambda: None


def blames_the_gate_first(lock: RWLock) -> None:
    lock._blame = lock._blame[::-1]


@pytest.mark.parametrize(
    "spoil",
    [
        keeps_the_gate_on_failure,
        takes_no_gate,
        shares_the_gate,
        reads_alone,
        never_gives_up,
        gives_up_at_once,
        swallows_a_failure,
        blames_the_gate_first,
    ],
)
def test_other_code_is_told_from_the_table(
    spoil: Callable[[RWLock], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        taken("read", monkeypatch, spoil)


# ---- time ---------------------------------------------------------------------------------------


def test_a_pause_of_everybody_is_not_a_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Paused with the holder for an hour, it looks on as before and gets in."""
    file = LockFile.create(tmp_path / "locks")
    try:
        lock = file.rwlock(0, "thing", 10.0)
        now_s, looks = 0.0, 0

        def sleep(_seconds: float) -> None:
            nonlocal now_s, looks
            looks += 1
            now_s += 3600.0 if looks == 2 else 1e-3

        def fcntl(_fd: int, _command: int, _request: bytes) -> bytes:
            if looks < 5:
                raise OSError(errno.EAGAIN, "refused")
            return b""

        with monkeypatch.context() as patch:
            patch.setattr(
                lock_module, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now_s)
            )
            patch.setattr(lock_module, "fcntl", fcntl)
            with lock.write():
                pass
        stats = lock.stats()
        assert (stats.acquisitions, stats.waits) == (1, 1)
        assert 0.1 < stats.worst_s < 0.2
    finally:
        file.close()
