"""`tuitrain report`: one HTML page of one or several runs, for people who were not there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import RunsDirOption, find
from tuitrain.config.runs import RunFolder
from tuitrain.disk import write_atomically

if TYPE_CHECKING:
    from tuitrain.experiments.findings import Analysis
    from tuitrain.experiments.report import Key
    from tuitrain.experiments.svg import Chart

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
    shown: dict[Path, tuple[RunFolder, Key]] = {}
    answers: list[str] = []
    compared: list[Chart] = []
    colors = 0
    for text in given:
        analysis = _analysis(text)
        if analysis is None:
            found = [(find(text, runs_dir).folder, 0, "")]
        else:
            found = _finished(text, analysis.arms)
            answers += lines_of(analysis)
            compared += [_recolored(chart, colors) for chart in charts_of(analysis)]
        for folder, number, arm in found:
            shown.setdefault(folder.path.resolve(), (folder, (colors + number, arm or folder.name)))
        colors += 1 if analysis is None else len(analysis.arms)
    folders = [folder for folder, _ in shown.values()]
    out = _default_out(given, folders) if out is None else out
    _check_out(out)
    text = page(
        [read_run(folder) for folder in folders],
        time.time(),
        answers,
        compared,
        [key for _, key in shown.values()],
    )
    try:
        write_atomically(out, text, for_others=True)
    except OSError as error:
        raise Refused(f"{out} (--out) cannot be written: {error.strerror}") from error
    count = f"{len(folders)} runs" if len(folders) > 1 else folders[0].name
    typer.echo(f"{count}: {out.absolute()}")


def _finished(text: str, arms: Sequence[str]) -> list[tuple[RunFolder, int, str]]:
    """A comparison's finished runs, each with its arm's number and name, in the order of arms."""
    from tuitrain.experiments.store import FINISHED, Store

    store = Store(Path(text))
    finished = [r for r in store.results().values() if r.state == FINISHED and r.cell.arm in arms]
    if not finished:
        raise Refused(f"no run of the comparison {text} has finished yet")
    finished.sort(key=lambda r: (arms.index(r.cell.arm), r.cell.task, r.cell.seed))
    return [
        (RunFolder(store.runs / result.run), arms.index(result.cell.arm), result.cell.arm)
        for result in finished
    ]


def _recolored(chart: Chart, first: int) -> Chart:
    """The chart with its colours moved on: those before are another comparison's."""
    moved = [replace(series, number=series.number + first) for series in chart.series]
    return replace(chart, series=moved)


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
