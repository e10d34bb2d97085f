"""The other end of ``tuitrain.cli.aside``: a process that answers one question and is gone.

Reads one JSON line on stdin and writes JSON lines to the descriptor it was given. The rest of stdin
is a lifeline: at its end the process kills its group, itself included. Imports no torch.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

MAX_TRACEBACK_CHARS = 4_000


class Tell(Protocol):
    """Writes one JSON line with these keys."""

    def __call__(self, **what: Any) -> None:
        """Write it at once: the next thing may crash."""
        ...


def serve(
    answer: Callable[[Any, Tell], None], expected: tuple[type[Exception], ...] = ()
) -> NoReturn:
    """Answer the question on stdin and leave.

    Args:
        answer: given the question and ``tell``.
        expected: errors whose message says enough; of all others the traceback is told too.
    """
    result_fd = int(sys.argv[1])
    faulthandler.enable()
    lifeline = os.dup(0)
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(lifeline, 65_536)
        if not part:
            os._exit(1)
        line += part
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()

    def tell(**what: Any) -> None:
        data = json.dumps(what).encode() + b"\n"
        while data:
            data = data[os.write(result_fd, data) :]

    try:
        answer(json.loads(line), tell)
    except expected as error:
        tell(error=str(error))
    except BaseException as error:
        text = traceback.format_exc()[-MAX_TRACEBACK_CHARS:]
        tell(error=f"{type(error).__name__}: {error}", traceback=text)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # an environment may have closed or replaced it
            stream.flush()
    os._exit(0)  # it may have left threads that never end


def _watch(fd: int) -> None:
    with suppress(OSError):
        while os.read(fd, 1):
            pass
    os.killpg(os.getpgid(0), signal.SIGKILL)
