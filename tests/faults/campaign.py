"""Many cases: dealt to runs, some runs side by side, results kept line by line.

Cases of one schedule share a run for as long as it goes on; one that ends is resumed by the next.
Interrupted, a campaign keeps what is complete and goes on where it was. What counts is what is
stored: the last result of every case, in whichever call it was run.
"""

from __future__ import annotations

import json
import queue
import random
import shutil
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.arena import Arena, Result
from tests.faults.attack import Attack
from tests.faults.audit import Audit, Rules, audit, read
from tests.faults.cases import Case
from tests.sites import Stuck
from tuitrain.checkpoint.files import checkpoints
from tuitrain.checkpoint.payload import CheckpointError, load_whole
from tuitrain.config.schema import Config

PER_RUN = 25
LONG_STOPS = 10
"""So many of the SIGSTOPs last 30 s."""

Told = Callable[[Result], None]
Numbered = tuple[int, Case]


class Results:
    """What is known so far, one JSON line for each time that a case was run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, number: int, seed: int, result: Result, commit: str) -> None:
        """Keep one, of the program as it was then."""
        line = json.dumps({"number": number, "seed": seed, "commit": commit, **asdict(result)})
        with self._lock, open(self._path, "a") as file:
            file.write(line + "\n")

    def of(self, seed: int, cases: Sequence[Numbered]) -> dict[int, dict[str, Any]]:
        """By number, the last result of each of these cases that has one.

        What stands under the number of a case that is now another one is no result of it.
        """
        names = {number: case.name for number, case in cases}
        mine = [line for line in self.all() if line["seed"] == seed]
        return {line["number"]: line for line in mine if names.get(line["number"]) == line["name"]}

    def all(self) -> list[dict[str, Any]]:
        """The last line of every case of every seed."""
        if not self._path.exists():
            return []
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return list({(line["seed"], line["number"]): line for line in lines}.values())


def wrong(cases: Sequence[Numbered], results: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """What speaks against a seed: cases that have failed, and those without a result."""
    out = []
    for number, case in cases:
        if number not in results:
            out.append(f"{case.name}: has not been run to its end")
        elif problems := results[number]["problems"]:
            out.append(f"{case.name}: {'; '.join(problems)}")
    return out


def struck(results: Mapping[int, Mapping[str, Any]]) -> int:
    """In how many cases there was a fault: the others do not make so many calls."""
    return sum(line["outcome"] != "passed" for line in results.values())


def commit() -> str:
    """The program's: a short hash, `+` if files differ from it; "unknown" outside a repository."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def deal(cases: Sequence[Numbered], per_run: int = PER_RUN) -> list[list[Numbered]]:
    """Into runs: cases of one schedule. Those that start the run come one after another: a run that
    has just ended need not be resumed for the next one to end it as it starts.
    """
    by_schedule: dict[str, list[Numbered]] = {}
    for number, case in sorted(cases, key=lambda one: one[1].where.provoke == "start"):
        by_schedule.setdefault(case.schedule, []).append((number, case))
    lots = [
        (at / len(listed), listed[at : at + per_run])
        for listed in by_schedule.values()
        for at in range(0, len(listed), per_run)
    ]
    return [lot for _, lot in sorted(lots, key=lambda one: one[0])]  # of all schedules in turn


def run_cases(
    cases: Sequence[Numbered],
    seed: int,
    root: Path,
    results: Results,
    jobs: int,
    told: Told = lambda _: None,
    *,
    again: bool = False,
) -> None:
    """Run all that are not done; those that have failed are run again.

    Args:
        again: also those that were as declared. What is known of others stays.

    Raises:
        KeyboardInterrupt: it was interrupted; what had begun has been brought to its end, and kept.
    """
    known = results.of(seed, cases)
    done = {number for number, line in known.items() if not (line["problems"] or again)}
    left = [(number, case) for number, case in cases if number not in done]
    stops = [number for number, case in cases if case.fault == "SIGSTOP"][:LONG_STOPS]
    lots: queue.SimpleQueue[list[Numbered]] = queue.SimpleQueue()
    for lot in deal(left):
        lots.put(lot)
    begin, enough = threading.Event(), threading.Event()

    def work() -> None:
        begin.wait()
        while not enough.is_set():
            try:
                lot = lots.get_nowait()
            except queue.Empty:
                return
            begun_with = commit()
            try:
                ran = run_lot(lot, seed, root, stops, told, enough)
            except Exception:  # its cases have no result, which is told in the end
                traceback.print_exc()
                continue
            for number, result in ran:
                results.add(number, seed, result, begun_with)

    # not threads that are joined: an interrupted `join` takes its thread for ended (Python 3.11)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            working = [pool.submit(work) for _ in range(jobs)]
            begin.set()
            wait(working)
        finally:
            enough.set()  # interrupted: what has begun is brought to its end
            begin.set()
    for one in working:
        one.result()


