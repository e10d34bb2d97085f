"""Runs a supervisor with fake workers inside a test, and looks for what it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.fake_plan import FakePlan, fake_config, fake_folder
from tuitrain.config.runs import RunFolder
from tuitrain.protocol import EventLine, Reply, Request
from tuitrain.replay import segment
from tuitrain.supervisor.crew.worker import Worker
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house import marks, runtime
from tuitrain.supervisor.plan import Plan
from tuitrain.supervisor.ready import ReadyPipe
from tuitrain.supervisor.supervisor import Supervisor
from tuitrain.workers.stores import unlink_all

WAIT_S = 60.0
WORK = {"do": "work"}
CREW: dict[str, Any] = {"learner": WORK, "a0": WORK, "eval": WORK}

PROGRAM = """
import sys
from tests.fake_plan import FakePlan
from tuitrain.supervisor.entry import supervise
if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1], as_json=True, ready_fd=int(sys.argv[2]), plan=FakePlan()))
"""


class Ready(ReadyPipe):
    """Tells the test when the run is up."""

    def __init__(self) -> None:
        super().__init__(None)
        self.up = asyncio.Event()
        self.problem: str | None = None
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def ready(self, run_id: str, socket_path: str) -> None:
        self.up.set()

    def failed(self, text: str) -> None:
        self.problem = self.problem or text


class Run:
    """A supervisor that runs as a task of the test."""

    def __init__(
        self,
        path: Path,
        workers: dict[str, dict[str, Any]],
        plan: Plan | None = None,
        tables: dict[str, Any] | None = None,
        **deadlines: float,
    ) -> None:
        config = fake_config(workers, **deadlines).model_copy(update=tables)
        self.folder: RunFolder = fake_folder(path, config)
        self.told = Ready()
        self.supervisor = Supervisor(
            self.folder, config, plan=plan or FakePlan("probe" in workers), ready=self.told
        )
        self._ids = itertools.count(1)
        self.task = asyncio.ensure_future(self.supervisor.run())

    async def up(self) -> None:
        """Wait until all workers are ready, then let faults happen."""
        up = asyncio.ensure_future(self.told.up.wait())
        await asyncio.wait({up, self.task}, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        assert self.told.up.is_set(), f"the run did not come up: {self.told.problem}"
        (self.folder.path / "go").touch()

    async def ask(self, command: Any, **args: Any) -> Reply:
        """Carry out a command as a client's would be."""
        request = Request(id=next(self._ids), command=command, args=args)
        return await asyncio.wait_for(self.supervisor.requests.handle(request), WAIT_S)

    async def end(self) -> int:
        """The exit code, after checking that nothing is left."""
        code = await asyncio.wait_for(asyncio.shield(self.task), WAIT_S)
        self.assert_nothing_left()
        return code

    async def event(self, part: str) -> EventLine:
        """The first event whose text contains `part`, past or to come."""
        while not hasattr(self.supervisor, "journal"):
            await asyncio.sleep(0)
        for line in self.supervisor.journal.events:
            if part in line.text:
                return line
        found: asyncio.Future[EventLine] = asyncio.get_running_loop().create_future()

        def listen(line: EventLine) -> None:
            if part in line.text and not found.done():
                found.set_result(line)

        self.supervisor.journal.on_event.append(listen)
        return await asyncio.wait_for(found, WAIT_S)

    @property
    def summary(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.folder.summary_json.read_text())
        return data

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.folder.events_jsonl.read_text().splitlines()]

    def pid(self, name: str) -> int:
        pid = self.supervisor.crew.workers[name].process.pid
        assert pid is not None
        return pid

    def assert_nothing_left(self) -> None:
        """▣ No process, segment, socket or lock file."""
        run_id = self.supervisor.run_id
        assert segment.list_names(f"tuitrain-{run_id}-") == []
        assert not (runtime.root() / run_id).exists()
        assert houses.tenants() == []
        for name, worker in self.supervisor.crew.workers.items():
            assert worker.process.exit is not None, f"{name} was not reaped"
        assert marks.kill_marked(run_id, dry_run=True) == []


@asynccontextmanager
async def running(
    path: Path,
    workers: dict[str, dict[str, Any]],
    plan: Plan | None = None,
    tables: dict[str, Any] | None = None,
    **deadlines: float,
) -> AsyncIterator[Run]:
    """A run; it is killed at the end of the test if it has not ended by itself.

    Args:
        tables: of the config, instead of those that `fake_config` gives.
    """
    run = Run(path, workers, plan, tables, **deadlines)
    try:
        yield run
    finally:
        if not run.task.done():
            run.supervisor.hard.set()
            run.task.cancel()
        with contextlib.suppress(BaseException):
            await run.task
        # a run whose task is cancelled, as by a test that fails, has not been able to clean up
        if (run_id := run.folder.read_run_id()) is not None:
            unlink_all(run_id)


def gone(pid: int) -> bool:
    """Whether a process has ended; waits for the kernel to take a killed one away."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
    return False


def guard_of(supervisor_pid: int) -> int:
    """Pid of the process that guards a supervisor."""
    (guard,) = [
        child.pid
        for child in psutil.Process(supervisor_pid).children()
        if "tuitrain.supervisor.house.guard" in child.cmdline()
    ]
    return guard


class Started:
    """A supervisor process that has told whether its run is up."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        read_fd, write_fd = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder.path), str(write_fd)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(write_fd,),
        )
        os.close(write_fd)
        with open(read_fd) as file:
            self.told: list[dict[str, Any]] = [json.loads(line) for line in file]

    @property
    def up(self) -> bool:
        return bool(self.told) and self.told[-1]["event"] == "ready"

    def guard(self) -> int:
        """Pid of the process that guards this supervisor."""
        return guard_of(self.process.pid)

    def kill_with_guard(self) -> None:
        """SIGKILL to the supervisor while nobody guards it."""
        os.kill(self.process.pid, signal.SIGSTOP)  # or it would start another
        os.kill(self.guard(), signal.SIGKILL)
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, list[dict[str, Any]], str]:
        out, err = self.process.communicate(timeout=60)
        if self.process.returncode < 0 and (run_id := self.folder.read_run_id()) is not None:
            unlink_all(run_id)  # killed: the next command would do it
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    @property
    def summary(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.folder.summary_json.read_text())
        return data


def together(workers: dict[str, Any]) -> dict[str, Any]:
    """The tables of a run in which all go back together."""
    return {"run": fake_config(workers).run.model_copy(update={"schedule": "lockstep"})}


def worker(run: Run, name: str) -> Worker:
    return run.supervisor.crew.workers[name]


def kill(run: Run, name: str) -> int:
    """SIGKILL to a worker; its pid."""
    pid = run.pid(name)
    os.kill(pid, signal.SIGKILL)
    return pid


async def until(run: Run, what: Any) -> None:
    """Wait until `what()` holds while the run goes on."""
    while not what():
        assert not run.task.done(), run.summary["reason"]
        await asyncio.sleep(0.01)
