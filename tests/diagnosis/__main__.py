"""`python -m tests.diagnosis`: every fault and every run without one, and their tables."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.diagnosis.cases import Case
from tests.diagnosis.clean import CLEAN
from tests.diagnosis.injections import INJECTIONS
from tests.diagnosis.matrix import problems, sabotaged_table, tables
from tests.diagnosis.runs import Seen, a_place, run_case
from tests.diagnosis.sabotaged import SABOTAGED
from tests.faults.report import write_section

PAGE = Path(__file__).parents[2] / "docs" / "catalogue.md"


def main(argv: list[str] | None = None) -> int:
    """Run; 0 if all is as declared."""
    parser = argparse.ArgumentParser(prog="python -m tests.diagnosis", description=__doc__)
    parser.add_argument("--only", action="append", help="only this case; may be given often")
    parser.add_argument("--no-table", action="store_true", help="leave docs/catalogue.md alone")
    jobs = max(1, len(os.sched_getaffinity(0)) // 2)
    parser.add_argument("--jobs", type=int, default=jobs, help="runs side by side")
    parser.add_argument("--keep", type=Path, help="keep the run folders here")
    given = parser.parse_args(argv)
    cases = [c for c in (*INJECTIONS, *CLEAN, *SABOTAGED) if not given.only or c.name in given.only]
    root = given.keep or Path(tempfile.mkdtemp(prefix="tuitrain-diagnosis-"))
    try:
        results, wrong = run_all(cases, root.absolute(), given.jobs)
    finally:
        if given.keep is None:
            shutil.rmtree(root, ignore_errors=True)
    if not given.only and not given.no_table and len(results) == len(cases):
        write_section(PAGE, "diagnosis", tables(INJECTIONS, CLEAN, results))
        write_section(PAGE, "sabotaged", sabotaged_table(SABOTAGED, results))
    print(f"{len(cases) - wrong} of {len(cases)} cases as declared")
    return 1 if wrong else 0


def run_all(cases: Sequence[Case], root: Path, jobs: int) -> tuple[dict[str, Seen], int]:
    """Run them side by side, telling of each as it ends.

    Returns:
        What was seen, by name, and how many cases are not as declared.
    """
    results: dict[str, Seen] = {}
    wrong = 0
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(_run, case, root): case for case in cases}
        for future in as_completed(running):
            case = running[future]
            try:
                seen = future.result()
                found = problems(case, seen)
                results[case.name] = seen
                told = f"{seen.seconds:.0f} s: {', '.join(seen.raised) or 'nothing'}"
            except Exception as error:
                found, told = [f"{case.name}: {type(error).__name__}: {error}"], "failed"
            print(f"{'FAILED' if found else 'ok    '} {case.name}: {told}", flush=True)
            for text in found:
                print(f"         {text}", flush=True)
            wrong += bool(found)
    return results, wrong


def _run(case: Case, root: Path) -> Seen:
    folder = root / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with a_place(folder) as place:
        return run_case(case, place)


if __name__ == "__main__":
    sys.exit(main())
