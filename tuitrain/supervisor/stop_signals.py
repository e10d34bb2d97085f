"""Signals that ask a run to stop are delayed until it can obey them.

A supervisor that is asked to stop while Python still imports would end without summary and without
having told anyone. Whoever starts one holds these signals back: a process is born with the mask of
its parent, and what comes in between waits in the kernel until the supervisor has its handlers.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def hold_back() -> set[int | signal.Signals]:
    """Delay them in this thread, and in what it starts. Returns the mask before."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def deliver() -> None:
    """Let them come, those that have been delayed at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def held_back() -> Iterator[None]:
    """Delay them while the context lasts, unless someone inside has them delivered."""
    before = hold_back()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
