"""`tuitrain eval`: play a run's checkpoint, in this process, whether the run lives or not."""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import RunArgument, RunsDirOption, find, find_trained

if TYPE_CHECKING:
    from tuitrain.workers.evaluator import EvalResult


@explained
def evaluate(
    run: RunArgument = "latest",
    episodes: Annotated[
        int | None,
        typer.Option(
            min=1, show_default="20, or 3 of a video", help="Episodes to play, each to its end."
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            show_default="the newest",
            help="`best` (weights of the run's best evaluation), a number of updates, or a file.",
        ),
    ] = None,
    number: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of the evaluation: it seeds the environments. A run's own start at 1.",
        ),
    ] = 0,
    video: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Record the episodes, one after another: FILE.mp4 or FILE.gif."
        ),
    ] = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play episodes greedily and print mean return with its 95 % confidence interval.

    `latest` and a name without number mean the newest run that has a checkpoint, unless a newer one
    is running.

    A video needs `pip install 'tuitrain[video]'` and an environment that can be rendered.
    """
    from tuitrain.supervisor.process import printable
    from tuitrain.video import VideoError, ready

    if video is not None:
        try:
            ready(video)
        except VideoError as error:
            raise Refused(str(error)) from error
    found, told = (find(run, runs_dir), "") if checkpoint else find_trained(run, runs_dir)
    if told:
        typer.echo(printable(told), err=True)
    from tuitrain.checkpoint import CheckpointError
    from tuitrain.envs.spaces import EnvError
    from tuitrain.learning.bodies import NetworkError
    from tuitrain.loading import LoadError
    from tuitrain.workers.build import SpecMismatch
    from tuitrain.workers.filming import Film, film_run
    from tuitrain.workers.trained import evaluate_run, load_trained, named

    film: Film | None = None
    try:
        which = None if checkpoint is None else named(found.folder.path, checkpoint)
        trained = load_trained(found.folder.path, which)
        played = trained.checkpoint.name
        for reason in trained.passed_over:
            typer.echo(printable(f"{reason}; {played} is played instead"), err=True)
        if video is None:
            results = evaluate_run(trained, episodes or 20, number)
        else:
            film = film_run(trained, video, episodes or 3, number)
            results = film.results
    except (
        FileNotFoundError,
        CheckpointError,
        EnvError,
        LoadError,
        NetworkError,
        SpecMismatch,
        VideoError,
    ) as error:
        raise Refused(str(error)) from error
    except SystemExit as error:
        # Not ours: let through, it would end this command as if it had been carried out. One that
        # calls os._exit ends it all the same; only a process of its own would survive that.
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise Refused(
            f"the environment wanted to end the process, by SystemExit({error.code!r}) in "
            f"{last.filename}, line {last.lineno}: nothing was evaluated"
        ) from error
    if as_json:
        from tuitrain.metrics.sinks import to_json

        of = {name: {"checkpoint": played, "updates": n} for name, n in trained.updates.items()}
        told_of = (to_json(asdict(result) | of[result.policy]) for result in results)
        typer.echo(json.dumps([json.loads(text) for text in told_of]))
        return
    for result in results:
        typer.echo(f"{found.folder.name} {result.policy}: {_in_words(result)}")
    made = ", ".join(f"{name} {updates:,}" for name, updates in trained.updates.items())
    typer.echo(f"played {played}; updates made: {made}")
    if film is not None:
        typer.echo(
            f"wrote {film.path}: {film.pictures:,} pictures at {film.fps:g} a second, "
            f"{film.pictures / film.fps:,.0f} s"
        )


def _in_words(result: EvalResult) -> str:
    cut = f", {result.cut} cut by eval.max_episode_steps" if result.cut else ""
    if result.episodes == 1:
        return f"return {result.return_mean:.4g} (1 episode, length {result.length_mean:.4g}{cut})"
    return (
        f"return {result.return_mean:.4g} ± {result.return_ci95:.3g} (95 % CI, "
        f"{result.episodes} episodes, min {result.return_min:.4g}, max {result.return_max:.4g}, "
        f"mean length {result.length_mean:.4g}{cut})"
    )
