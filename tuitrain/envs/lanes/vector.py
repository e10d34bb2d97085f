"""Many copies of one environment stepped together: one row on every lane in every vector step.

The rule that everything rests on is gymnasium's NEXT_STEP autoreset: the step after an episode's
end ignores its action, gives reward 0, neither terminates nor truncates, and returns the first
observation of the next episode. So vector steps and replay rows map 1:1, the final observation of
an episode is the observation of a boundary row, and no lane ever skips. The loop is ours and not
gymnasium's ``SyncVectorEnv``, so that what an environment returns is checked and written once,
where it is to stay. Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from tuitrain.envs import masks
from tuitrain.envs.grouping import agent_spec
from tuitrain.envs.lanes.copies import build_copies, close_all, with_masks_of_infos
from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.observations import writer_of
from tuitrain.envs.saving.state import env_state, flags_from, restore_envs
from tuitrain.envs.spaces import EnvError, check_flag, check_reward, checked_actions
from tuitrain.envs.spec import EnvSpec, PolicySpec

DEFAULT_POLICY = "default"
"""Policy (and agent) name of a single-agent environment."""


class LaneStep(NamedTuple):
    """What one vector step gave one policy.

    Attributes:
        observation: ``[lanes, *shape]`` of the spec's dtype; what the *next* row observes.
        reward: ``float32[lanes]`` for the action just taken; 0 where that row was a boundary or
            the agent was absent.
        terminated: ``bool[lanes]``, the episode ended in a terminal state: no bootstrap.
        truncated: ``bool[lanes]``, the episode was cut: bootstrap from the final observation.
        legal: ``bool[lanes, n_actions]``, which actions the next row may take; None unless the
            policy is masked. Never all False, also where it does not matter.
        absent: ``bool[lanes]``, in the next row there is no such agent: its observation is
            nothing. None unless the policy has absences. An agent leaves by an episode's end of
            its own (``terminated`` or ``truncated``, then a boundary row, then it is absent).
    """

    observation: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    legal: NDArray[np.bool_] | None = None
    absent: NDArray[np.bool_] | None = None

    def arrays(self) -> list[NDArray[Any]]:
        """Those that there are."""
        return [array for array in self if array is not None]


class Copies(Protocol):
    """E copies of an environment, however their agents move."""

    @property
    def spec(self) -> EnvSpec:
        """What all processes must agree on."""
        ...

    @property
    def n_envs(self) -> int:
        """Copies of the environment."""
        ...

    def close(self) -> None:
        """Close every environment. Calling it twice is allowed."""
        ...


class Lanes(Copies, Protocol):
    """Copies as lanes: lane = env * len(agents) + agent index, per policy."""

    def reset(self, seeds: Sequence[int]) -> Mapping[str, LaneStep]:
        """Start an episode everywhere; seeds has one entry per environment.

        Returns:
            Per policy what its first rows observe, in arrays of the lanes' own; nothing has been
            earned and nothing is over.
        """
        ...

    def step(
        self, actions: Mapping[str, NDArray[np.int64]], out: Mapping[str, LaneStep] | None = None
    ) -> Mapping[str, LaneStep]:
        """One vector step; NEXT_STEP autoreset.

        Args:
            actions: ``int64[lanes]`` per policy.
            out: per policy, arrays of exactly these shapes and dtypes to write into.

        Returns:
            `out`, or arrays of the lanes' own that the next call overwrites.
        """
        ...


class GymLanes:
    """``Lanes`` over copies of a single-agent gymnasium environment, stepped in turn.

    Infos are dropped, but for the numbers in ``info["metrics"]`` and masks of legal actions:
    collecting them costs more than stepping a small environment, and those of one copy may be
    incompatible with those of another.

    Attributes:
        metrics: what the environments have told of themselves.
    """

    def __init__(
        self,
        factories: Sequence[Callable[[], gymnasium.Env[Any, Any]]],
        env_id: str,
        n_frames: int,
        told: EnvSpec | None = None,
    ) -> None:
        """Build every copy.

        Args:
            told: the spec that others have found; None asks the first copy whether its infos say
                which actions are legal (see ``copies.with_masks_of_infos``).

        Raises:
            UnsupportedSpace: its spaces are not supported.
            EnvError: two calls of the factory gave the same object, or copies differ in spaces.
        """
        where = f"environment {env_id!r}"
        self._in_reset, self._in_step = f"{where}, reset()", f"{where}, step()"
        self._envs, spec = build_copies(
            factories,
            where,
            lambda env: EnvSpec(env_id, n_frames, {DEFAULT_POLICY: _policy_of(env, where)}),
        )
        self._mask_is_seen = spec.policies[DEFAULT_POLICY].masked
        self.spec = with_masks_of_infos(spec, told, self._envs, _tell)
        self.n_envs = len(self._envs)
        policy = self.spec.policies[DEFAULT_POLICY]
        self._n_actions = policy.n_actions
        self._write = writer_of(policy)
        self._own = {DEFAULT_POLICY: empty_step(policy, self.n_envs)}
        self._over = [False] * self.n_envs
        self.metrics = EnvMetrics()

    def reset(self, seeds: Sequence[int]) -> Mapping[str, LaneStep]:
        """See ``Lanes.reset``."""
        own = self._own[DEFAULT_POLICY]
        for lane, seed in enumerate(checked_seeds(seeds, self.n_envs)):
            self._reset_one(lane, seed, own)
        for told in (own.reward, own.terminated, own.truncated):
            told.fill(0)
        return self._own

    def step(
        self, actions: Mapping[str, NDArray[np.int64]], out: Mapping[str, LaneStep] | None = None
    ) -> Mapping[str, LaneStep]:
        """See ``Lanes.step``.

        Raises:
            EnvError: an environment's ``step`` or ``reset`` did not return what it must.
        """
        given = actions[DEFAULT_POLICY]
        chosen = checked_actions(given, self.n_envs, self._n_actions, DEFAULT_POLICY)
        into = self._own if out is None else out
        step = into[DEFAULT_POLICY]
        observations, rewards, terminated, truncated, legal, _ = step
        terminated.fill(False)
        truncated.fill(False)
        over, write, where = self._over, self._write, self._in_step
        for lane, env in enumerate(self._envs):
            if over[lane]:
                self._reset_one(lane, None, step)
                rewards[lane] = 0.0
                continue
            result = env.step(chosen[lane])
            if not isinstance(result, tuple) or len(result) != 5:
                raise self._not_a_step(result)
            observation, reward, ends, cut, info = result
            write(observations, lane, observation, where)
            rewards[lane] = check_reward(reward, where)
            if info:
                self.metrics.add(DEFAULT_POLICY, info)
                if legal is None and masks.mask_in(info) is not None:
                    raise masks.unexpected(where)
            if legal is not None:
                if ends:
                    legal[lane] = True
                else:
                    self._take_mask(legal[lane], observation, info, where)
            if ends or cut:
                terminated[lane] = check_flag(ends, "terminated", where)
                truncated[lane] = check_flag(cut, "truncated", where)
                over[lane] = True
        return into

    def state(self) -> dict[str, Any]:
        """See ``state.SavesState``."""
        return {
            "kind": "gym",
            "envs": [env_state(env) for env in self._envs],
            "over": list(self._over),
            "metrics": self.metrics.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See ``state.SavesState``."""
        restore_envs(self._envs, state, "gym")
        self._over = flags_from(state["over"], (self.n_envs,), "over").tolist()
        self.metrics.restore(state["metrics"])

    def close(self) -> None:
        """See ``Lanes.close``."""
        close_all(self._envs)

    def _reset_one(self, lane: int, seed: int | None, into: LaneStep) -> None:
        result = self._envs[lane].reset(seed=seed, options=None)
        if not isinstance(result, tuple) or len(result) != 2:
            raise EnvError(f"{self._in_reset} must return (observation, info).")
        observation, info = result
        self._write(into.observation, lane, observation, self._in_reset)
        if into.legal is not None:
            self._take_mask(into.legal[lane], observation, info, self._in_reset)
        elif info and masks.mask_in(info) is not None:
            raise masks.unexpected(self._in_reset)
        self._over[lane] = False

    def _take_mask(self, row: NDArray[np.bool_], observation: Any, info: Any, where: str) -> None:
        masks.write_mask(row, masks.mask_in(observation if self._mask_is_seen else info), where)

    def _not_a_step(self, result: Any) -> EnvError:
        n = len(result) if isinstance(result, tuple) else 1
        return EnvError(
            f"{self._in_step} returned {n} values; gymnasium's step returns "
            "(observation, reward, terminated, truncated, info)."
        )


