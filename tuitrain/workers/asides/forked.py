"""Asking something of the user's code in a process of its own.

What it does there, crash, hang or print, must be an answer and not the end of a run that has not
begun. The process is forked, because everything has been imported and a new one would take a
second.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

MAX_ANSWER_BYTES = 2_000
"""It must fit a pipe that nobody reads yet, and an event."""

LOOK_S = 0.01
"""Between two looks at a child, where there is no pidfd."""

_PR_SET_PDEATHSIG = 1


def asked(trial: Callable[[], str], limit_s: float) -> str:
    """What `trial` says in a child of this process, or what has become of that.

    Args:
        limit_s: it is ended after so long.
    """
    reading, writing = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # an environment may have closed or replaced it
            stream.flush()
    parent = os.getpid()
    child = os.fork()
    if not child:
        _answer(trial, writing, parent)
    os.close(writing)
    try:
        status = _ended(child, limit_s)
        if status is None:
            return f"trying it out took longer than {limit_s:g} s"
        os.set_blocking(reading, False)  # what the environment started may hold the other end
        with suppress(BlockingIOError):
            if said := os.read(reading, MAX_ANSWER_BYTES + 1):
                return said[1:].decode(errors="replace")
    finally:
        os.close(reading)
    if os.WIFSIGNALED(status):
        return f"trying it out ended with {signal.Signals(os.WTERMSIG(status)).name}"
    return f"trying it out ended the process with exit code {os.waitstatus_to_exitcode(status)}"


def _ended(child: int, limit_s: float) -> int | None:
    """The wait status of a child, which is killed if it goes on for too long (then None)."""
    try:
        watched = os.pidfd_open(child)
    except (AttributeError, OSError):  # not Linux, or a sandbox without pidfd
        return _ended_polled(child, limit_s)
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        if poll.poll(limit_s * 1000):  # a signal does not end it early, see PEP 475
            return os.waitpid(child, 0)[1]
        _kill(child)
        return None
    finally:
        os.close(watched)


def _ended_polled(child: int, limit_s: float) -> int | None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            return status
        time.sleep(LOOK_S)
    _kill(child)
    return None


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _answer(trial: Callable[[], str], writing: int, parent: int) -> NoReturn:
    """In the child: try, answer, and leave without the parent's exit handlers."""
    code = 1
    try:
        if sys.platform == "linux":
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            # one byte before it, so that "" too is an answer
            os.write(writing, b">" + trial().encode()[:MAX_ANSWER_BYTES])
            code = 0
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)
