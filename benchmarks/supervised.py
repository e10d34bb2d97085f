"""Real runs with some roles' functions swapped for measuring ones: everything else is a real run.

Processes are started, watched and ended by the real supervisor. Imports no torch: a supervisor
runs in this process.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuitrain.config.load import load_config
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder, create_run
from tuitrain.config.schema import Config
from tuitrain.metrics.sinks import read_jsonl
from tuitrain.schedules import RoleSpec, roles
from tuitrain.supervisor.entry import supervise
from tuitrain.supervisor.plan import TrainingPlan
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.link import Link

CARTPOLE = Path(__file__).parent.parent / "configs" / "cartpole.toml"

OPTIONS = "bench-options.json"

Entries = Mapping[str, str]
"""role -> `module:function` instead of the schedule's own."""


class MeasuringPlan(TrainingPlan):
    """A training run in which some roles are measured.

    Args:
        entries: functions to use instead of the schedule's; `*` is every role.
        only: names of the workers to start; None for all.
    """

    def __init__(self, entries: Entries, only: Sequence[str] | None = None) -> None:
        self._entries = entries
        self._only = only

    def roles(self, config: Config) -> list[RoleSpec]:
        """The schedule's workers, with the entries swapped."""
        return [
            dataclasses.replace(spec, entry=self._entry(spec), role=self._role(spec))
            for spec in roles(config)
            if self._only is None or spec.name in self._only
        ]

    def _entry(self, spec: RoleSpec) -> str:
        return self._entries.get(spec.role, self._entries.get("*", spec.entry))

    def _role(self, spec: RoleSpec) -> str:
        # A run ends when its learner has finished; without one, when the others have.
        return "trainer" if self._only is not None and spec.role == "actor" else spec.role


@contextmanager
def run(
    overrides: Sequence[str],
    entries: Entries,
    only: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    config: Path = CARTPOLE,
) -> Iterator[RunFolder]:
    """Train a config to its end; the folder is removed afterwards.

    Args:
        overrides: as `--set`.
        entries: measuring functions, by role.
        only: names of the workers to start; None for all.
        options: what the measuring functions find with ``options``.

    Raises:
        RuntimeError: the run failed; its logs' ends are in the text.
    """
    place = tempfile.mkdtemp(prefix="tuitrain-bench-")
    try:
        folder = create_run(resolve(load_config(config, [*overrides, f"run.out_dir={place}"])))
        (folder.path / OPTIONS).write_text(json.dumps(options or {}))
        code = supervise(folder.path, headless=False, plan=MeasuringPlan(entries, only))
        if code:
            logs = "\n".join(p.read_text()[-2000:] for p in folder.logs.iterdir())
            raise RuntimeError(f"the measured run ended with exit code {code}\n{logs}")
        yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)


def training_s(folder: RunFolder) -> float:
    """Seconds from all workers being ready to the last update and evaluation."""
    at = {e["text"].partition(" ")[0]: e["time_s"] for e in read_jsonl(folder.events_jsonl)}
    return float(at["stopping:"] - at["running"])


def options(args: ChildArgs) -> dict[str, Any]:
    """In a worker: what ``run`` was given for it."""
    found: dict[str, Any] = json.loads((Path(args.run_dir) / OPTIONS).read_text())
    return found


def keep(args: ChildArgs, value: Any) -> None:
    """In a worker: leave a result in the run's folder."""
    (Path(args.run_dir) / f"bench-{args.name}.json").write_text(json.dumps(value))


def kept(folder: RunFolder, name: str) -> Any:
    """What worker `name` left."""
    return json.loads((folder.path / f"bench-{name}.json").read_text())


def keep_phases(args: ChildArgs, link: Link) -> None:
    """A worker entry: the schedule's own, leaving its phase times when it has finished."""
    finish: Callable[..., None] = link.finish

    def finish_and_keep(**result: Any) -> None:
        keep(args, link.counters.phases.read())
        finish(**result)

    link.finish = finish_and_keep
    link.counters.phases.enter("start-up")
    ready: Callable[..., None] = link.ready

    def ready_and_count(**fields: Any) -> None:
        link.counters.phases.enter("other")
        ready(**fields)

    link.ready = ready_and_count
    enter(args, link)


def enter(args: ChildArgs, link: Link) -> None:
    """In a worker: go on with the schedule's own entry."""
    entry = next(spec.entry for spec in roles(args.config) if spec.name == args.name)
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(args, link)


def shares(phases: Mapping[str, float]) -> dict[str, float]:
    """Fractions of the time since a worker was ready."""
    seconds = {name: s for name, s in phases.items() if name != "start-up"}
    total = sum(seconds.values()) or 1.0
    return {name: s / total for name, s in sorted(seconds.items(), key=lambda item: -item[1])}
