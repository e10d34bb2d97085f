"""`tuitrain eval`: play a run's checkpoint, in this process, whether the run lives or not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import RunArgument, RunsDirOption, find


@explained
def evaluate(
    run: RunArgument = "latest",
    episodes: Annotated[int, typer.Option(min=2, help="Episodes to play.")] = 20,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint file; the newest if not given.")
    ] = None,
    number: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of the evaluation: it seeds the environments. A run's own start at 1.",
        ),
    ] = 0,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play episodes greedily and print mean return with its 95 % confidence interval."""
    found = find(run, runs_dir)
    from tuitrain.checkpoint import CheckpointError
    from tuitrain.envs.spaces import EnvError
    from tuitrain.learning.bodies import NetworkError
    from tuitrain.loading import LoadError
    from tuitrain.workers.build import SpecMismatch
    from tuitrain.workers.trained import evaluate_run

    try:
        results = evaluate_run(found.folder.path, episodes, checkpoint, number)
    except (
        FileNotFoundError,
        CheckpointError,
        EnvError,
        LoadError,
        NetworkError,
        SpecMismatch,
    ) as error:
        raise Refused(str(error)) from error
    if as_json:
        from tuitrain.metrics.sinks import to_json

        typer.echo(json.dumps([json.loads(to_json(asdict(result))) for result in results]))
        return
    for result in results:
        typer.echo(
            f"{found.folder.name} {result.policy}: return {result.return_mean:.4g} "
            f"± {result.return_ci95:.3g} (95 % CI, {result.episodes} episodes, "
            f"{result.return_min:.4g} to {result.return_max:.4g}, "
            f"mean length {result.length_mean:.4g})"
        )
