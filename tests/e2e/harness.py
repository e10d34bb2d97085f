"""A user's place for whole runs: a folder, a runtime directory and the `tuitrain` command.

Knows the command line and the socket as a user does; nothing of the supervisor's insides.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.sites import DEADLINE_S, Site, eventually, segments_of
from tuitrain.cli.client import BlockingClient
from tuitrain.config.emit import emit_document
from tuitrain.protocol import Reply

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "tests" / "envs" / "learned.py"
THINGS = Path(__file__).with_name("things.py")
TUITRAIN = [sys.executable, "-m", "tuitrain.cli.main"]
FOREVER = 1_000_000_000


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
        return segments_of(self.run_id)

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


class Place(Site):
    """A folder to run `tuitrain` in. See ``Site`` for its arguments."""

    def __init__(self, root: Path, runtime: Path) -> None:
        super().__init__(root, runtime)
        self.environment |= {"COLUMNS": "200"}
        self.environment.pop("LINES", None)  # pytest-xdist sets it, and Textual believes it
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
        """A run that goes on until it is stopped; slow, so that tests beside it have the cores."""
        tables["run"] = {"total_steps": FOREVER, **tables.get("run", {})}
        tables["env"] = {"id": f"{THINGS}:Slow", **tables.get("env", {})}
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

    def segments(self) -> list[str]:
        """Of every run that has been given an id."""
        found = []
        for run in self.runs():
            with contextlib.suppress(OSError):
                found += run.segments()
        return found

    def close(self) -> None:
        """Reap what was started; kill and remove what is left."""
        self.clear()
        for process in self._started:
            process.kill()
            process.communicate()
