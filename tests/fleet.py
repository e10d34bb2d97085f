"""Real worker processes for tests, started once and used for run after run.

A parity test needs hundreds of small parallel runs; most of a worker's life would be importing
torch. The fleet's processes run the schedules' own functions over real shared memory, locks and
doorbells; only the supervisor is missing. `entries` swaps a role's function for a test double.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.replay.layout import HEADER_TAIL
from tuitrain.schedules import roles
from tuitrain.workers import messages, stores
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.stores import Stores

MAX_ACTORS = 3
NAMES = ("learner", *(f"a{i}" for i in range(MAX_ACTORS)), "eval", "learner1", "learner2")
SLOTS = {"trainer": "learner", "learner0": "learner"}
"""Workers that are played by the process of another name."""


@dataclass
class Job:
    """One role of one run, for one of the fleet's processes."""

    entry: str
    name: str
    role: str
    index: int
    blueprint: Blueprint
    folder: str


@dataclass
class Outcome:
    """What a run left behind.

    Attributes:
        fingerprint: per policy, SHA-256 of weights and replay columns.
        records: all metrics records, in the order in which they came.
        failures: tracebacks by worker name.
        totals: the limiter's counts at the end.
        tails: oldest readable row of every shard; more than 0 means that its ring has wrapped.
        counters: the last heartbeat's, by worker name.
        saved: what learners and actors answered to the checkpoint that was asked for.
    """

    fingerprint: dict[str, dict[str, str]] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    totals: Any = None
    tails: list[int] = field(default_factory=list)
    counters: dict[str, dict[str, float]] = field(default_factory=dict)
    saved: list[dict[str, Any]] = field(default_factory=list)

    def evaluations(self) -> list[tuple[Any, ...]]:
        """Evaluations without clocks."""
        return [
            (
                r["policy"],
                r["steps"],
                r["updates"],
                r["version"],
                r["return_mean"],
                r["return_ci95"],
            )
            for r in self.records
            if r["kind"] == "eval"
        ]


class RunFailed(AssertionError):
    """A worker of the fleet raised, or the run did not end in time."""


def _serve(
    jobs: Connection,
    control: Connection,
    doorbell: Connection,
    peers: dict[str, Connection],
    log_path: str,
) -> None:
    """A fleet process: the same entry functions as a supervised worker, again and again."""
    import gc
    import importlib
    import resource
    import sys
    import traceback

    from tuitrain.workers.child import ChildArgs
    from tuitrain.workers.link import Link, StopRequested

    # A run's segments and lock file stay open until its process ends, and this one does not end.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            job: Job | None = jobs.recv()
        except EOFError:
            return
        if job is None:
            return
        link = Link(control, doorbell, peers, 0.2)
        args = ChildArgs(
            name=job.name,
            role=job.role,
            index=job.index,
            incarnation=0,
            entry=job.entry,
            config=job.blueprint.config,
            blueprint=job.blueprint,
            control=control,
            lifeline=doorbell,
            doorbell=doorbell,
            log_path=log_path,
            supervisor_pid=os.getppid(),
            run_dir=job.folder,
        )
        module, _, function = job.entry.partition(":")
        try:
            getattr(importlib.import_module(module), function)(args, link)
        except StopRequested:
            pass
        except BaseException as error:
            text = "".join(traceback.format_exception(error))
            print(text, file=sys.stderr, flush=True)
            failed = messages.Failed(
                error_type=type(error).__name__, message=str(error)[:1000], traceback=text[-6000:]
            )
            control.send_bytes(messages.encode(failed))
            # a stop may still be under way to this process
            while not isinstance(messages.decode_to_worker(control.recv_bytes()), messages.Stop):
                pass
        gc.collect()  # lets go of the run's segments
        jobs.send("done")


