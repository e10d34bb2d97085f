"""What all diagnosis costs a whole run: all its workers measure everything, then nothing, in turn.

`configs/cartpole.toml` in `async`, without an evaluator, which would take the cores by fits and
starts. Turns of some seconds change in all workers at the same moment (`by_turns.py`, put in place
by the documented hook); a turn with everything is compared with the mean of the two beside it. The
supervisor evaluates its checks in both: what that takes is measured by `diagnosis_supervisor.py`.
The run's first seconds are left out: actors may then spend up to a second on what actions do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from benchmarks import supervised
from benchmarks.by_turns import TURN_S
from benchmarks.pairs import PAIRS, ratio
from tuitrain import parts
from tuitrain.config.runs import RunFolder
from tuitrain.metrics.sinks import read_jsonl

CASES = {
    "actors wait for the learner": ["run.total_steps=200_000"],
    "actors never wait": ["run.total_steps=2_000_000", "learner.replay_ratio=0.001"],
}
"""Overrides of `configs/cartpole.toml`; by some ten seconds of it the speed is found."""

ALWAYS = ["run.schedule=async", "eval.enabled=false"]
DOUBLE = f"{Path(__file__).with_name('by_turns.py')}:double"
BEGINNING = 3
"""Turns that are left out."""
MEASURED = {
    "learner": {"audit_share", "returns_abs_max", "grad_zero_share"},
    "train": {"reward_min"},
}
"""By kind of record: what only the audit and who measures for checks tell."""


class Turn(NamedTuple):
    """What one process or all of a role did in a turn: per second, and processor time of each."""

    per_s: float
    cpu_us: float


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for name, overrides in CASES.items():
        steps = _steps_per_s(overrides) * TURN_S * (2 * pairs + BEGINNING + 2)
        with _doubled(), _run([*overrides, f"run.total_steps={steps:.0f}"]) as folder:
            _confirm(list(read_jsonl(folder.metrics_jsonl)))
            actors, learner = _turns(folder, "actor"), _turns(folder, "learner")
        figures |= {
            f"{name}: steps/s, on / off": _ratio(actors, 0),
            f"{name}: processor time of a step, on / off": _ratio(actors, 1),
            f"{name}: processor time of an update, on / off": _ratio(learner, 1),
            f"{name}, medians without": {
                "steps/s": f"{median(t.per_s for k, t in actors.items() if k % 2):,.0f}",
                "updates/s": f"{median(t.per_s for k, t in learner.items() if k % 2):,.0f}",
            },
        }
    return figures


def _steps_per_s(overrides: list[str]) -> float:
    with _run(overrides) as folder:
        found = [r for r in read_jsonl(folder.metrics_jsonl) if r["kind"] == "learner"]
    (first, *_, last) = found
    return float((last["steps"] - first["steps"]) / (last["time_s"] - first["time_s"]))


def _run(overrides: Sequence[str]) -> Any:
    return supervised.run([*ALWAYS, *overrides], {})


@contextmanager
def _doubled() -> Iterator[None]:
    """Workers that are started inside take turns."""
    before = os.environ.get(parts.VARIABLE)
    os.environ[parts.VARIABLE] = DOUBLE
    try:
        yield
    finally:
        del os.environ[parts.VARIABLE]
        if before is not None:
            os.environ[parts.VARIABLE] = before


def _turns(folder: RunFolder, role: str) -> dict[int, Turn]:
    """Of all processes of a role together, the turns in which each began and ended one."""
    each = [_of_process(path) for path in folder.path.glob(f"turns-{role}-*.jsonl")]
    both = sorted(set.intersection(*(set(found) for found in each)))
    together = {}
    for turn in both[BEGINNING:]:
        rates = [found[turn].per_s for found in each]
        cpu = [found[turn].per_s * found[turn].cpu_us for found in each]
        together[turn] = Turn(sum(rates), sum(cpu) / sum(rates))
    return together


def _of_process(path: Path) -> dict[int, Turn]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = {}
    for now, then in pairwise(lines):
        made = then["count"] - now["count"]
        if then["turn"] == now["turn"] + 1 and made:
            cpu_us = 1e6 * (then["cpu_s"] - now["cpu_s"]) / made
            found[now["turn"]] = Turn(made / (then["s"] - now["s"]), cpu_us)
    return found


def _ratio(turns: Mapping[int, Turn], field: int) -> Any:
    """Of each turn with everything over the mean of those before and after it."""
    on = [turn for turn in turns if turn % 2 == 0 and {turn - 1, turn + 1} <= turns.keys()]
    return ratio(
        [turns[turn][field] for turn in on],
        [mean((turns[turn - 1][field], turns[turn + 1][field])) for turn in on],
    )


def _confirm(records: Sequence[Mapping[str, Any]]) -> None:
    """Raises RuntimeError: not about half of the records tell what is measured for checks."""
    for kind, names in MEASURED.items():
        of_kind = [record for record in records if record["kind"] == kind]
        share = mean(names <= record.keys() for record in of_kind)
        if not 0.25 < share < 0.75:
            raise RuntimeError(f"{share:.0%} of its {kind} records have {', '.join(sorted(names))}")
