"""The place that whole runs are started from, and the proof that they leave nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Place
from tests.sites import eventually


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note which tests failed: those need not leave things in order."""
    report = yield
    if report.when == "call" and report.failed:
        item.failed_itself = True
    return report


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A folder of its own; after the test nothing of its runs may be left.

    A supervisor's process may outlive its last file by a moment, hence the deadline.
    """
    # pytest's own folders can be too deep for the path of a socket
    runtime = Path(tempfile.mkdtemp(prefix="tt-"))
    place = Place(tmp_path, runtime)
    try:
        yield place
        if not getattr(request.node, "failed_itself", False):
            eventually(lambda: not place.left(), f"nothing left; now {place.left()}", 10.0)
    finally:
        place.close()
        shutil.rmtree(runtime, ignore_errors=True)
