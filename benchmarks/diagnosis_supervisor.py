"""What the supervisor spends on checks: processor time of one evaluation of all, twice a second.

Of real runs, where they are made: records are taken in, measured figures gathered, all checks asked
and their standings followed by the real supervisor in this process, and functions that do that are
replaced by ones that time them. So caches are as cold as they are twice a second, which a loop of
nothing but evaluations would hide. Snapshots as such, which the screen needs too, do not count.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypeVar
from unittest.mock import patch

from benchmarks import supervised
from benchmarks.pairs import PAIRS
from tuitrain.protocol import Snapshot
from tuitrain.supervisor import snapshot as snapshots
from tuitrain.supervisor.checking import Checking
from tuitrain.supervisor.measured import Measured

A_PAIR_S = 2.0
"""Of training, for each of `--pairs`."""

T = TypeVar("T")
HUNT = supervised.CARTPOLE.with_name("treasurehunt.toml")


@dataclass(frozen=True)
class Case:
    """A run to be looked at."""

    config: Path
    overrides: list[str]
    policies: int
    workers: int


CASES = {
    "CartPole, 1 policy, 3 workers": Case(supervised.CARTPOLE, ["actors.count=1"], 1, 3),
    "treasure hunt, 5 policies, 12 workers": Case(
        HUNT, ["policies.map=each", "learner.processes=1", "actors.count=10"], 5, 12
    ),
}


@dataclass
class Spent:
    """Processor seconds by what was done, and of every evaluation while the run went on."""

    parts_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    looks_s: list[float] = field(default_factory=list)
    began: float | None = None
    ended: float = 0.0
    seen: set[tuple[int, int]] = field(default_factory=set)
    """Numbers of policies and of workers."""
    _open: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, part: str, function: Callable[..., T]) -> Callable[..., T]:
        """`function`, whose time counts as that of this part."""

        def call(*args: Any, **kwargs: Any) -> T:
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._open[part] += time.thread_time() - start

        return call

    def looked(self, snapshot: Snapshot) -> None:
        """An evaluation has been completed; what came before the first of a run does not count."""
        if snapshot.state == "running":
            self.seen.add((len(snapshot.policies), len(snapshot.processes)))
            self.ended = time.perf_counter()
            if self.began is None:
                self.began = self.ended
            else:
                self.looks_s.append(sum(self._open.values()))
                for part, seconds in self._open.items():
                    self.parts_s[part] += seconds
        self._open.clear()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Whatever a supervisor does for checks inside is timed."""
        look = self.timed("standings", Checking.look)

        def look_and_count(checking: Checking, snapshot: Snapshot) -> None:
            look(checking, snapshot)
            self.looked(snapshot)

        with ExitStack() as stack:
            for owner, name, part in (
                (Measured, "add", "records"),
                (Measured, "of", "figures"),
                (snapshots, "compare_epsilons", "figures"),
                (snapshots, "all_checks", "checks"),
            ):
                timed = self.timed(part, getattr(owner, name))
                stack.enter_context(patch.object(owner, name, timed))
            stack.enter_context(patch.object(Checking, "look", look_and_count))
            yield


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    return {name: _figures(case, A_PAIR_S * pairs) for name, case in CASES.items()}


def _figures(case: Case, length_s: float) -> dict[str, Any]:
    spent = Spent()
    overrides = [*case.overrides, "run.total_steps=1_000_000_000", f"stop.wall_time_s={length_s}"]
    with spent.measuring(), supervised.run(overrides, {}, config=case.config):
        pass
    looks = len(spent.looks_s)
    if spent.began is None or not looks:
        raise RuntimeError("the run was over before checks were evaluated twice")
    if spent.seen != {(case.policies, case.workers)}:
        raise RuntimeError(f"there were {spent.seen} policies and workers")
    length_s = spent.ended - spent.began
    return {
        "share of a core": sum(spent.looks_s) / length_s,
        "evaluations/s": f"{looks / length_s:.2f}",
        "one, median": f"{1e3 * median(spent.looks_s):.2f} ms",
        "mean": f"{1e3 * fmean(spent.looks_s):.2f} ms",
        **{f"of it {part}": f"{1e3 * s / looks:.2f} ms" for part, s in spent.parts_s.items()},
    }
