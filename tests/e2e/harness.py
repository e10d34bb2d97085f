"""A user's place for whole runs: a folder, a runtime directory and the `tuitrain` command.

Every process started from a place carries its mark in the environment, so that what a run has left
behind is found even when it has left every process group and session. Knows the command line and
the socket as a user does; nothing of the supervisor's insides.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tuitrain.cli.client import BlockingClient
from tuitrain.config.emit import emit_document
from tuitrain.protocol import Reply

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "tests" / "envs.py"
THINGS = Path(__file__).with_name("things.py")
TUITRAIN = [sys.executable, "-m", "tuitrain.cli.main"]
MARK = "TUITRAIN_TEST_PLACE"
FOREVER = 1_000_000_000
DEADLINE_S = 60.0
POLL_S = 0.02

T = TypeVar("T")


def eventually(probe: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """What `probe` returns once that is true, asked again and again.

    Raises:
        AssertionError: it was not before the deadline.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what}; last seen: {value!r}")
        time.sleep(POLL_S)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits to be reaped has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Every line of a file, each of which must be JSON."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Run:
    """A run folder, and its supervisor while it lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def read(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.path / name).read_text())
        return value

    @property
    def run_id(self) -> str:
        return str(self.read("runtime.json")["run_id"])

    @property
    def pid(self) -> int:
        return int(self.read("runtime.json")["pid"])

    def kill_with_guard(self) -> None:
        """SIGKILL to the supervisor while nobody guards it."""
        os.kill(self.pid, signal.SIGSTOP)  # or it would start another guard
        for child in psutil.Process(self.pid).children():
            if "tuitrain.supervisor.house.guard" in child.cmdline():
                child.kill()
        os.kill(self.pid, signal.SIGKILL)

    def summary(self) -> dict[str, Any]:
        return self.read("summary.json")

    def events(self) -> list[dict[str, Any]]:
        return json_lines(self.path / "events.jsonl")

    def metrics(self) -> list[dict[str, Any]]:
        return json_lines(self.path / "metrics.jsonl")

    def segments(self) -> list[str]:
        return sorted(p.name for p in Path("/dev/shm").glob(f"tuitrain-{self.run_id}-*"))

    def ask(self, command: Any, **args: Any) -> Reply:
        """One request over the socket, as the commands make it."""
        with BlockingClient(Path(self.read("runtime.json")["socket_path"]), DEADLINE_S) as client:
            return client.ask(command, **args)

    def snapshot(self) -> dict[str, Any]:
        value: dict[str, Any] = self.ask("status").result["snapshot"]
        return value

    def workers(self) -> dict[str, dict[str, Any]]:
        """The snapshot's processes by name."""
        return {p["name"]: p for p in self.snapshot()["processes"]}

    def learned(self, updates: int = 1) -> dict[str, Any]:
        """A snapshot in which so many updates have been made."""

        def enough() -> dict[str, Any] | None:
            snapshot = self.snapshot()
            done = all(p["updates"] >= updates for p in snapshot["policies"])
            return snapshot if done and snapshot["policies"] else None

        return eventually(enough, f"{updates} updates of {self.name}") or {}


class Place:
    """A folder to run `tuitrain` in.

    Args:
        root: empty folder; `runs/` appears in it.
        runtime: private folder for XDG_RUNTIME_DIR, short enough for a socket's path.
    """

    def __init__(self, root: Path, runtime: Path) -> None:
        self.root = root
        self.runtime = runtime
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TUITRAIN_")},
            "XDG_RUNTIME_DIR": str(runtime),
            "COLUMNS": "200",
            MARK: str(root),
        }
        self._started: list[subprocess.Popen[str]] = []

    # ---- configs -----------------------------------------------------------------------------

    def config(self, **tables: Mapping[str, Any]) -> Path:
        """A small quick config with these tables laid over it, as a file."""
        base: dict[str, dict[str, Any]] = {
            "run": {"name": "t", "total_steps": 2_000},
            "env": {"id": f"{ENVS}:Chain"},
            "actors": {"count": 1, "envs_per_actor": 4, "chunk_steps": 8},
            "replay": {"capacity": 2_000, "learning_starts": 200},
            "learner": {
                "network_kwargs": {"hidden": [16]},
                "batch_size": 16,
                "replay_ratio": 0.25,
                "device": "cpu",
            },
            "eval": {"every_steps": 1_000, "episodes": 4},
            "supervisor": {"heartbeat_s": 0.1, "max_restarts": 0},
        }
        for table, values in tables.items():
            base[table] = base.get(table, {}) | dict(values)
        path = self.root / "config.toml"
        path.write_text(emit_document(base))
        return path

    # ---- commands ----------------------------------------------------------------------------

    def tuitrain(
        self, *arguments: str | Path, code: int | None = 0, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit code (None: any)."""
        done = subprocess.run(
            [*TUITRAIN, *map(str, arguments)],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"exit code {done.returncode}, not {code}, of {arguments}\n"
                f"{done.stdout}\n{done.stderr}"
            )
        return done

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """A command in the background, leading a process group as a terminal's job does."""
        process = subprocess.Popen(
            [*TUITRAIN, *map(str, arguments)],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def launch_detached(self, *more: str, **tables: Mapping[str, Any]) -> Run:
        """A run that goes on until it is stopped."""
        tables["run"] = {"total_steps": FOREVER, **tables.get("run", {})}
        self.tuitrain("launch", self.config(**tables), "-d", *more)
        return self.runs()[-1]

    def runs(self) -> list[Run]:
        """All runs of this place, oldest first."""
        folder = self.root / "runs"
        return [Run(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def run_up(self) -> Run:
        """The only run, once it is running."""

        def up() -> Run | None:
            for run in self.runs():
                with contextlib.suppress(Exception):
                    if run.snapshot()["state"] == "running":
                        return run
            return None

        run = eventually(up, "a running run")
        assert run is not None
        return run

    # ---- what is left ------------------------------------------------------------------------

    def processes(self) -> Iterator[psutil.Process]:
        """Living processes that were started from here, by whatever."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) != str(self.root) or process.pid == os.getpid():
                    continue
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def left(self) -> list[str]:
        """Processes, segments and runtime files that are still there, in words."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                found.append(f"process {process.pid}: {' '.join(process.cmdline())[:200]}")
        for run in self.runs():
            with contextlib.suppress(OSError):
                found += [f"segment {name}" for name in run.segments()]
        for path in self.runtime.rglob("*"):
            if path.name not in {"tuitrain", ".lock"}:
                found.append(f"file {path}")
        return found

    def close(self) -> None:
        """Reap what was started; kill and remove what is left."""
        for process in list(self.processes()):
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        for process in self._started:
            process.kill()
            process.communicate()
        for run in self.runs():
            with contextlib.suppress(OSError):
                for name in run.segments():
                    (Path("/dev/shm") / name).unlink(missing_ok=True)
