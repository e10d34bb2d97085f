"""`python -m tests.parity.training FOLDER…`: training returns of a comparison's finished runs.

`tuitrain compare` reads greedy evaluations. Others publish what their agents earn while they
explore: CleanRL the mean of the last episodes, the original treasure hunt the mean of blocks of 50
epochs. This prints both kinds side by side. Reads files only.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tuitrain.experiments.store import FINISHED, Result, Store
from tuitrain.metrics.sinks import read_jsonl

LAST_EPISODES = 100

Records = Sequence[dict[str, Any]]


def episodes(store: Store, result: Result) -> Records:
    """A run's `train` records with episodes, of all policies, in the order of time."""
    records = read_jsonl(store.runs / result.run / "metrics.jsonl")
    return [r for r in records if r["kind"] == "train" and r.get("episodes")]


def mean_return(records: Iterable[dict[str, Any]]) -> float:
    """Mean over the episodes of records; of none it is not a number."""
    found = [(r["episodes"], r["return_mean"]) for r in records]
    count = sum(n for n, _ in found)
    return sum(n * value for n, value in found) / count if count else float("nan")


def last_return(records: Records) -> float:
    """Mean over the last hundred episodes, and the others of the record that the first is in."""
    kept: list[dict[str, Any]] = []
    for record in reversed(records):
        if sum(r["episodes"] for r in kept) >= LAST_EPISODES:
            break
        kept.append(record)
    return mean_return(kept)


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation."""
    sd = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{sd}"


def summary(store: Store, results: Sequence[Result]) -> str:
    """Of the runs of one arm and task: at the end, in training and greedy."""
    training = [last_return(episodes(store, result)) for result in results]
    greedy = [curve.returns[-1] for result in results for curve in result.curves.values()]
    wall_s = statistics.median(result.wall_s for result in results)
    return (
        f"{len(results)} runs of {wall_s:.0f} s: training {spread(training)}, "
        f"greedy {spread(greedy)}"
    )


def blocks(store: Store, result: Result, steps: int) -> list[str]:
    """Of one run: training return of every block of steps, and the evaluation at its end."""
    records = episodes(store, result)
    lines = []
    for start in range(0, result.steps, steps):
        inside = [r for r in records if start < r["steps"] <= start + steps]
        ends = [
            min(zip(abs(c.steps - start - steps), c.returns, strict=True))
            for c in result.curves.values()
        ]
        greedy = statistics.mean(value for _, value in ends)
        lines.append(f"{start + steps:>9,} {mean_return(inside):8.1f} {greedy:8.1f}")
    return lines


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.training", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--blocks", type=int, metavar="STEPS", help="each run in blocks of steps")
    options = parser.parse_args()
    for folder in options.folders:
        store = Store(folder)
        done = [r for r in store.results().values() if r.state == FINISHED]
        for arm, task in dict.fromkeys((r.cell.arm, r.cell.task) for r in done):
            group = [r for r in done if (r.cell.arm, r.cell.task) == (arm, task)]
            print(f"{folder.name} {arm} {task}: {summary(store, group)}")
        if options.blocks:
            for result in done:
                print(f"{result.cell}\n{'steps':>9} {'training':>8} {'greedy':>8}")
                print("\n".join(blocks(store, result, options.blocks)))


if __name__ == "__main__":
    main()
