"""Fixtures of the replay's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.replay.lock_processes import Start, Workers
from tuitrain.replay.lock import LockFile


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LockFile]:
    """A lock file, open in this process."""
    made = LockFile.create(tmp_path / "locks")
    yield made
    made.close()


@pytest.fixture
def start(workers: Workers, file: LockFile) -> Iterator[Start]:
    """``start(deadline_s)`` makes a process with the file open; all end with the test."""
    yield Start(workers, file.path)
    workers.end_all()
