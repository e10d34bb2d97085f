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

    Agents are called ``agent_0``, ``agent_1``, … in the order in which they act. Views are given as
    float32. One of two or three dimensions keeps its shape, so that it can meet convolutions; one
    of shape [1, n], as Sorrel's own examples give to their models, is a row of n numbers. An agent
    that is done takes no part in the epoch any more; when all are, it terminates. An epoch is cut
    after `max_turns`. An environment whose ``take_turn`` does more than Sorrel's needs a subclass
    with a ``begin_turn`` or ``end_turn`` of its own.

    Args:
        environment: built, and ready for ``reset``.
        max_turns: of an epoch; None is ``environment.config.experiment.max_turns``.
        n_actions: of every agent; None is each agent's ``action_spec.n_actions``.
        flatten: make a row of every view, whatever its shape.

    Raises:
        EnvError: it has no agents, or does not say what has been left to it.
    """

    def __init__(
        self,
        environment: Any,
        max_turns: int | None = None,
        n_actions: int | None = None,
        flatten: bool = False,
    ) -> None:
        if not getattr(environment, "agents", None):
            raise EnvError(f"a {type(environment).__name__} without agents")
        self.environment = environment
        self.possible_agents = [f"agent_{number}" for number in range(len(environment.agents))]
        self._max_turns = (
            _said(environment, type(environment).__name__, "config.experiment.max_turns")
            if max_turns is None
            else max_turns
        )
        self._n_actions = {
            name: _said(self._agent(name), self._named(name), "action_spec.n_actions")
            if n_actions is None
            else n_actions
            for name in self.possible_agents
        }
        self._flatten = flatten
        self._shapes: dict[str, tuple[int, ...]] = {}
        if any(hasattr(agent, "legal") for agent in environment.agents):
            self.legal = self._legal  # whoever has this method has masks

    def observation_space(self, agent: str) -> spaces.Box:
        """As large as what the agent sees now."""
        return spaces.Box(-np.inf, np.inf, self.pov(agent).shape, np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        """As many actions as said."""
        return spaces.Discrete(self._n_actions[agent])

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
        """What an agent sees now, float32 [n], [h, w] or [a, b, c].

        Raises:
            EnvError: it is no array of numbers, has too many dimensions, or had another shape
                before.
        """
        given = self._agent(agent).pov(self.environment.world)
        try:
            view = np.asarray(given, np.float32)
        except (TypeError, ValueError):
            given = None
        if given is None:
            raise EnvError(f"{self._named(agent)}: pov() must return an array of numbers.")
        if self._flatten or view.ndim < 2 or (view.ndim == 2 and len(view) == 1):
            view = view.reshape(-1)
        elif view.ndim > 3:
            raise EnvError(
                f"{self._named(agent)}: pov() returned an array of shape {view.shape}, but up to 3 "
                "dimensions are supported; SorrelWorld(..., flatten=True) makes a row of it."
            )
        before = self._shapes.setdefault(agent, view.shape)
        if view.shape != before:
            raise EnvError(
                f"{self._named(agent)}: pov() returned {_sized(view.shape)} now, "
                f"{_sized(before)} before; it must always be of one size. "
                "A view that reaches beyond the edge of the world is to be filled up there."
            )
        return view

    def act(self, agent: str, action: int) -> float:
        """Let an agent act.

        Raises:
            EnvError: what it returned is no number.
        """
        given = self._agent(agent).act(self.environment.world, action)
        try:
            reward = float(given)
        except (TypeError, ValueError):
            raise EnvError(
                f"{self._named(agent)}: act() returned {given!r:.100}, not a number; "
                "it must return the reward of the action."
            ) from None
        if hasattr(self.environment.world, "total_reward"):
            self.environment.world.total_reward += given
        return reward

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
            return np.ones(self._n_actions[agent], np.bool_)
        return np.asarray(legal(self.environment.world))

    def _agent(self, name: str) -> Any:
        return self.environment.agents[self.possible_agents.index(name)]

    def _named(self, name: str) -> str:
        """An agent for an error."""
        return f"{name} ({type(self._agent(name)).__name__})"


def _said(thing: Any, named: str, path: str) -> int:
    """The number at the end of a path of attributes.

    Raises:
        EnvError: there is none; says how to give it instead.
    """
    argument = path.rpartition(".")[2]
    try:
        for attribute in path.split("."):
            thing = getattr(thing, attribute)
        return int(thing)
    except (AttributeError, TypeError, ValueError):
        raise EnvError(
            f"{named} has no {path}: say it in SorrelWorld(..., {argument}=...)."
        ) from None


def _sized(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} numbers" if len(shape) == 1 else f"an array of shape {shape}"
