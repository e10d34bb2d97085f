"""Environments in the style of Sorrel as turn-taking worlds, without changing them.

Sorrel's ``Environment.take_turn`` lets every entity of the world make its transition, and then
every agent look, choose and act. Choosing is what a trainer does, so the turn is played from
outside here, part by part, with the environment's own ``transition``, ``pov``, ``act`` and
``is_done``. Sorrel need not be installed: what is used is listed below. Knows nothing of replay or
networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tuitrain.envs.spaces import EnvError


class SorrelWorld:
    """A ``turns.TurnWorld`` around one environment.

    It uses ``world``, ``agents``, ``turn`` and ``reset()`` of the environment; ``map``, an array of
    entities, of the world; ``has_transitions`` and ``transition(world)`` of an entity;
    ``pov(world)``, ``act(world, action)`` and ``is_done(world)`` of an agent, and ``legal(world)``
    if there is one: which of its actions it may take now, an array of bool. What agents choose and
    remember with (``get_action``, ``add_memory``, models) is not used.

    Agents are called ``agent_0``, ``agent_1``, … in the order in which they act. Views are
    flattened and given as float32. An agent that is done takes no part in the epoch any more; when
    all are, it terminates. An epoch is cut after `max_turns`. An environment whose ``take_turn``
    does more than Sorrel's needs a subclass with a ``begin_turn`` or ``end_turn`` of its own.

    Args:
        environment: built, and ready for ``reset``.
        max_turns: of an epoch; None is ``environment.config.experiment.max_turns``.
        n_actions: of every agent; None is each agent's ``action_spec.n_actions``.

    Raises:
        EnvError: it has no agents.
    """

    def __init__(
        self, environment: Any, max_turns: int | None = None, n_actions: int | None = None
    ) -> None:
        if not environment.agents:
            raise EnvError(f"a {type(environment).__name__} without agents")
        self.environment = environment
        self._max_turns: int = (
            environment.config.experiment.max_turns if max_turns is None else max_turns
        )
        self._n_actions = n_actions
        self.possible_agents = [f"agent_{number}" for number in range(len(environment.agents))]
        if any(hasattr(agent, "legal") for agent in environment.agents):
            self.legal = self._legal  # whoever has this method has masks

    def observation_space(self, agent: str) -> spaces.Box:
        """As large as what the agent sees now."""
        return spaces.Box(-np.inf, np.inf, self.pov(agent).shape, np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        """As many actions as said."""
        if self._n_actions is not None:
            return spaces.Discrete(self._n_actions)
        return spaces.Discrete(int(self._agent(agent).action_spec.n_actions))

    def reset(self, seed: int | None = None) -> None:
        """Start an epoch.

        A seed is not used: such worlds draw from the global states of `random` and `numpy.random`,
        which every actor and every evaluation has of its own and seeds.
        """
        self.environment.reset()

    def begin_turn(self) -> None:
        """The entities that are no agents make their transitions."""
        environment = self.environment
        environment.turn += 1
        agents = {id(agent) for agent in environment.agents}
        for _, entity in np.ndenumerate(environment.world.map):
            if entity.has_transitions and id(entity) not in agents:
                entity.transition(environment.world)

    def pov(self, agent: str) -> NDArray[np.float32]:
        """What an agent sees now, float32 [n]."""
        view = self._agent(agent).pov(self.environment.world)
        return np.asarray(view, np.float32).reshape(-1)

    def act(self, agent: str, action: int) -> float:
        """Let an agent act."""
        reward = self._agent(agent).act(self.environment.world, action)
        if hasattr(self.environment.world, "total_reward"):
            self.environment.world.total_reward += reward
        return float(reward)

    def end_turn(self) -> tuple[bool, bool]:
        """Whether the epoch has ended."""
        environment = self.environment
        done = all(agent.is_done(environment.world) for agent in environment.agents)
        return done, environment.turn >= self._max_turns

    def present(self, agent: str) -> bool:
        """Whether an agent is not done."""
        return not self._agent(agent).is_done(self.environment.world)

    def _legal(self, agent: str) -> NDArray[np.bool_]:
        """What an agent may do now; one that does not say so may do everything."""
        legal = getattr(self._agent(agent), "legal", None)
        if legal is None:
            return np.ones(self.action_space(agent).n, np.bool_)
        return np.asarray(legal(self.environment.world))

    def _agent(self, name: str) -> Any:
        return self.environment.agents[self.possible_agents.index(name)]
