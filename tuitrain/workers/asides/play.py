"""What `tuitrain eval` asks a fresh process: to play a run's checkpoint.

``python -P -m tuitrain.workers.asides.play RESULT_FD`` answers (see ``aside``) with ``{"played":
...}`` once it is known what is played, and ``{"results": ...}`` at last. An environment that
crashes or ends its process does it to this one, and that is told.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tuitrain.workers.asides.aside import Tell, serve


def play(question: dict[str, Any], tell: Tell) -> None:
    """Evaluate or film.

    Args:
        question: `run_dir`; `checkpoint`, as ``trained.named`` takes it, or None; `number` of the
            evaluation; `episodes`, or None for as many as is usual; `video`, a path, or None.
    """
    tell(stage="reading the checkpoint")
    from tuitrain.workers.asides.filming import film_run
    from tuitrain.workers.asides.trained import evaluate_run, load_trained, named

    run_dir, which = Path(question["run_dir"]), question["checkpoint"]
    trained = load_trained(run_dir, None if which is None else named(run_dir, which))
    tell(
        played=trained.checkpoint.name,
        passed_over=list(trained.passed_over),
        updates=trained.updates,
    )
    tell(stage="playing the environment")
    episodes, number = question["episodes"], question["number"]
    if question["video"] is None:
        results, film = evaluate_run(trained, episodes or 20, number), None
    else:
        made = film_run(trained, Path(question["video"]), episodes or 3, number)
        results = made.results
        film = {"path": str(made.path), "pictures": made.pictures, "fps": made.fps}
    tell(results=[asdict(result) for result in results], film=film)


if __name__ == "__main__":
    from tuitrain.checkpoint.files import CheckpointError
    from tuitrain.config.problems import ConfigError
    from tuitrain.config.runs import RunFolderError
    from tuitrain.envs.spaces import EnvError
    from tuitrain.learning.bodies import NetworkError
    from tuitrain.loading import LoadError
    from tuitrain.video import VideoError
    from tuitrain.workers.build import SpecMismatch

    serve(
        play,
        (
            FileNotFoundError,
            CheckpointError,
            ConfigError,
            EnvError,
            LoadError,
            NetworkError,
            RunFolderError,
            SpecMismatch,
            VideoError,
        ),
    )
