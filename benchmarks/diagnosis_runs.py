"""What all diagnosis costs a whole run: all its workers measure everything, then nothing, in turn.

`configs/cartpole.toml` in `async`, without an evaluator, which would take the cores by fits and
starts. Turns of a tenth of a second change in all workers at the same moment (`by_turns.py`, put in
place by the documented hook); in every few seconds, the turns with everything are compared with
those between them. The supervisor evaluates its checks in both: what that takes is measured by
`diagnosis_supervisor.py`. The run's first seconds are left out: actors may then spend up to a
second on what actions do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from benchmarks import supervised
from benchmarks.by_turns import TURN_S
from benchmarks.inside import PICTURES
from benchmarks.pairs import PAIRS, ratio
from tuitrain import parts
from tuitrain.config.runs import RunFolder
from tuitrain.metrics.sinks import read_jsonl

CASES = {
    "actors wait for the learner": ["run.total_steps=200_000"],
    "actors never wait": ["run.total_steps=2_000_000", "learner.replay_ratio=0.001"],
    "84×84, 4 frames": [*PICTURES, "run.total_steps=4_000"],
}
"""Overrides of `configs/cartpole.toml`; by some ten seconds of it the speed is found."""

UNITS = {"actor": "step", "learner": "update"}
"""What a role makes."""

ALWAYS = ["run.schedule=async", "eval.enabled=false"]
DOUBLE = f"{Path(__file__).with_name('by_turns.py')}:double"
BLOCK = 32
"""Turns, half of each kind, that make one pair: four seconds, in which there are four records."""
ENOUGH = 0.9
"""Of the pairs; in the others a process has begun nothing in one of the turns."""
BEGINNING_S = 7.0
"""What is left out."""
MEASURED = {
    "learner": "audit_share",
    "train": "reward_min",
}
"""By kind of record: what only the audit and who measures for checks tell."""


class Turn(NamedTuple):
    """What one process did in a turn, and how long that took."""

    made: int
    s: float
    cpu_s: float


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for name, overrides in CASES.items():
        length_s = BEGINNING_S + TURN_S * BLOCK * (pairs + 1)
        steps = _steps_per_s(overrides) * length_s
        with _doubled(), _run([*overrides, f"run.total_steps={steps:.0f}"]) as folder:
            _confirm(list(read_jsonl(folder.metrics_jsonl)))
            blocks = {role: _blocks(folder, role) for role in UNITS}
        for role, unit in UNITS.items():
            if not blocks[role]:  # it makes too few for a turn
                continue
            if len(blocks[role]) < ENOUGH * pairs:
                raise RuntimeError(f"{name}: {len(blocks[role])} of {pairs} pairs have all turns")
            without = median(_per_s(off) for _, off in blocks[role])
            figures |= {
                f"{name}: {unit}s/s, on / off": _ratio(blocks[role], _per_s),
                f"{name}: processor time per {unit}, on / off": _ratio(blocks[role], _cpu_us),
                f"{name}: {unit}s/s without": {"median": f"{without:,.0f}"},
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


Side = list[list[Turn]]
"""Of a block, all turns of one kind, by process."""


def _blocks(folder: RunFolder, role: str) -> list[tuple[Side, Side]]:
    """Blocks of which there is every turn of all processes of a role: with everything, without."""
    each = [_of_process(path) for path in sorted(folder.path.glob(f"turns-{role}-*.jsonl"))]
    first = max(min(found) for found in each) + round(BEGINNING_S / TURN_S)
    last = min(max(found) for found in each)
    blocks = []
    for begin in range(first, last - BLOCK, BLOCK):
        turns = range(begin, begin + BLOCK)
        if all(turn in found for found in each for turn in turns):
            on, off = ([[f[t] for t in turns if t % 2 == kind] for f in each] for kind in (0, 1))
            blocks.append((on, off))
    return blocks


def _of_process(path: Path) -> dict[int, Turn]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        now["turn"]: Turn(*(then[key] - now[key] for key in ("count", "s", "cpu_s")))
        for now, then in pairwise(lines)
        if then["turn"] == now["turn"] + 1
    }


def _per_s(side: Side) -> float:
    return sum(sum(t.made for t in turns) / sum(t.s for t in turns) for turns in side)


def _cpu_us(side: Side) -> float:
    made, cpu_s = (sum(t[at] for turns in side for t in turns) for at in (0, 2))
    return 1e6 * cpu_s / made


def _ratio(blocks: Sequence[tuple[Side, Side]], figure: Callable[[Side], float]) -> Any:
    return ratio([figure(on) for on, _ in blocks], [figure(off) for _, off in blocks])


def _confirm(records: Sequence[Mapping[str, Any]]) -> None:
    """Raises RuntimeError: not about half of the records tell what is measured for checks."""
    for kind, name in MEASURED.items():
        share = mean(name in record for record in records if record["kind"] == kind)
        if not 0.25 < share < 0.75:
            raise RuntimeError(f"{share:.0%} of its {kind} records have {name}")
