"""Pictures of an environment: one copy of it, built to be looked at.

Only what is recorded is built this way, since drawing costs time and some environments open a
window for it. Knows nothing of files, networks or processes.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.grouping import PolicyMap
from tuitrain.envs.lanes.turns import AnyLanes
from tuitrain.envs.make import build_env, make_lanes
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec
from tuitrain.loading import is_reference, load_object

RENDER_MODE = "rgb_array"
"""What gymnasium and PettingZoo call pictures as arrays."""

DEFAULT_FPS = 10.0
"""Pictures per second where the environment's `metadata["render_fps"]` says nothing."""


class Camera:
    """Takes pictures of one environment.

    Args:
        env: has `render()`; if it has `metadata["render_fps"]`, that is the pace.
        env_id: for messages.

    Attributes:
        fps: pictures per second, one for each step.
    """

    def __init__(self, env: Any, env_id: str) -> None:
        self._env = env
        self._where = f"environment {env_id!r} cannot be recorded"
        if not callable(getattr(env, "render", None)):
            raise EnvError(f"{self._where}: it has no render().")
        metadata = getattr(env, "metadata", None) or {}
        self.fps = float(metadata.get("render_fps") or DEFAULT_FPS)

    def picture(self) -> NDArray[np.uint8]:
        """What the environment looks like now: uint8 [height, width, 3].

        Raises:
            EnvError: it cannot be rendered, or what it renders is no such picture.
        """
        try:
            seen = self._env.render()
        except NotImplementedError as error:
            raise EnvError(f"{self._where}: it has no render() of its own.") from error
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
            raise EnvError(f"{self._where}: its render() failed: {failed}") from error
        if seen is None:
            raise EnvError(
                f"{self._where}: its render() returned None. Its factory must take `render_mode`, "
                f"and with render_mode={RENDER_MODE!r} render() returns a picture."
            )
        if (
            not isinstance(seen, np.ndarray)
            or seen.dtype != np.uint8
            or seen.ndim != 3
            or seen.shape[2] != 3
            or seen.size == 0
        ):
            what = (
                f"an array of {seen.dtype} {seen.shape}"
                if isinstance(seen, np.ndarray)
                else f"a {type(seen).__name__}"
            )
            raise EnvError(
                f"{self._where}: its render() returned {what}, not uint8 [height, width, 3]."
            )
        return seen


def filmed_lanes(
    env_config: EnvConfig, policy_map: PolicyMap, told: EnvSpec | None = None
) -> tuple[AnyLanes, Camera]:
    """One copy of an environment, and a camera on it.

    Environments that are made by their own lanes (see ``turns.ManyWorlds``) are drawn by these.

    Args:
        policy_map, told: as of ``make.make_lanes``.

    Raises:
        EnvError: see ``make.make_lanes``; or it has no ``render``.
    """
    # pygame greets on stdout, where results are printed
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    built: list[Any] = []

    def build(config: EnvConfig) -> Any:
        built.append(_built_to_render(config))
        return built[0]

    lanes = make_lanes(env_config, 1, policy_map, build, told)
    try:
        drawn_by_lanes = callable(getattr(lanes, "render", None))
        return lanes, Camera(lanes if drawn_by_lanes else built[0], env_config.id)
    except EnvError:
        lanes.close()
        raise


def _built_to_render(config: EnvConfig) -> Any:
    """With a render mode if it takes one; whether it can be rendered then shows at a picture."""
    if not _takes_render_mode(config.id):
        return build_env(config)
    kwargs = config.kwargs | {"render_mode": RENDER_MODE}
    try:
        return build_env(config.model_copy(update={"kwargs": kwargs}))
    except EnvError:
        if config.kwargs.get("render_mode") == RENDER_MODE:
            raise
        return build_env(config)  # `**kwargs` that end where no render mode is known


def _takes_render_mode(env_id: str) -> bool:
    if not is_reference(env_id):
        return True  # gymnasium's ids do
    try:
        parameters = inspect.signature(load_object(env_id)).parameters.values()
    except (ImportError, TypeError, ValueError):  # the building says what is wrong
        return False
    return any(p.name == "render_mode" or p.kind is p.VAR_KEYWORD for p in parameters)
