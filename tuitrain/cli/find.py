"""From what a person types for RUN to a run folder and, if it lives, its socket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tuitrain.cli.errors import Refused
from tuitrain.config.places import RUNS_DIR_VARIABLE
from tuitrain.config.runs import RunFolder, RunFolderError, find_run, list_runs
from tuitrain.supervisor.house.house import Tenant, tenants

_RUN_HELP = "`latest`, a run's name, its run id while it runs, or its folder."
RUN_DEFAULT = "the only one that runs, else `latest`"
RunArgument = Annotated[
    str | None, typer.Argument(metavar="[RUN]", show_default=RUN_DEFAULT, help=_RUN_HELP)
]
NewestRunArgument = Annotated[str, typer.Argument(metavar="[RUN]", help=_RUN_HELP)]
RunsDirOption = Annotated[
    Path,
    typer.Option(
        "--runs-dir", envvar=RUNS_DIR_VARIABLE, help="Folder of the run folders (run.out_dir)."
    ),
]


_MAX_REASON = 160
"""Characters of why a run ended, where that is not what was asked."""


@dataclass(frozen=True)
class Found:
    """A run, and its living supervisor if there is one."""

    folder: RunFolder
    tenant: Tenant | None

    @property
    def socket_path(self) -> Path | None:
        """Where it listens, while it lives."""
        return None if self.tenant is None else Path(self.tenant.socket_path)


def find(text: str | None, runs_dir: Path) -> Found:
    """The run meant by `text`; if `runs_dir` has no such run, a living one from anywhere.

    Where no run was named, it is the only one of `runs_dir` that lives, which need not be the
    newest: an older one may have been resumed. With none or several alive it is `latest`.

    So `latest` never means another folder's run where this one has any. The beginning of a name is
    enough where no other begins so; without its number it means the newest run of that name.

    Raises:
        RunFolderError: there is none.
    """
    living = tenants()
    if text is None:
        alive = [run for run in _of_folder(runs_dir, living) if run.tenant is not None]
        if len(alive) == 1:
            return alive[0]
        text = "latest"
    try:
        folder = find_run(text, runs_dir)
    except RunFolderError:
        for tenant in reversed(living):
            if text in ("latest", tenant.run_id, tenant.name, tenant.name.rpartition("-")[0]):
                return Found(RunFolder(Path(tenant.run_dir)), tenant)
        if text and (begun := _begun(text, every(runs_dir))) is not None:
            return begun
        raise
    return Found(folder, _tenant_of(folder, living))


def _begun(text: str, runs: list[Found]) -> Found | None:
    """The newest of those whose names begin with `text`, if they are all of one name."""
    found = [run for run in runs if run.folder.name.startswith(text)]
    kin = {run.folder.name.rpartition("-")[0] for run in found}
    if len(found) == 1 or (len(kin) == 1 and next(iter(kin)).startswith(text)):
        return found[-1]
    return None


def find_trained(text: str, runs_dir: Path) -> tuple[Found, str]:
    """The run meant by `text`, or where that has ended without a checkpoint, an older one with one.

    An older one only where nobody named a single run: for `latest` and for a name without number.

    Returns:
        The run, and what to tell of it, or "".

    Raises:
        RunFolderError: there is none.
        Refused: it has no checkpoint; says why, and which run has one.
    """
    found = find(text, runs_dir)
    folder = found.folder
    if _has_checkpoint(folder):
        return found, ""
    if found.tenant is not None:
        raise Refused(
            f"{folder.name} has no checkpoint yet; `tuitrain checkpoint {folder.name}` makes one"
        )
    kin = folder.name.rpartition("-")[0]
    others = [
        run
        for run in list_runs(folder.path.parent)
        if _has_checkpoint(run) and (text == "latest" or run.name.rpartition("-")[0] == kin)
    ]
    why = f"{folder.name} {_end_of(folder)} and has no checkpoint"
    if not others:
        raise Refused(f"{why}; no other run of {folder.path.parent} that is meant has one")
    newest = others[-1]
    if text not in ("latest", kin):
        raise Refused(f"{why}; the newest run of {kin} with one is {newest.name}")
    chosen = RunFolder(newest.path.absolute())
    return Found(
        chosen, _tenant_of(chosen, tenants())
    ), f"{why}; {newest.name} is the newest with one"


def _has_checkpoint(folder: RunFolder) -> bool:
    return any(folder.checkpoints.glob("ckpt-*"))


def _end_of(folder: RunFolder) -> str:
    """How a run without a checkpoint ended, as the end of a sentence."""
    summary = folder.read_summary()
    if summary is None:
        return "was killed"
    when = " at its start" if summary["state"] == "failed" and not summary["steps"] else ""
    first = next(iter(str(summary["reason"]).splitlines()), "")
    return f"{summary['state']}{when} ({first[:_MAX_REASON]})"


def _of_folder(runs_dir: Path, living: list[Tenant]) -> list[Found]:
    """All runs of a folder, oldest first."""
    folders = [RunFolder(run.path.absolute()) for run in list_runs(runs_dir)]
    return [Found(folder, _tenant_of(folder, living)) for folder in folders]


def every(runs_dir: Path) -> list[Found]:
    """All runs of a folder, and those that live elsewhere; oldest first."""
    living = tenants()
    here = _of_folder(runs_dir, living)
    known = {run.folder.path for run in here}
    elsewhere = [t for t in living if Path(t.run_dir) not in known]
    return here + [Found(RunFolder(Path(t.run_dir)), t) for t in elsewhere]


def _tenant_of(folder: RunFolder, living: list[Tenant]) -> Tenant | None:
    path = folder.path.resolve()
    return next((t for t in living if Path(t.run_dir).resolve() == path), None)
