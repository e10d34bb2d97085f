"""Descriptors given to a process that is being spawned: attached without any name."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import uuid
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.adopting import HASH, NBYTES, adopt
from tests.unit.workers.one_actor import one_actor
from tuitrain.replay import segment
from tuitrain.replay.lock import LockFile, LockTimeout, LockUnusable
from tuitrain.supervisor.plan import TrainingPlan
from tuitrain.workers.handles import Handle, StoreHandles
from tuitrain.workers.stores import segment_prefix


class Made:
    """A segment and a lock file whose names are gone."""

    def __init__(self, folder: Path) -> None:
        self.name = f"tuitrain-test-{uuid.uuid4().hex[:12]}"
        self.path = folder / "lock"
        self.memory = segment.create(self.name, NBYTES, HASH)
        self.file = LockFile.create(self.path)
        segment.unlink(self.name)
        self.path.unlink()

    def handles(self) -> StoreHandles:
        return StoreHandles(Handle(self.file.fileno()), (Handle(self.memory.fileno()),))


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    made = Made(tmp_path)
    yield made
    made.memory.close()
    made.file.close()


def start(made: Made, deadline_s: float = 5.0) -> tuple[Any, Connection]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=adopt, args=(made.handles(), made.name, str(made.path), theirs, deadline_s)
    )
    process.start()
    theirs.close()
    return process, ours


def test_memory_and_lock_are_shared_though_their_names_are_gone(made: Made) -> None:
    words = np.frombuffer(made.memory.buf, np.int64)
    words[0] = 41
    process, pipe = start(made)
    pipe.recv()
    assert words[1] == 42
    lock = made.file.rwlock(0, "thing", 0.05)
    with pytest.raises(LockTimeout) as error, lock.write():
        pass
    assert error.value.holder_pid == process.pid
    pipe.send("go on")
    pipe.recv()
    with lock.write():
        pass
    pipe.send("end")
    process.join()
    assert process.exitcode == 0


def test_a_successor_attaches_as_its_predecessor_did(made: Made) -> None:
    words = np.frombuffer(made.memory.buf, np.int64)
    for before in (41, 81):
        words[0] = before
        process, pipe = start(made)
        pipe.recv()
        process.kill()
        process.join()
        assert words[1] == before + 1
        with made.file.rwlock(0, "thing", 5.0).write():
            pass  # its lock went with it


def test_what_a_worker_starts_has_none_of_the_descriptors(made: Made) -> None:
    process, pipe = start(made)
    _, open_in_child = pipe.recv()
    pipe.send("go on")
    pipe.recv()
    pipe.send("end")
    process.join()
    assert made.name not in open_in_child
    assert str(made.path) not in open_in_child


def test_a_handle_is_given_only_to_a_process_that_is_being_spawned(made: Made) -> None:
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"multiprocessing\.Process of the spawn context"):
            act(made.handles().lock)


def test_closing_an_adopted_lock_file_drops_no_lock_of_its_creator(made: Made) -> None:
    with made.file.rwlock(0, "thing", 5.0).write():
        for _ in range(2):  # the second sees what the end of the first has done
            process, pipe = start(made, deadline_s=0.05)
            assert pipe.recv()[0] == os.getpid()
            process.join()


def test_a_second_lock_file_of_the_same_inode_is_refused(tmp_path: Path) -> None:
    file = LockFile.create(tmp_path / "lock")
    with pytest.raises(RuntimeError, match="has just lost its locks"):
        LockFile.adopt(os.dup(file.fileno()), file.path)
    file.close()
    with pytest.raises(LockUnusable):
        file.fileno()


def test_only_the_creator_of_a_segment_has_its_descriptor(tmp_path: Path) -> None:
    name = f"tuitrain-test-{uuid.uuid4().hex[:12]}"
    made = segment.create(name, NBYTES, HASH)
    seen = segment.attach(name, NBYTES, HASH)
    segment.unlink(name)
    with pytest.raises(segment.SegmentError, match="only its creator"):
        seen.fileno()
    seen.close()
    made.close()
    with pytest.raises(segment.SegmentError, match="only its creator"):
        made.fileno()


@pytest.mark.parametrize(("nbytes", "layout"), [(NBYTES + 1, HASH), (NBYTES, bytes(32))])
def test_adopting_verifies_as_attaching_does(made: Made, nbytes: int, layout: bytes) -> None:
    fd = os.dup(made.memory.fileno())
    with pytest.raises(segment.SegmentMismatch, match=made.name):
        segment.adopt(fd, made.name, nbytes, layout)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)  # it was taken over, and not left open


def test_where_names_cannot_be_listed_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS: workers attach by descriptor, and nobody could find the names later."""
    with one_actor(tmp_path) as (blueprint, _):
        pass
    monkeypatch.setattr(segment, "are_listed", lambda: False)
    Path(blueprint.lock_path).unlink()
    held = TrainingPlan().create_stores(blueprint)
    try:
        assert segment.list_names(segment_prefix(blueprint.run_id)) == []
        passed: StoreHandles = held.handles()
        assert [os.fstat(handle.fd).st_nlink for handle in passed.segments] == [0, 0, 0]
    finally:
        held.close()
