"""What all diagnosis costs whole runs: everything on, and with nothing measured and no audit.

`configs/cartpole.toml` in `async`, without an evaluator, which would take the cores by fits and
starts. Runs come in turn, in random order; a pair is two neighbours. Speed is steps per second by
the run's own `learner` records, from the first to the last, so that start-up and end are left out.
Beside it stands the processor time that the workers have used since they were ready: by that
neighbours do not count, nor does who waits for whom. Without is a double that is put in place by
the documented hook (`unmeasured.py`). The supervisor evaluates its checks in both arms: what that
takes is measured by `diagnosis_supervisor.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import supervised
from benchmarks.pairs import PAIRS, interleave, ratio
from tuitrain import parts
from tuitrain.config.runs import RunFolder
from tuitrain.metrics.sinks import read_jsonl
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.link import Link

CASES = {
    "actors wait for the learner": ["run.total_steps=200_000"],
    "actors never wait": ["run.total_steps=2_000_000", "learner.replay_ratio=0.001"],
}
"""Overrides of `configs/cartpole.toml`; six to eight seconds of training on four idle cores."""

ALWAYS = ["run.schedule=async", "eval.enabled=false"]
DOUBLE = f"{Path(__file__).with_name('unmeasured.py')}:double"
MEASURED = {
    "learner": {"audit_share", "returns_abs_max", "grad_zero_share"},
    "train": {"reward_min"},
}
"""By kind of record: what only the audit and who measures for checks tell."""


class Ran(NamedTuple):
    """One run: steps per second, and microseconds of processor time a step, by role."""

    steps_per_s: float
    actors_us: float
    learner_us: float


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for name, overrides in CASES.items():
        arms = {"on": partial(_on, overrides), "off": partial(_off, overrides)}
        found = interleave(arms, pairs)
        on, off = (list(zip(*found[arm], strict=True)) for arm in ("on", "off"))
        figures |= {
            f"{name}: steps/s, on / off": ratio(on[0], off[0]),
            f"{name}: processor time of actors, on / off": ratio(on[1], off[1]),
            f"{name}: processor time of the learner, on / off": ratio(on[2], off[2]),
            f"{name}, medians": {
                "steps/s on": f"{median(on[0]):,.0f}",
                "off": f"{median(off[0]):,.0f}",
                "µs a step of actors": f"{median(off[1]):.1f}",
                "of the learner": f"{median(off[2]):.1f}",
            },
        }
    return figures


def _on(overrides: list[str]) -> Ran:
    return _run(overrides, measured=True)


def _off(overrides: list[str]) -> Ran:
    with _doubled():
        return _run([*overrides, "checks.audit_share=0"], measured=False)


@contextmanager
def _doubled() -> Iterator[None]:
    """Workers that are started inside measure nothing."""
    before = os.environ.get(parts.VARIABLE)
    os.environ[parts.VARIABLE] = DOUBLE
    try:
        yield
    finally:
        del os.environ[parts.VARIABLE]
        if before is not None:
            os.environ[parts.VARIABLE] = before


def _run(overrides: list[str], *, measured: bool) -> Ran:
    """Train once.

    Raises:
        RuntimeError: what the arm is about was not so.
    """
    entries = {"*": "benchmarks.diagnosis_runs:timed"}
    with supervised.run([*ALWAYS, *overrides], entries) as folder:
        records = list(read_jsonl(folder.metrics_jsonl))
        _confirm(records, measured)
        of_learner = [record for record in records if record["kind"] == "learner"]
        first, last = of_learner[0], of_learner[-1]
        rate = (last["steps"] - first["steps"]) / (last["time_s"] - first["time_s"])
        by_role = _processor_s(folder)
        steps = last["steps"]
        return Ran(rate, 1e6 * by_role["actor"] / steps, 1e6 * by_role["learner"] / steps)


def _confirm(records: Sequence[Mapping[str, Any]], measured: bool) -> None:
    for kind, names in MEASURED.items():
        told = {name for r in records if r["kind"] == kind for name in names & r.keys()}
        if told != (names if measured else set()):
            raise RuntimeError(f"measured={measured}, but its {kind} records have {sorted(told)}")


def _processor_s(folder: RunFolder) -> dict[str, float]:
    found = {"actor": 0.0, "learner": 0.0}
    for path in folder.path.glob("bench-*.json"):
        name = path.stem.removeprefix("bench-")
        if name == "learner" or name[1:].isdigit():
            found["learner" if name == "learner" else "actor"] += supervised.kept(folder, name)
    return found


def timed(args: ChildArgs, link: Link) -> None:
    """A worker entry: the schedule's own, leaving its processor seconds since it was ready."""
    since = 0.0
    ready: Callable[..., None] = link.ready
    finish: Callable[..., None] = link.finish

    def ready_and_note(**fields: Any) -> None:
        nonlocal since
        ready(**fields)
        since = time.process_time()

    def finish_and_keep(**result: Any) -> None:
        supervised.keep(args, time.process_time() - since)
        finish(**result)

    link.ready = ready_and_note
    link.finish = finish_and_keep
    supervised.enter(args, link)
