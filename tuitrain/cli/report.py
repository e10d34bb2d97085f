"""`tuitrain report`: one HTML page of one or several runs, for people who were not there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import RunsDirOption, find
from tuitrain.config.runs import RunFolder, write_atomically

if TYPE_CHECKING:
    from tuitrain.experiments.analysis import Analysis

PAGE_NAME = "report.html"
_PAGE = "<!doctype html>"


@explained
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="As everywhere (`latest`, a name, a folder), or a comparison's folder, which "
            "means its answers and its finished runs.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page; an older one there is replaced. [report.html in the folder of the run "
            "or comparison; of several report.html here, if there is none yet]",
        ),
    ] = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
) -> None:
    """Write runs as one HTML page: summary, curves, config differences, checks, events.

    The page needs no network and no other file. Ended and living runs will do. It may be read by
    whom the umask lets read it, but a run's folder is its owner's alone: hand on a copy, or --out.

    \b
    Examples:
        tuitrain report
        tuitrain report cartpole-0001 cartpole-0002 --out two.html
        tuitrain report comparisons/cartpole
    """
    from tuitrain.experiments.plot_plain import charts_of
    from tuitrain.experiments.report import page
    from tuitrain.experiments.run_files import read_run
    from tuitrain.experiments.table import lines_of

    given = runs or ["latest"]
    folders = [folder for text in given for folder in _folders(text, runs_dir)]
    unique = list({folder.path.resolve(): folder for folder in folders}.values())
    out = _default_out(given, unique) if out is None else out
    _check_out(out)
    found = [analysis for text in given if (analysis := _analysis(text)) is not None]
    answers = [line for analysis in found for line in lines_of(analysis)]
    compared = [chart for analysis in found for chart in charts_of(analysis)]
    text = page([read_run(folder) for folder in unique], time.time(), answers, compared)
    try:
        write_atomically(out, text, for_others=True)
    except OSError as error:
        raise Refused(f"{out} (--out) cannot be written: {error.strerror}") from error
    count = f"{len(unique)} runs" if len(unique) > 1 else unique[0].name
    typer.echo(f"{count}: {out.absolute()}")


def _folders(text: str, runs_dir: Path) -> list[RunFolder]:
    if not _is_comparison(text):
        return [find(text, runs_dir).folder]
    from tuitrain.experiments.store import FINISHED, Store

    store = Store(Path(text))
    finished = [r for r in store.results().values() if r.state == FINISHED]
    if not finished:
        raise Refused(f"no run of the comparison {text} has finished yet")
    return [RunFolder(store.runs / result.run) for result in finished]


def _is_comparison(text: str) -> bool:
    return (Path(text) / "comparison.json").is_file()


def _analysis(text: str) -> Analysis | None:
    """What `tuitrain compare --analyse` concludes of a comparison; None of anything else."""
    from tuitrain.experiments.analysis import analyse
    from tuitrain.experiments.plan import PlanError
    from tuitrain.experiments.store import Store

    if not _is_comparison(text):
        return None
    store = Store(Path(text))
    try:
        plan = store.read_plan()
    except PlanError as error:
        raise Refused(str(error)) from error
    return None if plan is None else analyse(plan, store.results())


def _default_out(given: list[str], folders: list[RunFolder]) -> Path:
    """In the folder of what is reported, where that is one; no page of others is overwritten."""
    if len(given) == 1:
        return (Path(given[0]) if _is_comparison(given[0]) else folders[0].path) / PAGE_NAME
    out = Path(PAGE_NAME)
    if out.exists() or out.is_symlink():
        raise Refused(f"{out} exists and is not overwritten unless --out {out} says so")
    return out


def _check_out(out: Path) -> None:
    """Replace reports only: a slip of the tab key must not cost a config."""
    try:
        with open(out, encoding="utf-8", errors="replace") as file:
            if file.read(len(_PAGE)).lower() not in (_PAGE, ""):
                raise Refused(f"{out} (--out) exists and is no HTML page: give another name")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Refused(f"{out} (--out) cannot be written: {error.strerror}") from error
