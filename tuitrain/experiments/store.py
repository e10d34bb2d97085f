"""A comparison's folder: the plan, one line for every run that has ended, the run folders.

    comparison.json   the plan: arms, seeds, margin, every config
    results.jsonl     one line a run: how it ended and its learning curves; all that analysis reads
    runs/             the run folders themselves
    analysis.json, curves.*     what was concluded; made again from the two above at any time

One `tuitrain compare` at a time works on it, by a lock on the folder that ends with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tuitrain
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.disk import write_atomically
from tuitrain.experiments.curves import Curve, curve_from_json
from tuitrain.experiments.plan import Cell, Plan, PlanError, plan_from_json
from tuitrain.metrics.sinks import JsonlSink, read_jsonl

FINISHED = "finished"


@dataclass(frozen=True)
class Result:
    """How one run of a comparison ended.

    Attributes:
        state: `finished`, or what the run's summary says (`failed`, `stopped`, …).
        cause: why it did not finish; "" if it did.
        run: name of its folder in `runs/`.
        curves: by policy.
        agents: of one environment, how many act under each policy; without those of which that is
            not known.
        code: hashes of the source it was run with: of `tuitrain` itself, and of `sources`, the
            files of its environment and network; empty where that is not known.
    """

    cell: Cell
    state: str
    cause: str
    run: str
    steps: int
    wall_s: float
    curves: dict[str, Curve]
    code: dict[str, str] = field(default_factory=dict)
    agents: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A line of results.jsonl."""
        return {
            "arm": self.cell.arm,
            "task": self.cell.task,
            "seed": self.cell.seed,
            "state": self.state,
            "cause": self.cause,
            "run": self.run,
            "steps": self.steps,
            "wall_s": self.wall_s,
            "curves": {name: curve.to_json() for name, curve in self.curves.items()},
            "code": self.code,
            "agents": self.agents,
        }


class Store:
    """The folder of one comparison. Making this value touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.runs = self.path / "runs"
        self.plan_json = self.path / "comparison.json"
        self.results_jsonl = self.path / "results.jsonl"
        self.analysis_json = self.path / "analysis.json"

    @contextlib.contextmanager
    def only_user(self) -> Iterator[None]:
        """Make the folder and hold its lock.

        Raises:
            PlanError: it cannot be made, or another comparison is at work in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise PlanError(f"{self.path} (--out) cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlanError(f"another `tuitrain compare` is at work in {self.path}") from None
        except OSError as error:
            raise PlanError(f"{self.path} (--out) cannot be locked: {error.strerror}") from error
        else:
            yield
        finally:
            os.close(fd)

    def read_plan(self) -> Plan | None:
        """The stored plan, or None where there is none yet.

        Raises:
            PlanError: it is damaged, or of another version.
        """
        try:
            data = json.loads(self.plan_json.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise PlanError(f"{self.plan_json} cannot be read: {error}") from error
        if not isinstance(data, dict):
            raise PlanError(f"{self.plan_json} is not a JSON object")
        return plan_from_json(data)

    def write_plan(self, plan: Plan, command: list[str]) -> None:
        """Store the plan with when and by what it was made."""
        data = plan.to_json() | {
            "command": command,
            "written_at_s": time.time(),
            "tuitrain": tuitrain.__version__,
        }
        write_atomically(self.plan_json, json.dumps(data, indent=1) + "\n")

    def add(self, result: Result) -> None:
        """Append a run's result.

        Raises:
            PlanError: the disk does not take it.
        """
        problems: list[str] = []
        sink = JsonlSink(self.results_jsonl, problems.append)
        written = sink.write(result.to_json())
        sink.close()
        if not written:
            raise PlanError(problems[0] if problems else f"cannot write {self.results_jsonl}")

    def results(self) -> dict[Cell, Result]:
        """The newest result of each cell; one that finished counts before any that did not."""
        found: dict[Cell, Result] = {}
        for line in read_jsonl(self.results_jsonl):
            result = _result(line)
            if result is None:
                continue
            if "agents" not in line and result.run:  # written before it was recorded
                result = replace(result, agents=agents_of(RunFolder(self.runs / result.run)))
            known = found.get(result.cell)
            if known is None or known.state != FINISHED or result.state == FINISHED:
                found[result.cell] = result
        return found


def agents_of(folder: RunFolder) -> dict[str, int]:
    """How many agents of one environment act under each policy, as the run's probe found."""
    try:
        probed = folder.read_json(folder.probe_json) or {}
        return {name: len(part["agents"]) for name, part in probed["spec"]["policies"].items()}
    except (RunFolderError, KeyError, TypeError, AttributeError):
        return {}


def _result(line: dict[str, Any]) -> Result | None:
    try:
        return Result(
            Cell(line["arm"], line["task"], line["seed"]),
            line["state"],
            line["cause"],
            line["run"],
            line["steps"],
            line["wall_s"],
            {name: curve_from_json(curve) for name, curve in line["curves"].items()},
            line.get("code", {}),
            line.get("agents", {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # a line of another version
