"""A run that is attacked: started and resumed, ordered to fail, listened to, and searched for
what it leaves.

Looks at the run as a user can (folder, socket, exit code), and at its ledgers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.faults import worlds
from tests.faults.orders import Order
from tests.faults.processes import FAULTS
from tests.sites import Site, Stuck, eventually, segments_of
from tuitrain.cli.client import BlockingClient
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder, create_run, new_run_id
from tuitrain.config.schema import Config
from tuitrain.protocol import Command, Reply
from tuitrain.supervisor.stop_signals import held_back

GOES_ON_S = 90.0
"""From a fault until all work again: the longest deadline here (6 s) and a start-up, of which 35 s
have been seen, with sixteen runs on four cores, and as much for worse moments."""
PATIENCE_S = 150.0
"""For a whole run to come up or to end: as many runs that start at once need up to 64 s. Longer
than the run's own deadline for a start, which says who is late."""
STARTUP_S = 120.0
SHORT_STARTUP_S = 20.0
"""Of a start in which a process is stopped until long after its deadline."""
WORK = {"actor": "commit", "learner": "updates", "trainer": "updates", "evaluator": "pull"}
"""The line in a ledger by which a role shows that it is at work."""


T = TypeVar("T")


@dataclass
class Result:
    """Of one case.

    Attributes:
        outcome: what became; "passed" if the operation makes fewer calls than that.
        problems: what is not as it must be; none if the case has passed.
        where: line or call at which the fault struck.
        detected_s: from the fault until an event told of it.
        recovered_s: from the fault (from SIGCONT, if that came first) until the role that it struck
            was at work again.
        resumed_s: how long it took to resume the run, if that had ended.
        fired_s: monotonic time of the fault.
    """

    name: str
    outcome: str = ""
    problems: list[str] = field(default_factory=list)
    where: str = ""
    detected_s: float | None = None
    recovered_s: float | None = None
    resumed_s: float | None = None
    fired_s: float = 0.0
    took_s: float = 0.0


def config_for(schedule: str, root: Path) -> Config:
    """The run of a schedule of the matrix: small, slow enough for many beside each other."""
    child = schedule == "child"
    actors = 2 if schedule == "async" else 1
    kwargs: dict[str, Any] = {"step_s": 0.004}
    if child:
        kwargs |= {"child": True, "children": str(root / "children")}
    return resolve(
        Config.model_validate(
            {
                "run": {
                    "name": "f",
                    "schedule": "async" if child else schedule,
                    "total_steps": 1_000_000_000,
                    "out_dir": str(root / "runs"),
                    "checkpoint_every_s": 5.0,
                    "keep_checkpoints": 2,
                },
                "env": {"id": f"{worlds.__file__}:Tagged", "kwargs": kwargs, "n_frames": 2},
                "actors": {"count": actors, "envs_per_actor": 2, "chunk_steps": 4, "device": "cpu"},
                "replay": {"capacity": 2_000, "learning_starts": 100},
                "learner": {
                    "network_kwargs": {"hidden": [8]},
                    "batch_size": 8,
                    "replay_ratio": 0.25,
                    "publish_every_updates": 4,
                    "n_step": 3,
                    "device": "cpu",
                },
                "eval": {"every_steps": 400, "episodes": 2},
                "supervisor": {
                    "heartbeat_s": 0.1,
                    "startup_deadline_s": STARTUP_S,
                    "progress_deadline_s": 4.0,
                    "lock_deadline_s": 3.0,
                    "stop_deadline_s": 6.0,
                    "max_restarts": 1_000,
                },
            }
        )
    )


