"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet import Fleet


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Worker processes that run whole trainings without a supervisor."""
    fleet = Fleet()
    yield fleet
    fleet.close()