class Fleet:
    """Worker processes by role name; `run` trains one config to its end."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="tuitrain-fleet-")
        self._context = multiprocessing.get_context("spawn")
        self._doorbells = {name: self._context.Pipe(duplex=False) for name in NAMES}
        self._jobs: dict[str, Connection] = {}
        self._control: dict[str, Connection] = {}
        self._processes: list[Any] = []
        self._ids = itertools.count(1)
        for name in NAMES[: 2 + MAX_ACTORS]:  # further learners when they are first needed
            self._start(name)

    def _start(self, name: str) -> None:
        jobs, jobs_theirs = self._context.Pipe()
        control, control_theirs = self._context.Pipe()
        peers = {other: w for other, (_, w) in self._doorbells.items() if other != name}
        peers |= {other: peers[slot] for other, slot in SLOTS.items() if slot != name}
        process = self._context.Process(
            target=_serve,
            args=(
                jobs_theirs,
                control_theirs,
                self._doorbells[name][0],
                peers,
                f"{self._folder}/{name}.log",
            ),
            daemon=True,
        )
        process.start()
        jobs_theirs.close()
        control_theirs.close()
        self._jobs[name], self._control[name] = jobs, control
        self._processes.append(process)

    def close(self) -> None:
        """End the processes."""
        for jobs in self._jobs.values():
            jobs.send(None)
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(
        self,
        config: Config,
        *,
        entries: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
        check: bool = True,
        look: Callable[[Stores], None] | None = None,
        folder: Path | None = None,
        save: bool = False,
        told: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Train `config` in its schedule.

        Args:
            folder: of the run, from whose newest checkpoint it goes on; a new one if not given.
            save: ask for a checkpoint with state as soon as there is somebody to hear it.
            told: values by dotted key that all are told while they make the first round.
            look: called with the run's shared memory when everybody has finished.
            entries: role -> `module:function` to use instead of the schedule's own.
            check: raise ``RunFailed`` if a worker failed.
        """
        from tuitrain.workers.asides.probe import probe

        config = resolve(config, cores=4)
        run_id = f"{os.getpid():x}-{next(self._ids)}"
        folder = folder or Path(self._folder) / run_id
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        blueprint = Blueprint.from_probe(
            run_id=run_id,
            run_dir=str(folder),
            lock_path=f"{self._folder}/{run_id}.lock",
            config=config,
            report=probe(config, folder),
        )
        shared = stores.create(blueprint)
        try:
            outcome = self._drive(blueprint, entries or {}, str(folder), timeout_s, save, told)
            outcome.totals = shared.limiter.totals()
            if look is not None:
                look(shared)
            for replay in shared.replays.values():
                outcome.tails += replay.columns.header[:, HEADER_TAIL].tolist()
        finally:
            shared.close()
            stores.unlink_all(run_id)
        if check and outcome.failures:
            raise RunFailed("\n".join(f"{n}: {t}" for n, t in outcome.failures.items()))
        return outcome

    def _drive(
        self,
        blueprint: Blueprint,
        entries: Mapping[str, str],
        folder: str,
        timeout_s: float,
        save: bool,
        told: Mapping[str, Any] | None,
    ) -> Outcome:
        outcome = Outcome()
        slots: dict[str, str] = {}
        for spec in roles(blueprint.config):
            slot = SLOTS.get(spec.name, spec.name)
            if slot not in self._jobs:
                self._start(slot)
            slots[slot] = spec.name
            if told:  # before the job, so that it is there whenever they look first
                change = messages.Set(command_id=2, number=1, values=dict(told))
                self._control[slot].send_bytes(messages.encode(change))
            entry = entries.get(spec.role, spec.entry)
            self._jobs[slot].send(Job(entry, spec.name, spec.role, spec.index, blueprint, folder))
        for slot in slots if save else ():
            if slot != "eval":
                wanted = messages.Checkpoint(command_id=1, state=True)
                self._control[slot].send_bytes(messages.encode(wanted))
        waiting = set(slots)
        deadline = time.monotonic() + timeout_s
        by_connection = {self._control[slot]: slot for slot in slots}
        while waiting:
            ready = wait(list(by_connection), timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                outcome.failures |= {slots[s]: "did not finish in time" for s in waiting}
                break
            for connection in ready:
                assert isinstance(connection, Connection)
                slot = by_connection[connection]
                message = messages.decode_from_worker(connection.recv_bytes())
                if isinstance(message, messages.Record):
                    outcome.records.append(message.record)
                elif isinstance(message, messages.Heartbeat):
                    outcome.counters[slots[slot]] = message.counters
                elif isinstance(message, messages.Failed):
                    outcome.failures[slots[slot]] = message.traceback
                    waiting.clear()
                elif isinstance(message, messages.Ack) and save:
                    assert message.ok, message.result
                    outcome.saved.append(message.result)
                elif isinstance(message, messages.Finished):
                    waiting.discard(slot)
                    outcome.fingerprint |= message.result.get("fingerprint") or {}
        for slot in slots:
            self._control[slot].send_bytes(
                messages.encode(messages.Stop(command_id=0, checkpoint=False))
            )
        for slot in slots:
            if not self._jobs[slot].poll(timeout_s):
                raise RunFailed(f"{slots[slot]} did not stop")
            self._jobs[slot].recv()
            while self._control[slot].poll(0):
                self._control[slot].recv_bytes()
        return outcome
