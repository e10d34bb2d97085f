"""Wall clock to a solved CartPole-v1: a whole supervised run over what one would use instead.

Every arm is a process of its own, timed from its start, imports included, until the mean return of
its last 20 training episodes is at least 475 and a greedy evaluation of 20 episodes after that is,
too. Settings and rule are in ``cartpole_task``, which all arms import. Arms take turns, one run
after the other, so that all get the same machine; every seed gives one run of each arm, and a run
that is not solved after `LIMIT_S` counts as `LIMIT_S`. The quotients are of equal seeds, though
runs of equal seeds have nothing but their place in time in common.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

from benchmarks.pairs import interleave, ratio

LIMIT_S = 240.0
SEEDS = 10
ARMS = {
    "tuitrain": "benchmarks.cartpole_ours",
    "plain loop": "benchmarks.baseline_dqn",
    "stable-baselines3": "benchmarks.baseline_sb3",
}


def measure(seeds: int = SEEDS) -> dict[str, Any]:
    """Figures by name, from runs of every arm with seeds 1 to `seeds`."""
    arms = dict(ARMS)
    if find_spec("stable_baselines3") is None:
        del arms["stable-baselines3"]
        print("  stable-baselines3 is not installed (make bench-peers): its arm is left out")
    reached: dict[str, list[float | None]] = {name: [] for name in arms}
    steps: dict[str, list[int]] = {name: [] for name in arms}

    def run(name: str) -> float:
        seed = len(reached[name]) + 1
        took, outcome = run_arm(arms[name], seed)
        start = took["start"]
        at = outcome["reached_at"]
        reached[name].append(None if at is None else at - start)
        steps[name].append(outcome["steps"])
        done = outcome["solved_at"]
        seconds = LIMIT_S if done is None else min(LIMIT_S, done - start)
        print(
            f"  {name}, seed {seed}: "
            + (f"solved in {seconds:.1f} s" if done else f"not solved in {LIMIT_S:.0f} s")
            + f", {outcome['steps']:,} steps, evaluation {outcome['evaluation']}",
            flush=True,
        )
        return seconds

    found = interleave({name: partial(run, name) for name in arms}, seeds)
    figures: dict[str, Any] = {}
    for name in arms:
        if name != "tuitrain":
            figures[f"wall clock, {name} / tuitrain, quotient of medians"] = round(
                median(found[name]) / median(found["tuitrain"]), 2
            )
            figures[f"wall clock, {name} / tuitrain"] = ratio(found[name], found["tuitrain"])
    for name in arms:
        figures[f"seconds until solved, {name}"] = {
            "median": f"{median(found[name]):.1f}",
            "all": " ".join(f"{s:.0f}" for s in sorted(found[name])),
            "unsolved": sum(s >= LIMIT_S for s in found[name]),
            "training mean reached (median)": f"{_median(reached[name]):.1f}",
            "steps (median)": f"{median(steps[name]):,.0f}",
        }
    return figures


def run_arm(module: str, seed: int) -> tuple[dict[str, float], dict[str, Any]]:
    """One run. Returns its unix times of start and end, and what it printed."""
    start = time.time()
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", "-m", module),
            *("--seed", str(seed), "--limit-at", str(start + LIMIT_S)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process, which then ends the arm, once
    )
    try:
        out, _ = process.communicate(timeout=LIMIT_S + 60)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"{module} ended with exit code {process.returncode}")
    return {"start": start, "end": time.time()}, json.loads(out.splitlines()[-1])


def _median(values: list[float | None]) -> float:
    return median(LIMIT_S if value is None else value for value in values)
