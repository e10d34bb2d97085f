"""Two processes at one buffer: a writer and a reader that work when they are told, and count.

A *side* is a process that builds its end of a buffer and then, for every span of time it is given,
repeats its one call and answers with the rate. The clock is the machine's monotonic one, so both
sides work in the same span. Knows no buffer.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection

LEAD_S = 0.05
"""Between telling a side and the beginning of its span; it makes one untimed call meanwhile."""
ANSWER_S = 60.0

Make = Callable[[], Callable[[], object]]
"""Called in the side's process; returns what the side repeats."""


class Side:
    """A process that repeats one call on demand."""

    def __init__(self, make: Make) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(make, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, start: float, stop: float, per_s: float = math.inf) -> None:
        """Work from `start` to `stop` of the monotonic clock, at most `per_s` calls per second."""
        self._pipe.send((start, stop, per_s))

    def answer(self) -> float:
        """Calls per second in the span that was begun.

        Raises:
            RuntimeError: the side has failed.
        """
        if not self._pipe.poll(ANSWER_S):
            raise RuntimeError("a side did not answer")
        try:
            got = self._pipe.recv()
        except EOFError:
            raise RuntimeError("a side has died; its error is above") from None
        return float(got)

    def end(self) -> None:
        """Let it go, and see that it has gone."""
        self._pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def sides(makes: Mapping[str, Make]) -> Iterator[dict[str, Side]]:
    """Processes by name, ready to work; gone on the way out."""
    made: dict[str, Side] = {}
    try:
        for name, make in makes.items():
            made[name] = Side(make)
            made[name].answer()  # built, before the next is started
        yield made
    finally:
        for side in made.values():
            side.end()


def rates(span_s: float, *working: Side, last_per_s: float = math.inf) -> list[float]:
    """Calls per second of these sides, working at the same time.

    Args:
        last_per_s: what the last of them is held to.
    """
    start = time.monotonic() + LEAD_S
    for side in working:
        side.begin(start, start + span_s, last_per_s if side is working[-1] else math.inf)
    return [side.answer() for side in working]


def _work(make: Make, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's end of the pipe is the sign to go
    import torch

    torch.set_num_threads(1)
    call = make()
    pipe.send(0.0)
    while True:
        try:
            start, stop, per_s = pipe.recv()
        except EOFError:
            return
        call()
        time.sleep(max(0.0, start - time.monotonic()))
        pipe.send(_rate(call, stop, per_s))


def _rate(call: Callable[[], object], stop: float, per_s: float) -> float:
    start = now = time.monotonic()
    count = 0
    while now < stop:
        call()
        count += 1
        now = time.monotonic()
        if (ahead := min(start + count / per_s, stop) - now) > 0:
            time.sleep(ahead)
            now = time.monotonic()
    return count / (now - start)
