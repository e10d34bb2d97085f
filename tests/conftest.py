"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest

from tests.fleet import Fleet

# Tests that a shell has put into the background were born ignoring it, and so would be what they
# start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As in workers: where tests run side by side, torch's threads only wait for each other."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Worker processes that run whole trainings without a supervisor."""
    fleet = Fleet()
    yield fleet
    fleet.close()
