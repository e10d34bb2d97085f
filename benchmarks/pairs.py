"""How anything is compared here: arms timed in turn, in random order, and quotients of neighbours.

On a shared machine the same code differs by a factor of two between two minutes, so a figure in
seconds says little and a figure of another day nothing. Two arms timed within the same second were
slowed by the same neighbours: their quotient is a measurement. Knows nothing of what is timed.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, TypeVar

PAIRS = 20
"""Rounds by default."""

T = TypeVar("T")


@dataclass(frozen=True)
class Ratio:
    """Median of quotients with its 95 % percentile-bootstrap interval (Efron 1979)."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio(over: Sequence[float], under: Sequence[float], resamples: int = 4000) -> Ratio:
    """`over[i] / under[i]` of every round i."""
    quotients = [a / b for a, b in zip(over, under, strict=True)]
    rng = random.Random(0)
    medians = sorted(
        statistics.median(rng.choices(quotients, k=len(quotients))) for _ in range(resamples)
    )
    low, high = medians[resamples // 40], medians[-1 - resamples // 40]
    return Ratio(statistics.median(quotients), low, high, len(quotients))


def interleave(
    arms: Mapping[str, Callable[[], T]], rounds: int, seed: int = 0
) -> dict[str, list[T]]:
    """Call every arm once per round, in an order drawn anew each round; by arm, one value each."""
    rng = random.Random(seed)
    found: dict[str, list[T]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name in rng.sample(sorted(arms), len(arms)):
            found[name].append(arms[name]())
    return found


class Clock(NamedTuple):
    """Seconds of the world, and seconds in which this thread had a core.

    Where there is more to run than there are cores, a process is put aside most often as it wakes
    another; whether that falls in a timed stretch differs between arms, and only the second clock
    leaves it out of all of them. It leaves out waiting too: look at both.
    """

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Clock:
        """Both clocks now."""
        return cls(time.perf_counter(), time.thread_time())

    def since(self, start: Clock) -> Clock:
        """Both differences."""
        return Clock(self.wall - start.wall, self.cpu - start.cpu)

    def rate(self, units: float) -> Clock:
        """Units per second of both clocks."""
        return Clock(units / self.wall, units / self.cpu)


class Turns:
    """`interleave` when one arm is a loop that is not ours to call, but calls us every unit.

    Call ``unit`` at the beginning of every unit of the loop's work. Stretches of the loop are
    timed from the beginning of a unit to the beginning of one `units` later, so whatever the loop
    does in between is in them; between stretches the other arms are called.

    Args:
        loop: the loop's name among the arms.
        units: length of a timed stretch; `warm_units` more come before it and are not timed.
        others: arms that return units per second of both clocks.
        rounds: stretches of every arm.
    """

    def __init__(
        self,
        loop: str,
        units: int,
        warm_units: int,
        others: Mapping[str, Callable[[], Clock]],
        rounds: int,
        on_stretch: Callable[[bool], None] = lambda begins: None,
    ) -> None:
        self.found: dict[str, list[Clock]] = {name: [] for name in (loop, *others)}
        self._loop, self._units, self._warm = loop, units, warm_units
        self._others = others
        self._on_stretch = on_stretch
        rng = random.Random(0)
        names = sorted(self.found)
        self._order = [name for _ in range(rounds) for name in rng.sample(names, len(names))]
        self._count = -1
        self._since = Clock(0.0, 0.0)

    def unit(self) -> bool:
        """One unit of the loop begins. True when every arm has had all its stretches."""
        if self._count < 0:
            self._play()
        if self._count == self._warm:
            self._on_stretch(True)
            self._since = Clock.now()
        elif self._count == self._warm + self._units:
            took = Clock.now().since(self._since)
            self._on_stretch(False)
            self.found[self._loop].append(took.rate(self._units))
            self._order.pop(0)
            self._play()
        self._count += 1
        return not self._order

    def _play(self) -> None:
        self._count = 0
        while self._order and self._order[0] != self._loop:
            name = self._order.pop(0)
            self.found[name].append(self._others[name]())


def machine() -> dict[str, object]:
    """What a figure was measured on, and how busy that was."""
    cpu = platform.processor()
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "gymnasium")},
        "commit": _commit(),
    }


def peers() -> dict[str, str]:
    """Versions of the libraries we measure against, as installed here."""
    found = {}
    for name in ("stable-baselines3", "cpprb", "torchrl", "tianshou"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit() -> str:
    import subprocess

    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return done.stdout.strip() or "unknown"
