"""From the `[env]` table to environments: by gymnasium id, by module, by file.

An id is a factory reference when what follows its last colon is a Python name
(``package.module:factory``, ``file.py:factory``); anything else goes to ``gymnasium.make``, so
gymnasium's own ``module:Id-v0`` form keeps working. What a factory returns decides how it is
stepped: a ``gymnasium.Env`` alone, a parallel multi-agent environment by its agents, a turn-taking
world agent by agent, a game by PettingZoo's AEC API move by move, and what has a method
``make_lanes`` as it likes (see ``turns.ManyWorlds``). Knows nothing of processes, replay or
networks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.extras import how_to_get, register_for
from tuitrain.envs.grouping import PolicyMap
from tuitrain.envs.lanes.aec import AecLanes, is_aec, lacking
from tuitrain.envs.lanes.cycles import CycleLanes, empty_cycle
from tuitrain.envs.lanes.multi_agent import ParallelLanes, is_parallel
from tuitrain.envs.lanes.turns import (
    AnyLanes,
    TurnLanes,
    WorldLanes,
    empty_row,
    has_lanes,
    is_turn_world,
)
from tuitrain.envs.lanes.vector import GymLanes
from tuitrain.envs.spaces import BadObservation, EnvError, UnsupportedSpace
from tuitrain.envs.spec import EnvSpec
from tuitrain.loading import LoadError, is_reference, load_object

__all__ = [
    "BadObservation",
    "EnvError",
    "UnsupportedSpace",
    "build_env",
    "inspect",
    "make_lanes",
]


def make_lanes(
    env_config: EnvConfig,
    n_envs: int,
    policy_map: PolicyMap = "each",
    build: Callable[[EnvConfig], Any] | None = None,
    told: EnvSpec | None = None,
) -> AnyLanes:
    """Build `n_envs` copies of an environment.

    Args:
        policy_map: `policies.map`.
        told: what others have found, see ``copies.with_masks_of_infos``; None is to look oneself.
        build: what builds one copy, for who wants them otherwise than ``build_env`` makes them.

    Raises:
        EnvError: it cannot be built, or its copies are one object or differ.
        UnsupportedSpace: its spaces are not supported; says what was found and what is supported.
    """
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, not {n_envs}")
    build = build or build_env
    env = build(env_config)
    of_several = env_config.id, env_config.n_frames, policy_map
    if has_lanes(env):
        return env.make_lanes(n_envs, *of_several)
    # The first copy was built to see what kind it is; it is used, not thrown away, because
    # building an environment can be slow.
    first: list[Any] = [env]

    def factory() -> Any:
        return first.pop() if first else build(env_config)

    factories = [factory] * n_envs
    if is_turn_world(env):
        return WorldLanes(factories, *of_several)
    if is_aec(env):
        return AecLanes(factories, *of_several, told)
    if is_parallel(env):
        return ParallelLanes(factories, *of_several, told)
    if not isinstance(policy_map, str) and policy_map:
        env.close()
        raise EnvError(
            f"environment {env_config.id!r} has one agent, but policies.map names "
            f"{', '.join(sorted(policy_map))}. Remove that table."
        )
    return GymLanes(factories, env_config.id, env_config.n_frames, told)


def inspect(env_config: EnvConfig, policy_map: PolicyMap = "each") -> EnvSpec:
    """Build one copy, see that its first observations are as it declares, and close it.

    A turn-taking world is played for a turn and a game for a cycle, in which everybody's action is
    the first legal one.

    Raises:
        EnvError: see ``make_lanes``; ``BadObservation`` if the first observation is not as
            declared.
    """
    lanes = make_lanes(env_config, 1, policy_map)
    try:
        lanes.reset([0])
        if isinstance(lanes, TurnLanes):
            rows = {name: empty_row(policy, 1) for name, policy in lanes.spec.policies.items()}

            def choose_in_turn(policy: str, place: int) -> NDArray[np.int64]:
                legal = rows[policy].legal
                return np.zeros(1, np.int64) if legal is None else legal[[place]].argmax(1)

            lanes.turn(choose_in_turn, rows)
        elif isinstance(lanes, CycleLanes):
            into = {name: empty_cycle(policy, 1) for name, policy in lanes.spec.policies.items()}

            def choose(policy: str, at: NDArray[np.int64]) -> NDArray[np.int64]:
                legal = into[policy].legal
                return np.zeros(len(at), np.int64) if legal is None else legal[at].argmax(1)

            lanes.cycle(choose, into)
        return lanes.spec
    finally:
        lanes.close()


def build_env(env_config: EnvConfig) -> Any:
    """One environment, of one of the kinds that can be stepped.

    Raises:
        EnvError: the id is unknown, the factory cannot be loaded or fails, or what it returns is
            none of them.
    """
    env_id = env_config.id
    # Each copy has its own kwargs: one that edits a list it was given must not edit its sisters'.
    kwargs = copy.deepcopy(env_config.kwargs)
    if is_reference(env_id):
        try:
            factory = load_object(env_id)
        except LoadError as error:
            raise EnvError(f"environment {env_id!r} cannot be loaded: {error}") from error
        if not callable(factory):
            raise EnvError(f"environment {env_id!r} is a {type(factory).__name__}, not a factory.")
        try:
            env = factory(**kwargs)
        except Exception as error:
            raise EnvError(_build_failed(env_id, kwargs, error)) from error
    else:
        register_for(env_id)
        try:
            # The lanes check what matters; gymnasium's checker would warn and cost time.
            env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
        except Exception as error:
            failed = _build_failed(env_id, kwargs, error)
            raise EnvError(failed + how_to_get(error)) from error
    if isinstance(env, gymnasium.Env) or any(
        known(env) for known in (has_lanes, is_turn_world, is_aec, is_parallel)
    ):
        return env
    if env is None:
        raise EnvError(
            f"environment {env_id!r}: its factory returned nothing (None); does it lack a return?"
        )
    hint = ""
    if isinstance(env, gymnasium.vector.VectorEnv):
        hint = " Return a single environment: tuitrain makes the vector itself."
    elif hasattr(env, "agent_iter"):
        hint = f" It has agent_iter, but for an AEC environment it lacks {', '.join(lacking(env))}."
    elif all(hasattr(env, name) for name in ("take_turn", "agents", "world")):
        hint = " This one looks like Sorrel's: wrap it in tuitrain.envs.sorrel.SorrelWorld(...)."
    raise EnvError(
        f"environment {env_id!r} is of type {type(env).__qualname__}; supported: "
        "gymnasium.Env, multi-agent environments (PettingZoo's parallel and AEC APIs) and "
        f"turn-taking worlds (tuitrain.envs.lanes.turns.TurnWorld).{hint}"
    )


def _build_failed(env_id: str, kwargs: dict[str, Any], error: Exception) -> str:
    given = f" with env.kwargs {kwargs}" if kwargs else ""
    why = str(error) if isinstance(error, EnvError) else f"{type(error).__name__}: {error}"
    return f"environment {env_id!r} cannot be built{given}: {why}"
