"""Wall clock of whole runs in the three schedules, for the same number of environment steps.

`configs/cartpole.toml`, shortened to `STEPS` and otherwise as it is. Start-up is left out: time
runs from the moment all workers are ready until the last update and evaluation are done.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from statistics import median
from typing import Any

from benchmarks import supervised
from benchmarks.pairs import PAIRS, interleave, ratio

STEPS = 50_000
SCHEDULES = ("async", "lockstep", "sequential")


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    phases: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def arm(schedule: str) -> float:
        with supervised.run(
            [f"run.schedule={schedule}", f"run.total_steps={STEPS}"],
            {"*": "benchmarks.supervised:keep_phases"},
        ) as folder:
            for worker in ("trainer",) if schedule == "sequential" else ("learner", "a0"):
                for phase, seconds in supervised.kept(folder, worker).items():
                    phases[f"{schedule}, {worker}"][phase] += seconds
            return supervised.training_s(folder)

    found = interleave({name: partial(arm, name) for name in SCHEDULES}, pairs)
    return {
        **{
            f"wall clock, sequential / {name}": ratio(found["sequential"], found[name])
            for name in SCHEDULES[:2]
        },
        f"seconds for {STEPS:,} steps, medians": {
            name: f"{median(values):.1f}" for name, values in found.items()
        },
        **{f"time of {who}": supervised.shares(of) for who, of in phases.items()},
    }
