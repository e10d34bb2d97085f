"""`python -m benchmarks.watchers`: what those who look on cost a run, and its supervisor.

One `async` run on every core. In turn nobody looks on, or ten clients that read, ten that never
read, a screen, a screen whose terminal is never read, a screen that is stopped. Steps per second
are compared within a round, as quotients over those of nobody. All the while the supervisor is
asked for its status twenty times a second: the longest answer says for how long it was stuck.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.pairs import interleave, machine, ratio
from benchmarks.terminal import Terminal, run
from benchmarks.tui import DEADLINE_S, EVERY_CORE, TUITRAIN
from tuitrain.cli.client import BlockingClient
from tuitrain.protocol import Request, encode

CLIENTS = 10
ASK_S = 0.05
ANSWER_LIMIT_S = 0.5
"""The supervisor shall never be stuck for longer, whoever looks on."""

READ_BYTES = 1 << 16
NOBODY = "nobody"


class Seen(NamedTuple):
    """Of one stretch: environment steps per second, and the longest wait for an answer, seconds."""

    steps_per_s: float
    longest_s: float


def look(path: Path, seconds: float) -> Seen:
    """Ask the run at this socket for its status, again and again."""
    with BlockingClient(path, DEADLINE_S) as client:
        first, began, longest = _steps(client), time.perf_counter(), 0.0
        while (now := time.perf_counter()) - began < seconds:
            last = _steps(client)
            longest = max(longest, time.perf_counter() - now)
            time.sleep(ASK_S)
        return Seen((last - first) / (now - began), longest)


def _steps(client: BlockingClient) -> int:
    return int(client.ask("status").result["snapshot"]["steps"])


@contextlib.contextmanager
def clients(path: Path, *, reading: bool) -> Iterator[None]:
    """Ten that get the stream of snapshots, events and records."""
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            one.connect(str(path))
            one.sendall(encode(Request(id=1, command="subscribe")))
            if reading:
                threading.Thread(target=_read, args=(one,)).start()
                stack.callback(one.shutdown, socket.SHUT_RDWR)
        yield


def _read(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while one.recv(READ_BYTES):
            pass


@contextlib.contextmanager
def screen(
    env: Mapping[str, str], *, drained: bool = True, stopped: bool = False
) -> Iterator[None]:
    """The terminal UI of the run, in a terminal of 120 × 40."""
    with Terminal([*TUITRAIN, "attach", "latest"], 120, 40, env) as terminal:
        terminal.wait_for("RUNNING", DEADLINE_S)
        over = threading.Event()

        def drain() -> None:
            while not over.is_set():
                terminal.read(ASK_S)

        reader = threading.Thread(target=drain) if drained and not stopped else None
        if stopped:
            os.kill(terminal.process.pid, signal.SIGSTOP)
        elif reader is not None:
            reader.start()
        try:
            yield
        finally:
            over.set()
            if stopped:
                os.kill(terminal.process.pid, signal.SIGCONT)
            elif reader is not None:
                reader.join()


def measure(folder: Path, seconds: float, rounds: int) -> dict[str, list[Seen]]:
    """Every arm's stretches, by its name."""
    env = {**os.environ, "TERM": "xterm-256color", "XDG_RUNTIME_DIR": str(folder / "x"),
           "TUITRAIN_RUNS_DIR": str(folder / "runs")}  # fmt: skip
    (folder / "x").mkdir(mode=0o700)
    run([*TUITRAIN, *EVERY_CORE], env)
    try:
        (told,) = (folder / "runs").glob("*/runtime.json")
        path = Path(json.loads(told.read_text())["socket_path"])
        look(path, seconds)  # the replay fills, the processor gets warm
        ways: dict[str, Callable[[], AbstractContextManager[None]]] = {
            NOBODY: contextlib.nullcontext,
            "ten clients": lambda: clients(path, reading=True),
            "ten clients that never read": lambda: clients(path, reading=False),
            "a screen": lambda: screen(env),
            "a screen whose terminal is never read": lambda: screen(env, drained=False),
            "a screen that is stopped": lambda: screen(env, stopped=True),
        }

        def arm(way: Callable[[], AbstractContextManager[None]]) -> Callable[[], Seen]:
            def stretch() -> Seen:
                with way():
                    return look(path, seconds)

            return stretch

        return interleave({name: arm(way) for name, way in ways.items()}, rounds)
    finally:
        run([*TUITRAIN, "kill", "latest", "--yes"], env)


def main() -> int:
    """Measure and print; an answer that took too long is marked, nothing more."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watchers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of a stretch (default: 30)")
    parser.add_argument("--rounds", type=int, default=5, help="of every arm (default: 5)")
    given = parser.parse_args()
    print("  ".join(f"{key}: {value}" for key, value in machine().items()))
    with tempfile.TemporaryDirectory(prefix="tuitrain-bench-") as place:
        found = measure(Path(place), given.seconds, given.rounds)
    print(f"\n{'who looks on':<40}{'steps/s':>9}  {'over nobody':<22}{'longest answer':>14}")
    alone = [one.steps_per_s for one in found[NOBODY]]
    for name, seen in found.items():
        rates = [one.steps_per_s for one in seen]
        longest = max(one.longest_s for one in seen)
        over = "  OVER" if longest > ANSWER_LIMIT_S else ""
        share = "" if name == NOBODY else str(ratio(rates, alone))
        mean = sum(rates) / len(rates)
        print(f"{name:<40}{mean:>9,.0f}  {share:<22}{1e3 * longest:>11,.0f} ms{over}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