class Arena(Site):
    """One run folder, and its supervisor while there is one."""

    def __init__(self, schedule: str, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        super().__init__(root, Path(tempfile.mkdtemp(prefix="tt-")))  # short: a socket's path
        self.environment |= {"PYTHONPATH": str(Path(__file__).parents[2])}
        self.schedule = schedule
        self.config = config_for(schedule, root)
        self.folder: RunFolder = create_run(self.config)
        # from the first, so that it is found also where its supervisor cannot write this
        run_id = new_run_id()
        sock = self.runtime / "tuitrain" / run_id / "sock"
        self.folder.write_runtime(run_id=run_id, pid=os.getpid(), socket_path=str(sock))
        self.faults = self.folder.path / FAULTS
        (self.faults / "orders").mkdir(parents=True)
        (self.faults / "ledger").mkdir()
        self._run_ids: set[str] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self.to_resume: list[Result] = []
        """Cases that have ended the run since it was up last."""

    # ---- its life ----------------------------------------------------------------------------

    def start(self, startup_deadline_s: float = STARTUP_S) -> None:
        """Start it, or resume it; does not wait."""
        self._forget()
        limits = self.config.supervisor.model_copy(
            update={"startup_deadline_s": startup_deadline_s}
        )
        if limits != self.config.supervisor:
            self.config = self.config.model_copy(update={"supervisor": limits})
            self.folder.store_config(self.config)
        self.started_s = time.time()
        # held back as by `launch`, also from the threads that its imports start
        with open(self.root / "output.log", "ab") as log, held_back():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.processes", str(self.folder.path)],
                cwd=Path(__file__).parents[2],
                env=self.environment,
                stdin=subprocess.PIPE,  # its end ends the run
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether there is a supervisor."""
        return self.process is not None and self.process.poll() is None

    @property
    def code(self) -> int | None:
        """Exit code of the last supervisor."""
        return None if self.process is None else self.process.poll()

    def up(self) -> None:
        """Resume it if it does not run, and wait until all its workers are at work.

        Raises:
            Stuck: it ended, or took too long; the cases that have ended it are told.
        """
        since, resumes = time.monotonic(), not self.alive
        if resumes:
            self.start()

        def at_work() -> bool:
            if not self.alive:
                raise Stuck(f"it ended with {self.code} instead of coming up: {self.ending()[1]}")
            worked = all(self.worked_since(name, since) for name in self.names())
            return worked and self.state() == "running"  # before it obeys no command

        earlier, self.to_resume = self.to_resume, []
        try:
            self.eventually(at_work, "the run at work")
        except Stuck as stuck:
            for result in earlier:
                result.problems.append(f"cannot be resumed: {stuck}")
            raise
        for result in earlier:
            result.resumed_s = time.monotonic() - since if resumes else None

    def names(self) -> list[str]:
        """Of its workers."""
        if self.schedule == "sequential":
            return ["trainer"]
        actors = self.config.actors.count
        assert isinstance(actors, int)
        return ["learner", *(f"a{i}" for i in range(actors)), "eval"]

    def stop(self, *, checkpoint: bool = True) -> None:
        """End it by its socket, if it runs and answers; else by SIGTERM."""
        if not self.alive:
            return
        try:
            self.ask("stop", timeout_s=30.0, checkpoint=checkpoint)
        except Exception:
            assert self.process is not None
            self.process.terminate()
        self.eventually(lambda: not self.alive, "the run's end")

    def close(self) -> list[str]:
        """End everything; what had to be ended by force, in words. The root folder stays."""
        left = []
        try:
            self.stop()
            self.eventually(lambda: not self.left(), "nothing left", 5.0)
        except Stuck as stuck:
            left = [str(stuck), *self.left()]
        self.clear()
        shutil.rmtree(self.runtime, ignore_errors=True)
        return left

    def kill(self) -> None:
        """End every process of it at once."""
        super().kill()
        self._forget()

    def _forget(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    # ---- asking and ordering -----------------------------------------------------------------

    def ask(self, command: Command, timeout_s: float = PATIENCE_S, **args: Any) -> Reply:
        """One request over the socket."""
        runtime = self.folder.read_runtime() or {}
        with BlockingClient(Path(runtime["socket_path"]), timeout_s) as client:
            return client.ask(command, **args)

    def snapshot(self) -> dict[str, Any]:
        """The run's state."""
        value: dict[str, Any] = self.ask("status", 10.0).result["snapshot"]
        return value

    def state(self) -> str:
        """What the run says it is; "" if it says nothing."""
        try:
            return str(self.snapshot()["state"])
        except Exception:
            return ""

    def pid(self, worker: str) -> int:
        """Of a worker, or of the supervisor."""
        if worker == "supervisor":
            assert self.process is not None
            return self.process.pid
        found = [p["pid"] for p in self.snapshot()["processes"] if p["name"] == worker]
        if not found or not found[0]:
            raise Stuck(f"the run has no {worker}")
        return int(found[0])

    def order(self, order: Order) -> None:
        """Have a fault strike."""
        order.write(self.faults)

    def fired(self, order: Order) -> dict[str, Any] | None:
        """What the process said just before its fault."""
        for line in self.lines(self.faults / "fired.jsonl"):
            if line["id"] == order.id:
                return line
        return None

    @contextlib.contextmanager
    def locks_held(self) -> Iterator[None]:
        """Hold every lock of the run while inside, so that all who want one wait at its gate."""
        runtime = self.folder.read_runtime() or {}
        with open(Path(runtime["socket_path"]).with_name("lock"), "rb+") as file:
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    time.sleep(0.0005)
            yield

    # ---- looking -----------------------------------------------------------------------------

    def worked_since(self, worker: str, mono_s: float, besides: int = 0) -> float | None:
        """When a worker (but not the process `besides`) has first shown that it works, after then.

        Among the newest lines of its ledger, which go back some tenths of a second.
        """
        role = {"l": "learner", "t": "trainer", "e": "evaluator"}.get(worker[0], "actor")
        times = []
        for path in (self.faults / "ledger").glob(f"{worker}.*.jsonl"):
            if path.name == f"{worker}.{besides}.jsonl":
                continue
            times += [t for kind, t in _newest(path, mono_s) if kind == WORK[role]]
        return min(times, default=None)

    def events(self) -> list[dict[str, Any]]:
        """Of events.jsonl."""
        return self.lines(self.folder.events_jsonl)

    def summary(self) -> dict[str, Any] | None:
        """Of the last session; None if it left none."""
        try:
            found = self.folder.read_summary()
        except Exception:
            return None
        return found if found and found["ended_s"] >= self.started_s else None

    def ending(self) -> tuple[str, str]:
        """State and reason of the end, from the summary or, if it never came up, the exit code.

        Whoever is refused before there is a journal is told on standard error.
        """
        summary = self.summary()
        if summary is not None:
            return str(summary["state"]), str(summary["reason"])
        state = {0: "stopped", 3: "failed"}.get(self.code or 0, "refused")
        told = [e["text"] for e in self.events() if e["time_s"] >= self.started_s]
        if state == "refused":
            told += (self.root / "output.log").read_text(errors="replace").splitlines()[-1:]
        return state, told[-1] if told else "nothing was told"

    @staticmethod
    def lines(path: Path) -> list[dict[str, Any]]:
        """JSON lines of a file; none if there is none."""
        out = []
        with contextlib.suppress(FileNotFoundError):
            for text in path.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    out.append(json.loads(text))
        return out

    # ---- what is left ------------------------------------------------------------------------

    def segments(self) -> list[str]:
        """Names in shared memory, of every session that was looked at."""
        if run_id := self.folder.read_run_id():
            self._run_ids.add(run_id)
        return [name for run_id in sorted(self._run_ids) for name in segments_of(run_id)]

    def eventually(self, probe: Callable[[], T], what: str, deadline_s: float = PATIENCE_S) -> T:
        """What `probe` returns once that is true.

        Raises:
            Stuck: it was not before the deadline.
        """
        return eventually(probe, what, deadline_s)


def cont(pid: int) -> None:
    """SIGCONT, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _newest(path: Path, mono_s: float, nbytes: int = 65_536) -> list[tuple[str, float]]:
    """Kind and time of the last lines of a ledger, as far as they are of after then."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - nbytes))
        lines = file.read().split(b"\n")[1:]
    out = []
    for line in reversed(lines):  # of the dead none is looked at but one
        with contextlib.suppress(ValueError, KeyError):
            head = json.loads(line)
            if head["t"] <= mono_s:
                break
            out.append((head["k"], head["t"]))
    return out
