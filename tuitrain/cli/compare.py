"""`tuitrain compare`: one config over schedules, settings and seeds, and what may be concluded."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuitrain.cli.config_cmd import SetOption
from tuitrain.cli.errors import Refused, explained

if TYPE_CHECKING:
    from tuitrain.experiments.running import Progress
    from tuitrain.experiments.store import Result, Store

Scales = dict[str, tuple[float, float]]

EXIT_FAILED = 3
EXIT_INTERRUPTED = 130


@explained
def compare(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file; see `tuitrain config schema`.")
    ] = None,
    schedules: Annotated[
        str | None,
        typer.Option(
            help="Schedules to compare, e.g. sequential,async. The others are compared with the "
            "first. Without: the config's own.",
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="KEY=A,B",
            help="Values of a key to compare, e.g. --grid learner.lr=1e-3,5e-4. Given often, all "
            "combinations are run. Values of env.id or env.kwargs are tasks that every arm runs.",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="How many seeds, from the config's on, or a list: 8 or 1,2,5. [5]"),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="The largest difference of mean return that does not matter to you. Set it before "
            "the runs: without it nothing can be called equivalent.",
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Share of wrong answers that is put up with, each. [0.05]"),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale",
            metavar="TASK=LOW,HIGH",
            help="Returns that count as 0 and 1 where tasks are taken together, e.g. "
            "--scale CartPole-v1=20,500. One for each task.",
        ),
    ] = None,
    overrides: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the comparison. [comparisons/NAME, from run.name]"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Most runs at a time. [as many as the cores can take]"),
    ] = None,
    analyse: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run nothing: conclude from a comparison's folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON.")] = False,
) -> None:
    """Run a config over schedules, settings and seeds, and say what may be concluded.

    Reported are the final greedy return and the area under the learning curve: interquartile means
    with bootstrap intervals, the chance that a run is better, and whether the arms are equivalent,
    different or not to be told apart yet.

    \b
    Does async learn what sequential learns? A difference of 25 would not matter:
        tuitrain compare configs/cartpole.toml --schedules sequential,async --seeds 8 --margin 25
    Which learning rate?
        tuitrain compare my.toml --grid learner.lr=3e-4,1e-3 --seeds 10
    Over two tasks:
        tuitrain compare my.toml --schedules lockstep,async --grid env.id=CartPole-v1,Acrobot-v1
    One policy for every agent, or one for all? Compared by the mean over all agents:
        tuitrain compare configs/treasurehunt.toml --grid policies.map=each,shared --margin 10
    Look again, without running anything:
        tuitrain compare --analyse comparisons/cartpole

    Ctrl-C stops all its runs. The same command goes on: finished runs are kept, failed ones tried
    again, and more seeds or arms may be asked for. Cores are not oversubscribed: a sequential run
    takes one, any other one for each actor and one for the learner.
    """
    from tuitrain.experiments.plan import DEFAULT_ALPHA, PlanError, parse_scale

    try:
        scales = dict(parse_scale(text) for text in scale or [])
        if analyse is not None:
            given = (config, schedules, grid, seeds, alpha, overrides, out, jobs)
            if any(option is not None for option in given):
                raise Refused(
                    "--analyse runs nothing and takes its plan as it is: only --margin, --scale "
                    "and --json go with it"
                )
            _only_analyse(analyse, margin, scales, as_json)
        elif config is None:
            raise Refused(
                "give a config (`tuitrain compare configs/cartpole.toml --schedules "
                "sequential,async`) or --analyse FOLDER"
            )
        else:
            wanted = [s.strip() for s in schedules.split(",")] if schedules else []
            _run(
                config,
                overrides or [],
                wanted,
                grid or [],
                seeds,
                margin,
                DEFAULT_ALPHA if alpha is None else alpha,
                out,
                jobs,
                scales,
                as_json,
            )
    except PlanError as error:
        raise Refused(str(error)) from error


def _run(
    config: Path,
    overrides: list[str],
    schedules: list[str],
    grid: list[str],
    seeds: str | None,
    margin: float | None,
    alpha: float,
    out: Path | None,
    jobs: int | None,
    scales: Scales,
    as_json: bool,
) -> None:
    from tuitrain.config.resolve import available_cores
    from tuitrain.experiments.plan import PlanError, check_scales, grown, make_plan, unshared
    from tuitrain.experiments.running import Told, run_cells
    from tuitrain.experiments.store import Store
    from tuitrain.supervisor.house.runtime import check_socket_path, root

    plan = make_plan(config, overrides, schedules, grid, seeds, margin, alpha)
    check_scales(scales, plan.tasks)
    check_socket_path(root() / "00000000" / "sock")  # before anything is created
    name = next(iter(plan.configs.values())).run.name
    store = Store(out if out is not None else Path("comparisons") / name)
    with store.only_user():
        before = store.read_plan()
        if before is not None:
            try:
                plan = grown(before, plan)
            except PlanError as error:
                raise Refused(
                    f"{store.path} holds another comparison:\n{error}\n"
                    "Give the same command as before to go on with it, or another --out."
                ) from error
        store.write_plan(plan, sys.argv)
        line = _Line()
        typer.echo(f"{len(plan.cells())} runs of {len(plan.arms)} arms in {store.path}", err=True)
        if known := unshared(plan):
            typer.echo(known, err=True)
        try:
            run_cells(
                plan,
                store,
                cores=available_cores(),
                jobs=jobs,
                told=Told(ended=line.ended, progress=line.progress),
            )
        except KeyboardInterrupt:
            line.clear()
            typer.echo("tuitrain: interrupted; the same command goes on", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        line.clear()
        failed = _conclude(store, None, scales, as_json)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _only_analyse(folder: Path, margin: float | None, scales: Scales, as_json: bool) -> None:
    from tuitrain.experiments.store import Store

    if margin is not None and not margin > 0:
        raise Refused(f"--margin {margin:g}: must be above 0, in units of return")
    store = Store(folder)
    if store.read_plan() is None:
        raise Refused(f"{folder} is no comparison: it has no comparison.json")
    if not store.results():
        raise Refused(f"no run of {folder} has ended yet: there is nothing to conclude")
    _conclude(store, margin, scales, as_json)  # also while the comparison goes on


def _conclude(store: Store, late_margin: float | None, scales: Scales, as_json: bool) -> bool:
    """Analyse, print, write analysis.json and the plot; whether runs are missing."""
    from tuitrain.disk import write_atomically
    from tuitrain.experiments.analysis import analyse
    from tuitrain.experiments.plot import NoMatplotlib, plot
    from tuitrain.experiments.plot_plain import plain
    from tuitrain.experiments.table import lines_of
    from tuitrain.metrics.sinks import to_json
    from tuitrain.supervisor.crew.process import printable

    plan = store.read_plan()
    assert plan is not None
    analysis = analyse(plan, store.results(), late_margin, scales)
    text = to_json(analysis.to_json())
    write_atomically(store.analysis_json, json.dumps(json.loads(text), indent=1) + "\n")
    if as_json:
        typer.echo(text)
    else:
        for line in lines_of(analysis):
            typer.echo(printable(line))
    if analysis.tasks:
        drawn = store.path / "curves.svg"
        try:
            plot(analysis, drawn, drawn.with_suffix(".png"))
            typer.echo(f"curves: {drawn}, and as PNG beside it", err=True)
        except NoMatplotlib as error:
            write_atomically(drawn, plain(analysis), for_others=True)
            typer.echo(f"curves: {drawn} ({error})", err=True)
    return bool(analysis.missing)


class _Line:
    """Progress on stderr: one line that changes on a terminal, one line a result otherwise."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False

    def ended(self, result: Result) -> None:
        """Say how a run ended."""
        from tuitrain.experiments.curves import mean_over_agents
        from tuitrain.supervisor.clients.console import duration
        from tuitrain.supervisor.crew.process import printable

        self.clear()
        text = f"{result.cell}: {result.state}"
        if result.cause:
            where = f" (runs/{result.run}/logs)" if result.run else ""
            text += f": {result.cause}{where}"
        elif result.curves:
            curve = mean_over_agents(result.curves, result.agents)
            assert curve is not None
            whose = " (all agents)" if len(result.curves) > 1 else ""
            text += f", return {curve.returns[-1]:.4g}{whose}, {duration(result.wall_s)}"
        typer.echo(printable(text), err=True)

    def progress(self, progress: Progress) -> None:
        """Show a bar, where there is a terminal."""
        if not self._live:
            return
        columns = shutil.get_terminal_size().columns
        typer.echo(f"\r\x1b[K{progress_text(progress, columns - 1)}", nl=False, err=True)
        self._shown = True

    def clear(self) -> None:
        """Take the bar away, for a line that stays."""
        if self._shown:
            typer.echo("\r\x1b[K", nl=False, err=True)
            self._shown = False


def progress_text(progress: Progress, columns: int) -> str:
    """A bar and where things stand, in at most `columns` characters: it must stay on one line."""
    from tuitrain.supervisor.clients.console import duration

    eta = "" if progress.eta_s is None else f"  ETA {duration(progress.eta_s)}"
    failed = f", {progress.failed} failed" if progress.failed else ""
    text = (
        f"{100 * progress.share:3.0f}%  {progress.done} of {progress.total} runs done{failed}, "
        f"{progress.running} running{eta}"
    )
    width = min(30, columns - len(text) - 2)
    if width < 5:
        return text[: max(0, columns)]
    full = round(progress.share * width)
    return f"{'█' * full}{'░' * (width - full)}  {text}"
