"""`python -m tests.faults`: cases of the fault matrix, many or one, and the table of results."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.faults.campaign import Numbered, Results, progress, run_cases, struck, wrong
from tests.faults.cases import Case, draw
from tests.faults.report import tables, write_section

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
DEFAULT = Path("build/faults")

NAMED = 1_000_000
"""Number of the first case that was named: it takes no drawn one's place among the results."""


def main(argv: list[str] | None = None) -> int:
    """Run; 0 if every case of the seeds has a result and none a problem, whenever it was run."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times")
    parser.add_argument(
        "--cases", type=int, default=1000, help="so many with a fault for each seed"
    )
    parser.add_argument("--case", action="append", help="only this one, by its name")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    cores = len(os.sched_getaffinity(0))
    help_jobs = "runs side by side; two a core, since many wait for a deadline to pass"
    parser.add_argument("--jobs", type=int, default=2 * cores, help=help_jobs)
    parser.add_argument("--folder", type=Path, default=DEFAULT, help="results, and failed runs")
    parser.add_argument("--again", action="store_true", help="also those that were as declared")
    parser.add_argument("--table", action="store_true", help="write docs/reliability.md, run none")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    path = given.folder / "results.jsonl"
    results = Results(path)
    if given.table:
        write_section(PAGE, "faults", tables(results.all()))
        return 0
    try:
        return 1 if sum(_failed(seed, given, results) for seed in given.seed or [1]) else 0
    except KeyboardInterrupt:
        print(f"stopped; the cases that are complete are in {path}", file=sys.stderr)
        return 130


def _failed(seed: int, given: argparse.Namespace, results: Results) -> int:
    """Run what a seed still needs; how many of its cases are not as declared."""
    named = [Case.parse(name) for name in given.case or []]
    total = given.cases
    while True:
        cases: list[Numbered] = [
            (number, case)
            for number, case in (enumerate(named, NAMED) if named else enumerate(draw(seed, total)))
            if given.only in case.name
        ]
        print(f"seed {seed}: {len(cases)} cases", flush=True)
        root = given.folder.absolute()
        told = progress(len(cases))
        again = given.again and total == given.cases  # what has just been run is not run twice
        run_cases(cases, seed, root, results, given.jobs, told, again=again)
        known = results.of(seed, cases)
        missing = given.cases - struck(known)
        if named or given.only or missing <= 0 or total >= 2 * given.cases:
            break
        total += missing + missing // 4 + 1  # some of these will not make their call either
    bad = wrong(cases, known)
    for text in bad:
        print(f"FAILED {text}")
    print(
        f"seed {seed}: {len(cases) - len(bad)} of {len(cases)} cases as declared; "
        f"a fault struck in {struck(known)}",
        flush=True,
    )
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
