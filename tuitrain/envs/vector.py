"""Many copies of one environment stepped together: one row on every lane in every vector step.

The rule that everything rests on is gymnasium's NEXT_STEP autoreset, asked for explicitly: the
step after an episode's end ignores its action, gives reward 0, neither terminates nor truncates,
and returns the first observation of the next episode. So vector steps and replay rows map 1:1,
the final observation of an episode is the observation of a boundary row, and no lane ever skips.
Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from tuitrain.envs.spaces import (
    EnvError,
    action_count,
    check_actions,
    check_observation,
    check_reward,
    observation_form,
)
from tuitrain.envs.spec import EnvSpec, PolicySpec

DEFAULT_POLICY = "default"
"""Policy (and agent) name of a single-agent environment."""


class LaneStep(NamedTuple):
    """What one vector step gave one policy. The arrays are valid until the next call.

    Attributes:
        observation: ``[lanes, *shape]`` of the spec's dtype; what the *next* row observes.
        reward: ``float32[lanes]`` for the action just taken; 0 where that row was a boundary.
        terminated: ``bool[lanes]``, the episode ended in a terminal state: no bootstrap.
        truncated: ``bool[lanes]``, the episode was cut: bootstrap from the final observation.
    """

    observation: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Lanes(Protocol):
    """E copies of an environment as lanes: lane = env * len(agents) + agent index, per policy."""

    @property
    def spec(self) -> EnvSpec:
        """What all processes must agree on."""
        ...

    @property
    def n_envs(self) -> int:
        """Copies of the environment."""
        ...

    def reset(self, seeds: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Start an episode everywhere; seeds has one entry per environment.

        Returns:
            Per policy, the first observations ``[lanes, *shape]``.
        """
        ...

    def step(self, actions: Mapping[str, NDArray[np.int64]]) -> dict[str, LaneStep]:
        """One vector step. Actions are ``int64[lanes]`` per policy; NEXT_STEP autoreset."""
        ...

    def close(self) -> None:
        """Close every environment. Calling it twice is allowed."""
        ...


class StrictEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Holds a gymnasium environment to its API and drops the infos.

    ``SyncVectorEnv`` would cast a float64 observation silently, and collecting infos costs more
    than stepping a small environment. (Infos of one environment may also be incompatible with
    those of its copies.)
    """

    def __init__(self, env: gymnasium.Env[Any, Any], env_id: str) -> None:
        """Wrap `env`; `env_id` names it in errors.

        Raises:
            UnsupportedSpace: its spaces are not supported.
        """
        super().__init__(env)
        self._where = f"environment {env_id!r}"
        self._shape, dtype = observation_form(env.observation_space, self._where)
        self._dtype = np.dtype(dtype)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As gymnasium's; raises ``EnvError`` when the result is not (observation, info)."""
        result = self.env.reset(seed=seed, options=options)
        if not isinstance(result, tuple) or len(result) != 2:
            raise EnvError(f"{self._where}: reset() must return (observation, info).")
        check_observation(result[0], self._shape, self._dtype, f"{self._where}, reset()")
        return result[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As gymnasium's; raises ``EnvError`` when the result has not its five parts."""
        result = self.env.step(int(action))
        if not isinstance(result, tuple) or len(result) != 5:
            n = len(result) if isinstance(result, tuple) else 1
            raise EnvError(
                f"{self._where}: step() returned {n} values; gymnasium's step returns "
                "(observation, reward, terminated, truncated, info)."
            )
        observation, reward, terminated, truncated, _ = result
        where = f"{self._where}, step()"
        check_observation(observation, self._shape, self._dtype, where)
        value = check_reward(reward, where)
        return observation, value, bool(terminated), bool(truncated), {}


class GymLanes:
    """``Lanes`` over copies of a single-agent gymnasium environment, stepped in turn."""

    def __init__(
        self,
        factories: Sequence[Callable[[], gymnasium.Env[Any, Any]]],
        env_id: str,
        n_frames: int,
    ) -> None:
        """Build every copy.

        Raises:
            UnsupportedSpace: its spaces are not supported.
            EnvError: two calls of the factory gave the same object, or copies differ in spaces.
        """
        where = f"environment {env_id!r}"
        envs: list[StrictEnv] = []
        try:
            for factory in factories:
                envs.append(_strict(factory(), env_id))
                _refuse_shared(envs, where)
                _refuse_differing(envs, where)
            shape, dtype = observation_form(envs[0].observation_space, where)
            n_actions = action_count(envs[0].action_space, where)
        except BaseException:
            for env in envs:
                env.close()
            raise
        self._envs: SyncVectorEnv[Any, Any] = SyncVectorEnv(
            [lambda env=env: env for env in envs],  # type: ignore[misc]
            copy=False,
            autoreset_mode=AutoresetMode.NEXT_STEP,
        )
        policy = PolicySpec(shape, dtype, n_actions, (DEFAULT_POLICY,))
        self.spec = EnvSpec(env_id, n_frames, {DEFAULT_POLICY: policy})
        self.n_envs = len(envs)
        self._n_actions = n_actions
        self._reward = np.zeros(len(envs), np.float32)

    def reset(self, seeds: Sequence[int]) -> dict[str, NDArray[Any]]:
        """See ``Lanes.reset``."""
        observation, _ = self._envs.reset(seed=list(checked_seeds(seeds, self.n_envs)))
        return {DEFAULT_POLICY: observation}

    def step(self, actions: Mapping[str, NDArray[np.int64]]) -> dict[str, LaneStep]:
        """See ``Lanes.step``."""
        mine = actions[DEFAULT_POLICY]
        check_actions(mine, self.n_envs, self._n_actions, DEFAULT_POLICY)
        observation, reward, terminated, truncated, _ = self._envs.step(mine)
        np.copyto(self._reward, reward, casting="same_kind")
        return {DEFAULT_POLICY: LaneStep(observation, self._reward, terminated, truncated)}

    def close(self) -> None:
        """See ``Lanes.close``."""
        self._envs.close()


def checked_seeds(seeds: Sequence[int], n_envs: int) -> list[int]:
    """Seeds as plain ints. Raises ``ValueError`` unless there is one per environment."""
    if len(seeds) != n_envs:
        raise ValueError(f"reset needs one seed per environment: {n_envs}, not {len(seeds)}")
    return [int(seed) for seed in seeds]


def _strict(env: gymnasium.Env[Any, Any], env_id: str) -> StrictEnv:
    try:
        return StrictEnv(env, env_id)
    except BaseException:
        env.close()
        raise


def _refuse_shared(envs: Sequence[StrictEnv], where: str) -> None:
    """Two lanes over one object would reset and step each other's episodes."""
    if any(env.unwrapped is envs[-1].unwrapped for env in envs[:-1]):
        raise EnvError(
            f"{where}: its factory returned the same environment twice. "
            "It must build a new one in every call."
        )


def _refuse_differing(envs: Sequence[StrictEnv], where: str) -> None:
    first, last = envs[0], envs[-1]
    if first.observation_space != last.observation_space or first.action_space != last.action_space:
        raise EnvError(
            f"{where}: its copies differ: {first.observation_space}, {first.action_space} and "
            f"{last.observation_space}, {last.action_space}."
        )
