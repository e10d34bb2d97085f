"""A process that takes and gives locks as its standard input says; one reply line per command."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from tuitrain.replay.lock import LockFile, LockTimeout, LockUnusable


def main() -> None:
    """Commands: read, write, release, ask MODE (reply only when done), count, fork."""
    lock = LockFile.open(sys.argv[1]).rwlock(0, "thing", float(sys.argv[2]))
    held = ExitStack()
    reply(f"pid {os.getpid()}")
    for line in sys.stdin:
        command = line.strip()
        try:
            if command in ("read", "write"):
                held.enter_context(getattr(lock, command)())
                reply("held")
            elif command == "release":
                held.close()
                reply("released")
            elif command == "fork":
                fork(lock)
        except LockTimeout as error:
            reply(f"timeout {error.holder_pid} {error}")


def fork(lock: object) -> None:
    """Use the lock in a forked child; report what it says."""
    pid = os.fork()
    if pid == 0:
        try:
            with lock.read():  # type: ignore[attr-defined]
                reply("child held")
        except LockUnusable as error:
            reply(f"unusable {error}")
        os._exit(0)
    os.waitpid(pid, 0)


def reply(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