def empty_step(policy: PolicySpec, n_envs: int) -> LaneStep:
    """Arrays for the vector steps of `n_envs` environments under one policy."""
    lanes = n_envs * len(policy.agents)
    return LaneStep(
        np.zeros((lanes, *policy.observation_shape), policy.dtype),
        np.zeros(lanes, np.float32),
        np.zeros(lanes, np.bool_),
        np.zeros(lanes, np.bool_),
        np.ones((lanes, policy.n_actions), np.bool_) if policy.masked else None,
        np.zeros(lanes, np.bool_) if policy.absences else None,
    )


def checked_seeds(seeds: Sequence[int], n_envs: int) -> list[int]:
    """Seeds as plain ints. Raises ``ValueError`` unless there is one per environment."""
    if len(seeds) != n_envs:
        raise ValueError(f"reset needs one seed per environment: {n_envs}, not {len(seeds)}")
    return [int(seed) for seed in seeds]


def _tell(env: gymnasium.Env[Any, Any]) -> Iterator[Mapping[str, Any]]:
    """See ``copies.Tell``; there is nobody to wait for."""
    result: Any = env.reset(seed=0, options=None)
    yield {DEFAULT_POLICY: result[1] if isinstance(result, tuple) and len(result) == 2 else None}


def _policy_of(env: gymnasium.Env[Any, Any], where: str) -> PolicySpec:
    return agent_spec(env.observation_space, env.action_space, DEFAULT_POLICY, where)
