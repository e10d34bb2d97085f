"""`tuitrain eval`: play a run's checkpoint, whether the run lives or not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import NewestRunArgument, RunsDirOption, find, find_trained


@explained
def evaluate(
    run: NewestRunArgument = "latest",
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
    from tuitrain.supervisor.crew.process import printable
    from tuitrain.video import VideoError, ready

    if video is not None:
        try:
            ready(video)
        except VideoError as error:
            raise Refused(str(error)) from error
    found, told = (find(run, runs_dir), "") if checkpoint else find_trained(run, runs_dir)
    if told:
        typer.echo(printable(told), err=True)
    told_of = _played(
        {
            "run_dir": str(found.folder.path),
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "episodes": episodes,
            "number": number,
            "video": None if video is None else str(video),
        }
    )
    played, updates, film = told_of["played"], told_of["updates"], told_of["film"]
    if as_json:
        from tuitrain.metrics.sinks import to_json

        of = {name: {"checkpoint": played, "updates": n} for name, n in updates.items()}
        lines = (to_json(result | of[result["policy"]]) for result in told_of["results"])
        typer.echo(json.dumps([json.loads(line) for line in lines]))
        return
    for result in told_of["results"]:
        typer.echo(f"{found.folder.name} {result['policy']}: {_in_words(result)}")
    made = ", ".join(f"{name} {count:,}" for name, count in updates.items())
    typer.echo(f"played {played}; updates made: {made}")
    if film is not None:
        pictures, fps = film["pictures"], film["fps"]
        typer.echo(
            f"wrote {film['path']}: {pictures:,} pictures at {fps:g} a second, "
            f"{pictures / fps:,.0f} s"
        )


def _played(question: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own tells: the environment may crash it, or end it.

    Raises:
        Refused: it could not be played to the end; says why.
    """
    from tuitrain.cli.aside import AsideError, ask
    from tuitrain.supervisor.crew.process import printable

    told: dict[str, Any] = {}

    def answered(said: dict[str, Any]) -> bool:
        told.update(said)
        for reason in said.get("passed_over", ()):
            typer.echo(printable(f"{reason}; {said['played']} is played instead"), err=True)
        return "results" in said

    try:
        ask("tuitrain.workers.asides.play", json.dumps(question), answered, None)
    except AsideError as error:
        raise Refused(f"nothing was evaluated: {error}") from error
    return told


def _in_words(result: dict[str, Any]) -> str:
    of = SimpleNamespace(**result)
    cut = f", {of.cut} cut by eval.max_episode_steps" if of.cut else ""
    if of.episodes == 1:
        return f"return {of.return_mean:.4g} (1 episode, length {of.length_mean:.4g}{cut})"
    return (
        f"return {of.return_mean:.4g} ± {of.return_ci95:.3g} (95 % CI, "
        f"{of.episodes} episodes, min {of.return_min:.4g}, max {of.return_max:.4g}, "
        f"mean length {of.length_mean:.4g}{cut})"
    )
