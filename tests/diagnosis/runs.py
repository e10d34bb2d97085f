"""Running a case, and what was seen of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.diagnosis.cases import BASE, FILES, HERE, Case, Tables
from tests.e2e.harness import Place, Run
from tests.sites import POLL_S, eventually
from tuitrain.cli.errors import Refused
from tuitrain.config.emit import emit_document
from tuitrain.parts import VARIABLE

LINGER_S = 4.0
"""A run whose fault has been seen goes on for so long: what else is said of it counts too."""
RAISED = ("warn", "fail")


@dataclass
class Seen:
    """What a run's checks have said, and what `tuitrain diagnose` says of it.

    Attributes:
        raised: state, value and advice of every check that was not well at any time, by id.
        diagnosed: ids in the order of `tuitrain diagnose`.
        says: what it says of the first of them.
        state: how the run ended.
    """

    raised: dict[str, str] = field(default_factory=dict)
    diagnosed: list[str] = field(default_factory=list)
    says: str = ""
    state: str = ""
    seconds: float = 0.0

    def take(self, rows: Iterable[Mapping[str, Any]], name: str) -> None:
        """Rows on checks; `name` is the key of their ids. The worst of each stays."""
        for row in rows:
            if row["state"] in RAISED and not self.raised.get(row[name], "").startswith("fail"):
                self.raised[row[name]] = f"{row['state']}: {row['value']}: {row['advice']}"


def config_of(case: Case, folder: Path) -> Path:
    """The case's config as a file; the environments and networks that it may name lie beside it."""
    base = BASE if case.file is None else tomllib.loads(case.file.read_text())
    for name in FILES:
        shutil.copy(HERE / name, folder)
    path = folder / "config.toml"
    path.write_text(emit_document(_laid_over(base, case.tables)))
    return path


def run_case(case: Case, place: Place, linger_s: float = LINGER_S) -> Seen:
    """Launch it, watch its checks, stop it when all has been seen, and have it diagnosed."""
    seen, start = Seen(), time.monotonic()
    if case.double:
        place.environment[VARIABLE] = f"{HERE / 'doubles.py'}:{case.double}"
    config = config_of(case, place.root)
    done = place.tuitrain("launch", config, "-d", code=None)
    (run,) = place.runs() or [None]
    if run is None:
        seen.state = "refused"
        _diagnose(seen, place, config)
        seen.raised = dict.fromkeys(seen.diagnosed, seen.says)
        return seen
    if done.returncode == 0:
        _watch(case, run, linger_s)
        if not (run.path / "summary.json").exists():
            place.tuitrain("stop", run.name, code=None)
    eventually((run.path / "summary.json").exists, f"the end of {case.name}")
    if case.resumed:
        more = [f"--set=run.{key}={value}" for key, value in case.resumed.items()]
        place.tuitrain("resume", run.name, *more, "--headless", timeout_s=case.deadline_s)
    summary = run.summary()
    seen.state = summary["state"]
    seen.take(summary["checks"], "id")
    # what has held for a while is told; a blip in one snapshot is not
    seen.take((e["data"] for e in run.events() if "check" in e.get("data", {})), "check")
    _diagnose(seen, place, run.name)
    for cause in seen.diagnosed:  # of some only `tuitrain diagnose` speaks, as it does not learn
        seen.raised.setdefault(cause, seen.says)
    seen.seconds = time.monotonic() - start
    return seen


def _watch(case: Case, run: Run, linger_s: float) -> None:
    """Look at a run until it has ended, or its fault has been seen for a while."""
    end, acted = time.monotonic() + case.deadline_s, case.act is None
    last = end
    while time.monotonic() < min(end, last):
        try:
            snapshot = run.snapshot()
        except (OSError, ValueError, Refused):
            if (run.path / "summary.json").exists():
                return
            continue
        raised = {check["id"] for check in snapshot["checks"] if check["state"] in RAISED}
        if not acted and all(p["updates"] for p in snapshot["policies"]):
            assert case.act is not None
            case.act(run)
            acted = True
        elif acted and case.check in raised and not case.to_end:  # before, a busy machine's blip
            last = min(last, time.monotonic() + linger_s)
        if case.stop_steps is not None and snapshot["steps"] >= case.stop_steps:
            return
        time.sleep(POLL_S)


def _diagnose(seen: Seen, place: Place, target: str | Path) -> None:
    """What `tuitrain diagnose` finds wrong with a run or a config."""
    wrong = json.loads(place.tuitrain("diagnose", target, "--json", code=None).stdout)["wrong"]
    seen.diagnosed = [str(one["id"]) for one in wrong]
    if wrong:
        says = f"{wrong[0]['headline']} {wrong[0]['advice']}".strip()
        seen.says = says.replace(f"{place.root}/", "")


@contextlib.contextmanager
def a_place(root: Path) -> Iterator[Place]:
    """A place of its own for one case; nothing of it may be left afterwards."""
    runtime = Path(tempfile.mkdtemp(prefix="tt-"))
    place = Place(root, runtime)
    try:
        yield place
        eventually(lambda: not place.left(), f"nothing left; now {place.left()}", 10.0)
    finally:
        place.close()
        shutil.rmtree(runtime, ignore_errors=True)


def _laid_over(base: Tables, more: Tables) -> dict[str, dict[str, Any]]:
    out = {table: dict(values) for table, values in base.items()}
    for table, values in more.items():
        out[table] = out.get(table, {}) | dict(values)
    return out
