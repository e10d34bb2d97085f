"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.fleet import Fleet
from tuitrain.supervisor.house import house

# Tests that a shell has put into the background were born ignoring the one, tests under `nohup` the
# other, and so would be what they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Images of containers often say that no bytecode is to be written. Then each of the thousand
# processes that tests start would compile the package anew: a fifth of a second each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Some tests ask for the only run there is: a user's own run would be found as well."""
    living = []
    with contextlib.suppress(house.HouseError):
        living = house.tenants() if terminalreporter.stats.get("failed") else []
    if living:
        terminalreporter.write_line(
            f"note: {', '.join(run.name for run in living)} lives on this machine. Tests that look "
            "for the only run there is fail beside it: stop it, or run them again when it has ended"
        )


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
