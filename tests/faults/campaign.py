"""Many cases: dealt to runs, some runs side by side, results kept line by line.

Cases of one schedule share a run for as long as it goes on; one that ends is resumed by the next.
Interrupted, a campaign goes on where it was.
"""

from __future__ import annotations

import json
import queue
import random
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tests.faults.arena import Arena, Result
from tests.faults.attack import Attack
from tests.faults.audit import Audit, Rules, audit, read
from tests.faults.cases import Case
from tests.sites import Stuck
from tuitrain.checkpoint import newest
from tuitrain.config.schema import Config

PER_RUN = 25
LONG_STOPS = 10
"""So many of the SIGSTOPs last 30 s."""

Told = Callable[[Result], None]


class Results:
    """What is known so far, one JSON line a case."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, number: int, seed: int, result: Result) -> None:
        """Keep one."""
        line = json.dumps({"number": number, "seed": seed, **asdict(result)})
        with self._lock, open(self._path, "a") as file:
            file.write(line + "\n")

    def done(self, seed: int) -> set[int]:
        """Numbers of the cases of a seed that need not be run again."""
        return {line["number"] for line in self.all() if line["seed"] == seed}

    def all(self) -> list[dict[str, object]]:
        """Every line."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text().splitlines()]


def deal(cases: Sequence[tuple[int, Case]], per_run: int = PER_RUN) -> list[list[tuple[int, Case]]]:
    """Into runs: cases of one schedule. Those that start the run come one after another: a run that
    has just ended need not be resumed for the next one to end it as it starts.
    """
    by_schedule: dict[str, list[tuple[int, Case]]] = {}
    for number, case in sorted(cases, key=lambda one: one[1].where.provoke == "start"):
        by_schedule.setdefault(case.schedule, []).append((number, case))
    lots = [
        (at / len(listed), listed[at : at + per_run])
        for listed in by_schedule.values()
        for at in range(0, len(listed), per_run)
    ]
    return [lot for _, lot in sorted(lots, key=lambda one: one[0])]  # of all schedules in turn


def run_cases(
    cases: Sequence[tuple[int, Case]],
    seed: int,
    root: Path,
    results: Results,
    jobs: int,
    told: Told = lambda _: None,
) -> list[Result]:
    """Run all that are not done; returns the results of this call."""
    done = results.done(seed)
    left = [(number, case) for number, case in cases if number not in done]
    stops = [number for number, case in cases if case.fault == "SIGSTOP"][:LONG_STOPS]
    lots: queue.SimpleQueue[list[tuple[int, Case]]] = queue.SimpleQueue()
    for lot in deal(left):
        lots.put(lot)
    out: list[Result] = []
    enough = threading.Event()

    def work() -> None:
        while not enough.is_set():
            try:
                lot = lots.get_nowait()
            except queue.Empty:
                return
            for number, result in run_lot(lot, seed, root, stops, told, enough):
                results.add(number, seed, result)
                out.append(result)

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        enough.set()  # interrupted: what has begun is brought to its end
        for thread in threads:
            thread.join()
    return out


def run_lot(
    lot: Sequence[tuple[int, Case]],
    seed: int,
    root: Path,
    long_stops: Sequence[int] = (),
    told: Told = lambda _: None,
    enough: threading.Event | None = None,
) -> list[tuple[int, Result]]:
    """The cases of one run, and what its ledgers and files say when all are over.

    Args:
        long_stops: numbers of those in which a process is stopped for 30 s.
        enough: set when the cases that are left shall not be begun.
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
        if arena.to_resume:
            with suppress(Stuck):  # the cases have been told
                arena.up()
    finally:
        left = arena.close()
    last = out[-1][1]
    last.problems += [f"left in the end: {text}" for text in left]
    last.problems += damaged(arena)
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


def damaged(arena: Arena) -> list[str]:
    """Checkpoints of a run that are not sound."""
    found = newest(arena.folder.checkpoints)
    return [] if found is None else [f"damaged checkpoint: {text}" for text in found[2]]


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
