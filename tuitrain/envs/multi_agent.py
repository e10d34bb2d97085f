"""Parallel multi-agent environments as lanes: PettingZoo's parallel API, by its shape.

PettingZoo itself is not needed: anything with `possible_agents`, `observation_space(agent)`,
`action_space(agent)`, `reset(seed=, options=)` and `step({agent: action})` will do. Agents act
together until the episode ends for all of them in the same step; an environment whose agents come
and go is refused when it does so. Autoreset is NEXT_STEP, exactly as for single-agent lanes (see
``vector.py``). Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.grouping import PolicyMap, build_copies, close_all, policies_of
from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.spaces import EnvError, check_observation, check_reward, checked_actions
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.envs.vector import LaneStep, checked_seeds, empty_step


def is_parallel(env: Any) -> bool:
    """Whether `env` looks like a parallel multi-agent environment."""
    return (
        hasattr(env, "possible_agents")
        and callable(getattr(env, "observation_space", None))
        and callable(getattr(env, "action_space", None))
        and callable(getattr(env, "step", None))
        and not hasattr(env, "agent_iter")
    )


class ParallelLanes:
    """``Lanes`` over copies of a parallel multi-agent environment, stepped in turn.

    Attributes:
        metrics: what the environments have told of their agents.
    """

    def __init__(
        self,
        factories: Sequence[Callable[[], Any]],
        env_id: str,
        n_frames: int,
        policy_map: PolicyMap,
    ) -> None:
        """Build every copy.

        Raises:
            EnvError: see ``policies_of`` and ``build_copies``.
            UnsupportedSpace: an agent's spaces are not supported.
        """
        self._where = where = f"environment {env_id!r}"
        self._envs, self.spec = build_copies(
            factories,
            where,
            lambda env: EnvSpec(env_id, n_frames, policies_of(env, where, policy_map)),
        )
        self.n_envs = len(self._envs)
        # The environment's own agent objects: names need not be strings.
        self._agents = {str(agent): agent for agent in self._envs[0].possible_agents}
        self._done = np.zeros(self.n_envs, np.bool_)
        self.metrics = EnvMetrics()
        self._own = {
            name: empty_step(policy, self.n_envs) for name, policy in self.spec.policies.items()
        }

    def reset(self, seeds: Sequence[int]) -> Mapping[str, LaneStep]:
        """See ``Lanes.reset``."""
        for index, seed in enumerate(checked_seeds(seeds, self.n_envs)):
            self._reset_one(index, seed, self._own)
        return self._own

    def step(
        self, actions: Mapping[str, NDArray[np.int64]], out: Mapping[str, LaneStep] | None = None
    ) -> Mapping[str, LaneStep]:
        """See ``Lanes.step``.

        Raises:
            EnvError: agents are missing, or the episode ended for some of them only.
        """
        chosen = {
            name: checked_actions(
                actions[name], self.n_envs * len(policy.agents), policy.n_actions, name
            )
            for name, policy in self.spec.policies.items()
        }
        into = self._own if out is None else out
        for index in range(self.n_envs):
            if self._done[index]:
                self._reset_one(index, None, into)
            else:
                self._step_one(index, chosen, into)
        return into

    def close(self) -> None:
        """See ``Lanes.close``."""
        close_all(self._envs)
        self._envs = []

    def _reset_one(self, index: int, seed: int | None, into: Mapping[str, LaneStep]) -> None:
        result = self._envs[index].reset(seed=seed, options=None)
        if not isinstance(result, tuple) or len(result) != 2:
            raise EnvError(f"{self._where}: reset() must return (observations, infos).")
        self._done[index] = False
        self._store_observations(index, result[0], "reset()", into)
        for name, policy in self.spec.policies.items():
            lanes = _lanes_of(index, policy)
            into[name].reward[lanes] = 0.0
            into[name].terminated[lanes] = False
            into[name].truncated[lanes] = False

    def _step_one(
        self, index: int, chosen: Mapping[str, list[int]], into: Mapping[str, LaneStep]
    ) -> None:
        actions: dict[Any, int] = {}
        for name, policy in self.spec.policies.items():
            first = index * len(policy.agents)
            for offset, agent in enumerate(policy.agents):
                actions[self._agents[agent]] = chosen[name][first + offset]
        result = self._envs[index].step(actions)
        if not isinstance(result, tuple) or len(result) != 5:
            raise EnvError(
                f"{self._where}: step() must return (observations, rewards, terminations, "
                "truncations, infos)."
            )
        observations, rewards, terminations, truncations, infos = result
        self._store_observations(index, observations, "step()", into)
        told = infos if isinstance(infos, Mapping) else None
        ended: list[str] = []
        for name, policy in self.spec.policies.items():
            out, first = into[name], index * len(policy.agents)
            for offset, agent in enumerate(policy.agents):
                lane, key = first + offset, self._agents[agent]
                try:
                    where = f"{self._where}, agent {agent!r}, step()"
                    out.reward[lane] = check_reward(rewards[key], where)
                    out.terminated[lane] = bool(terminations[key])
                    out.truncated[lane] = bool(truncations[key])
                except KeyError:
                    raise EnvError(
                        f"{self._where}: step() gave no reward, termination or truncation for "
                        f"agent {agent!r}. {_TOGETHER}"
                    ) from None
                if out.terminated[lane] or out.truncated[lane]:
                    ended.append(agent)
                if told and (info := told.get(key)):
                    self.metrics.add(name, info)
        if ended and len(ended) < len(self._agents):
            going = sorted(set(self._agents) - set(ended))
            raise EnvError(
                f"{self._where}: the episode ended for {', '.join(sorted(ended))} but not for "
                f"{', '.join(going)}. {_TOGETHER}"
            )
        self._done[index] = bool(ended)

    def _store_observations(
        self, index: int, observations: Any, call: str, into: Mapping[str, LaneStep]
    ) -> None:
        for name, policy in self.spec.policies.items():
            first = index * len(policy.agents)
            for offset, agent in enumerate(policy.agents):
                where = f"{self._where}, agent {agent!r}, {call}"
                try:
                    observation = observations[self._agents[agent]]
                except KeyError:
                    raise EnvError(f"{where}: gave no observation. {_TOGETHER}") from None
                check_observation(
                    observation, policy.observation_shape, policy.declared_dtype, where
                )
                into[name].observation[first + offset] = observation


_TOGETHER = "All agents must be present until the episode ends for all of them in one step."


def _lanes_of(index: int, policy: PolicySpec) -> slice:
    return slice(index * len(policy.agents), (index + 1) * len(policy.agents))