def run_lot(
    lot: Sequence[Numbered],
    seed: int,
    root: Path,
    long_stops: Sequence[int] = (),
    told: Told = lambda _: None,
    enough: threading.Event | None = None,
    *,
    and_disk: bool = True,
) -> list[tuple[int, Result]]:
    """The cases of one run, and what its ledgers and files say when all are over.

    Args:
        long_stops: numbers of those in which a process is stopped for 30 s.
        enough: set when the cases that are left shall not be begun.
        and_disk: look also at what is on the disk in the end, and resume from it.
    """
    first, case = lot[0]
    arena = Arena(case.schedule, root / f"{seed}-{first:04d}-{case.schedule}")
    out: list[tuple[int, Result]] = []
    try:
        for number, case in lot:
            if out and enough is not None and enough.is_set():
                break
            rng = random.Random(f"{seed} {number} {case.name}")
            attack = Attack(arena, case, number, rng, number in long_stops)
            result = attack.run()
            out.append((number, result))
            told(result)
        last = out[-1][1]
        if and_disk:
            last.problems += from_disk(arena)
    finally:
        left = arena.close()
    last.problems += [f"left in the end: {text}" for text in left]
    for time_s, text in look(arena).faults:
        struck = [r for _, r in out if r.fired_s <= time_s]
        (struck[-1] if struck else out[0][1]).problems.append(f"ledger: {text}")
    for _, result in out:
        result.problems = result.problems[:20]
    if not any(result.problems for _, result in out):
        shutil.rmtree(arena.root, ignore_errors=True)
    return out


def look(arena: Arena) -> Audit:
    """At the ledgers of a run."""
    return audit(read(arena.faults / "ledger"), rules(arena.config))


def rules(config: Config) -> Rules:
    """What the ledgers of a run are held to."""
    learner, actors = config.learner, config.actors
    assert isinstance(actors.count, int)
    ratio = float(learner.updates_per_transition)
    chunk = actors.envs_per_actor * actors.chunk_steps
    apart = (config.replay.max_lead + 2) * actors.count  # in chunks
    return Rules(
        n_step=learner.n_step,
        gamma=learner.gamma,
        ratio=ratio,
        slack_updates=apart * chunk * ratio + 1,
        loss_updates=chunk * ratio + learner.publish_every_updates,
    )


def from_disk(arena: Arena) -> list[str]:
    """End every process of a run at once: is what is on the disk sound, and can it go on?"""
    arena.kill()
    problems = damaged(arena.folder.checkpoints)
    try:
        arena.up()
    except Stuck as stuck:
        problems.append(f"cannot be resumed from what is on the disk: {stuck}")
    return problems


def damaged(folder: Path) -> list[str]:
    """Checkpoints that are not sound, whichever they are, with the replay and state they hold."""
    problems = []
    for path in checkpoints(folder):
        try:
            load_whole(path)
        except CheckpointError as error:
            problems.append(f"damaged checkpoint: {error}")
    return problems


def progress(total: int) -> Told:
    """Prints a line for every case."""
    began = time.monotonic()
    lock = threading.Lock()
    count = 0

    def told(result: Result) -> None:
        nonlocal count
        with lock:
            count += 1
            how = "FAILED " + "; ".join(result.problems)[:300] if result.problems else "ok"
            times = f"{result.took_s:5.1f} s"
            print(
                f"{time.monotonic() - began:6.0f} s {count:4d}/{total} {times} {result.name} "
                f"[{result.where}] {result.outcome}: {how}",
                flush=True,
            )

    return told
