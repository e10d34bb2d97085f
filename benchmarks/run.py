"""`python -m benchmarks.run [NAME...]`: run subjects, print their figures as ratios."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import PAIRS, machine, peers

SUBJECTS = {
    "learner": "updates/s of async's learner over a bare update loop",
    "actor": "actor steps/s over a bare loop of environment and inference",
    "schedules": "wall clock of async and lockstep over sequential",
    "audit": "time of actor and learner with the live audit over without",
    "diagnosis": "time of actor and learner with all that is measured for checks over without",
    "diagnosis-supervisor": "a supervisor's processor time for checks, as a share of a core",
    "diagnosis-runs": "steps/s of a run with all that is measured for checks over without, in turn",
    "micro": "single operations over the least they could cost",
    "stacked": "updates/s of policies stacked over one by one",
    "replay": "append and sample in one process over a bare gather and over other libraries",
    "pipeline": "a writer and a reader at once, and weights from process to process",
    "treasurehunt": "turns/s of the original's setting over what its arithmetic allows",
    "cartpole": "wall clock until CartPole is solved over a plain loop and stable-baselines3",
}
WITH_PEERS = ("replay", "pipeline", "cartpole")
"""Measured against the libraries of `make bench-peers`, in their environment if there is one."""
PEERS = Path(__file__).parent.parent / ".venv-peers"


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        epilog="subjects: " + "; ".join(f"{name}: {text}" for name, text in SUBJECTS.items()),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="rounds (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=int, default=10, help="runs of `cartpole`'s arms (default: 10)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    given = parser.parse_args()
    if unknown := set(given.names) - SUBJECTS.keys():
        parser.error(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    names = given.names or list(SUBJECTS)
    if any(name in WITH_PEERS for name in names):
        _go_to_peers()
    # as in a worker: before anything imports torch
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    found: dict[str, Any] = {"machine": machine()}
    if any(name in WITH_PEERS for name in names):
        found["machine"] |= peers()
    print("  ".join(f"{key}: {value}" for key, value in found["machine"].items()))
    for name in names:
        pairs = given.seeds if name == "cartpole" else given.pairs
        print(f"\n{name}: {SUBJECTS[name]}; {pairs} pairs, median [95 % interval]")
        start = time.monotonic()
        figures = _module(name).measure(pairs)
        show(figures)
        print(f"  ({time.monotonic() - start:.0f} s, load now {os.getloadavg()[0]:.1f})")
        found[name] = figures
    if given.json:
        with open(given.json, "w") as file:
            json.dump(found, file, indent=1, default=vars)
    return 0


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name.replace('-', '_')}")


def _go_to_peers() -> None:
    """Become the same command in the peers' environment, so that all arms share one."""
    python = PEERS / "bin" / "python"
    if Path(sys.prefix).resolve() == PEERS.resolve():
        return
    if not python.exists():
        print("no .venv-peers (make bench-peers): arms of other libraries are left out")
        return
    os.execv(python, [str(python), "-m", "benchmarks.run", *sys.argv[1:]])


def show(figures: dict[str, Any]) -> None:
    """One line per figure."""
    width = max(map(len, figures))
    for name, value in figures.items():
        if isinstance(value, dict):
            value = "  ".join(
                f"{key} {part:.1%}" if isinstance(part, float) else f"{key} {part}"
                for key, part in value.items()
            )
        print(f"  {name:{width}}  {value}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # processes and memory are cleaned up
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
