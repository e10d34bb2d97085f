"""Whole greedy episodes of a run's checkpoint as a video.

One copy of the environment plays, a picture is taken of every step, and what it earned is reported
as of any evaluation.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tuitrain.envs.camera import Camera, filmed_lanes
from tuitrain.envs.lanes.turns import AnyLanes
from tuitrain.video import VideoFile
from tuitrain.workers.asides.trained import STANDALONE_EVALUATION, Trained
from tuitrain.workers.build import check_spec, close_lanes
from tuitrain.workers.evaluating.evaluator import EvalResult, Evaluator


@dataclass(frozen=True)
class Film:
    """A file that has been written, and how the episodes in it went."""

    path: Path
    pictures: int
    fps: float
    results: list[EvalResult]


def film_run(
    trained: Trained, path: Path, episodes: int, number: int = STANDALONE_EVALUATION
) -> Film:
    """Record `episodes` of a run's checkpoint, one after another.

    Args:
        path: .mp4 or .gif, replaced if it is there.

    Raises:
        SpecMismatch: the environment is not any more what the policies were trained on.
        EnvError: it cannot be rendered; told before anything is played.
        VideoError: the file cannot be written.
    """
    config, spec = trained.config, trained.spec
    one_copy = config.model_copy(update={"eval": config.eval.model_copy(update={"episodes": 1})})
    cameras: list[Camera] = []

    def ready_lanes(_: int) -> AnyLanes:
        # built here, where the evaluator has seeded what an environment may draw when it is made
        lanes, camera = filmed_lanes(config.env.of_evaluations, config.policies.map, spec)
        try:
            check_spec(lanes, config, spec, for_evaluation=True)
            lanes.reset([0])  # most environments have no picture before
            camera.picture()
        except BaseException:
            close_lanes(lanes)
            raise
        cameras.append(camera)
        return lanes

    evaluator = Evaluator(one_copy, spec, trained.policies, ready_lanes)
    (camera,) = cameras
    with closing(evaluator), VideoFile(path, camera.fps) as video:
        results = evaluator.evaluate(number, lambda: video.add(camera.picture()), episodes)
    return Film(path, video.pictures, camera.fps, results)
