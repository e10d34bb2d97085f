"""What `doctor` asks a fresh process: whether torch, environment, network and weights work in it.

``python -P -m tuitrain.workers.asides.examine RESULT_FD`` answers a config (see ``aside``) with
``{"torch": ...}`` as soon as torch is imported and ``{"report": ...}`` at last: the probe's report,
and what its process needed. That everything was found, imported and built in a process that knew
nothing but the config is what workers rely on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from tuitrain.config.schema import Config
from tuitrain.workers.asides.aside import Tell, serve

STEPS = 32
"""Steps the environment is played, to see what it draws from."""


def examine(question: dict[str, Any], tell: Tell) -> None:
    """Tell of torch, then of the config's environment and network.

    Args:
        question: ``{"config": fields of a Config or None}``.
    """
    tell(stage="importing torch")
    import torch

    tell(torch=_torch(torch))
    if question["config"] is None:
        tell(report=None)
        return
    tell(stage="reading the config")
    config = Config.model_validate(question["config"])
    torch.set_num_threads(config.run.threads_per_process)
    # which device there is has been told already; what cannot be had must not hide the rest
    anywhere = config.model_copy(
        update={"learner": config.learner.model_copy(update={"device": "cpu"})}
    )
    tell(stage="importing the workers")
    from tuitrain.envs.spec import EnvSpec
    from tuitrain.workers.asides.evaluations import tried_evaluations
    from tuitrain.workers.asides.probe import probe

    tell(stage="building environment and network")
    report = probe(anywhere, None)
    tell(stage="playing the environment")
    drawn = _drawn_from(lambda: _play(config))
    memory = psutil.Process().memory_full_info()
    report |= {"global_random": drawn, "process_bytes": int(memory.uss), "evaluations": None}
    if config.eval.enabled and config.env.eval_kwargs:
        tell(stage="playing the settings of evaluations")
        report["evaluations"] = tried_evaluations(config, EnvSpec.from_dict(report["spec"]))
    tell(report=report)


def _torch(torch: Any) -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "version": str(torch.__version__),
        "cuda_build": torch.version.cuda or torch.version.hip,
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else [],
    }


def _play(config: Config) -> None:
    from tuitrain.envs.make import make_lanes
    from tuitrain.workers.evaluating.game import game_on

    lanes = make_lanes(config.env, 1, config.policies.map)
    rng = np.random.default_rng(0)

    def act(
        policy: str, stacked: NDArray[Any], legal: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        draws = rng.random((len(stacked), lanes.spec.policies[policy].n_actions))
        actions: NDArray[np.int64] = (draws if legal is None else draws * legal).argmax(1)
        return actions

    try:
        game = game_on(lanes, act)
        game.start([0])
        for _ in range(STEPS):
            game.advance()
    finally:
        lanes.close()


def _drawn_from(play: Callable[[], None]) -> list[str]:
    """Which of the process's global random states `play` has moved."""
    drawn: list[str] = []
    with (
        _noted("random", random.getstate, drawn),
        _noted("numpy.random", _numpy_state, drawn),
        _noted("torch", _torch_state, drawn),
    ):
        play()
    return drawn


@contextmanager
def _noted(name: str, state: Callable[[], Any], drawn: list[str]) -> Iterator[None]:
    before = state()
    yield
    if state() != before:
        drawn.append(name)


def _numpy_state() -> tuple[Any, ...]:
    _, keys, *rest = np.random.get_state()
    return np.asarray(keys).tobytes(), *rest


def _torch_state() -> bytes:
    import torch

    return torch.get_rng_state().numpy().tobytes()


if __name__ == "__main__":
    from tuitrain.envs.spaces import EnvError
    from tuitrain.learning.bodies import NetworkError
    from tuitrain.loading import LoadError
    from tuitrain.workers.beginning.initial import CannotBegin
    from tuitrain.workers.build import SpecMismatch

    serve(examine, (CannotBegin, EnvError, LoadError, NetworkError, SpecMismatch))
