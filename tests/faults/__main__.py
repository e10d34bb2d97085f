"""`python -m tests.faults`: cases of the fault matrix, many or one, and the table of results."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.faults.campaign import Results, progress, run_cases
from tests.faults.cases import Case, draw
from tests.faults.report import tables, write_section

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
DEFAULT = Path("build/faults")


def main(argv: list[str] | None = None) -> int:
    """Run; 0 if no case had a problem."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times")
    parser.add_argument("--cases", type=int, default=1000, help="so many for each seed")
    parser.add_argument("--case", action="append", help="only this one, by its name")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    cores = len(os.sched_getaffinity(0))
    help_jobs = "runs side by side; two a core, since many wait for a deadline to pass"
    parser.add_argument("--jobs", type=int, default=2 * cores, help=help_jobs)
    parser.add_argument("--folder", type=Path, default=DEFAULT, help="results, and failed runs")
    parser.add_argument("--again", action="store_true", help="also cases that have been run")
    parser.add_argument("--table", action="store_true", help="write docs/reliability.md, run none")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    path = given.folder / "results.jsonl"
    if given.again:
        path.unlink(missing_ok=True)
    results = Results(path)
    failed = 0
    for seed in given.seed or [1]:
        if given.table:
            break
        named = [Case.parse(name) for name in given.case or []]
        cases = [
            (number, case)
            for number, case in enumerate(named or draw(seed, given.cases))
            if given.only in case.name
        ]
        print(f"seed {seed}: {len(cases)} cases", flush=True)
        out = run_cases(
            cases, seed, given.folder.absolute(), results, given.jobs, progress(len(cases))
        )
        bad = [result for result in out if result.problems]
        failed += len(bad)
        for result in bad:
            print(f"FAILED {result.name}: {'; '.join(result.problems)}")
        print(f"seed {seed}: {len(out) - len(bad)} of {len(out)} cases as declared", flush=True)
    if given.table:
        write_section(PAGE, "faults", tables(results.all()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
