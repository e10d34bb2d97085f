"""Games in which one agent moves at a time, as lanes: PettingZoo's AEC API, by its shape.

They are played in cycles, see ``cycles.py``. PettingZoo itself is not needed: anything with
`possible_agents`, `agents`, `agent_selection`, `terminations`, `truncations`,
`observation_space(agent)`, `action_space(agent)`, `reset(seed=, options=)`, `last()` and
`step(action)` will do. Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tuitrain.envs import masks
from tuitrain.envs.grouping import PolicyMap, agents_of, spec_of_agents
from tuitrain.envs.lanes.aec_game import Game, Seat
from tuitrain.envs.lanes.copies import build_copies, close_all, with_masks_of_infos
from tuitrain.envs.lanes.cycles import ChooseNext, CycleStep, empty_cycle
from tuitrain.envs.lanes.vector import LaneStep, checked_seeds
from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.observations import writer_of
from tuitrain.envs.saving.state import env_state, restore_envs
from tuitrain.envs.spaces import checked_actions
from tuitrain.envs.spec import EnvSpec


def is_aec(env: Any) -> bool:
    """Whether `env` looks like a game in which one agent moves at a time."""
    return hasattr(env, "possible_agents") and not lacking(env)


def lacking(env: Any) -> list[str]:
    """Which methods a game by the AEC API must have, but `env` has not."""
    calls = ("observation_space", "action_space", "reset", "last", "step")
    return [name for name in calls if not callable(getattr(env, name, None))]


class AecLanes:
    """``CycleLanes`` over copies of an AEC environment.

    Agents that share a policy and are to move at the same time in several copies choose together.

    Attributes:
        metrics: what the environments have told of their agents.
    """

    def __init__(
        self,
        factories: Sequence[Callable[[], Any]],
        env_id: str,
        n_frames: int,
        policy_map: PolicyMap,
        told: EnvSpec | None = None,
    ) -> None:
        """Build every copy.

        Args:
            told: see ``copies.with_masks_of_infos``.

        Raises:
            EnvError: see ``spec_of_agents`` and ``build_copies``.
            UnsupportedSpace: an agent's spaces are not supported.
        """
        where = f"environment {env_id!r}"

        def spec_of(env: Any) -> EnvSpec:
            return spec_of_agents(env, env_id, n_frames, policy_map)

        self._envs, spec = build_copies(factories, where, spec_of)
        agents = agents_of(self._envs[0])
        self.spec = with_masks_of_infos(spec, told, self._envs, _tell)
        self.n_envs = len(self._envs)
        self.metrics = EnvMetrics()
        writers = {name: writer_of(policy) for name, policy in self.spec.policies.items()}

        def seats(index: int) -> dict[Any, Seat]:
            return {
                agents[agent]: Seat(
                    name,
                    index * len(policy.agents) + place,
                    writers[name],
                    spec.policies[name].masked,
                )
                for name, policy in self.spec.policies.items()
                for place, agent in enumerate(policy.agents)
            }

        self._games = [
            Game(env, seats(index), where, self.metrics, n_frames)
            for index, env in enumerate(self._envs)
        ]

    def reset(self, seeds: Sequence[int]) -> Mapping[str, LaneStep]:
        """See ``CycleLanes.reset``."""
        for game, seed in zip(self._games, checked_seeds(seeds, self.n_envs), strict=True):
            game.reset(seed)
        nobody = {n: empty_cycle(p, self.n_envs) for n, p in self.spec.policies.items()}
        return {name: LaneStep(*step[:6]) for name, step in nobody.items()}

    def cycle(self, choose: ChooseNext, into: Mapping[str, CycleStep]) -> None:
        """See ``CycleLanes.cycle``.

        Raises:
            EnvError: a game does not keep to its API; or it is not played in cycles, but frames are
                to be stacked.
        """
        for step in into.values():
            for told in (step.reward, step.terminated, step.truncated, step.waits):
                told.fill(0)
            step.absent.fill(True)
            if step.legal is not None:
                step.legal.fill(True)
        for game in self._games:
            game.begin_cycle(into)
        to_move = self._games
        while to_move := [game for game in to_move if game.next_turn(into)]:
            for name, policy in self.spec.policies.items():
                movers = [game for game in to_move if game.turn.policy == name]
                if movers:
                    given = choose(name, np.array([game.turn.lane for game in movers]))
                    chosen = checked_actions(given, len(movers), policy.n_actions, name)
                    for game, action in zip(movers, chosen, strict=True):
                        game.env.step(action)
        for game in self._games:
            game.end_cycle(into)
        for step in into.values():
            step.observation[step.absent] = 0

    def state(self) -> dict[str, Any]:
        """See ``state.SavesState``."""
        return {
            "kind": "aec",
            "envs": [env_state(env) for env in self._envs],
            "games": [game.state() for game in self._games],
            "metrics": self.metrics.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See ``state.SavesState``."""
        restore_envs([game.env for game in self._games], state, "aec")
        for game, of_game in zip(self._games, state["games"], strict=True):
            game.restore(of_game)
        self.metrics.restore(state["metrics"])

    def close(self) -> None:
        """See ``CycleLanes.close``."""
        close_all(self._envs)


def _tell(env: Any) -> Iterator[Mapping[str, Any]]:
    """See ``copies.Tell``. Before its turn an agent's info says something only if it is a mask."""
    env.reset(seed=0, options=None)
    mover = getattr(env, "agent_selection", None)
    yield {
        str(agent): info
        for agent, info in getattr(env, "infos", {}).items()
        if agent == mover or masks.mask_in(info) is not None
    }
    while env.agents:
        observation, _, ends, cut, info = env.last()
        gone = ends or cut
        yield {} if gone else {str(env.agent_selection): info}
        env.step(None if gone else masks.any_legal(observation, info))
        if not env.agents:
            env.reset(seed=None, options=None)
