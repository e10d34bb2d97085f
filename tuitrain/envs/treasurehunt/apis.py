"""Treasure hunt as other libraries want an environment: gymnasium's API and PettingZoo's two.

For comparing with trainers that are not this one, and for those who know these APIs better than
ours; ``treasurehunt.make`` is much faster here. Observations are as there: the window around an
agent, its channels one after another, uint8. Settings are those of ``TreasureHunt``, but the number
of worlds. Needs PettingZoo: `pip install 'tuitrain[pettingzoo]'`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv

from tuitrain.envs.treasurehunt.picture import picture
from tuitrain.envs.treasurehunt.world import N_ACTIONS, TreasureHunt

Observation = NDArray[np.uint8]

_RENDER = {"render_modes": ["rgb_array"], "render_fps": 5}


class _World:
    """One world, played move by move."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.hunt = TreasureHunt(1, **settings)
        self.agents = [f"agent_{number}" for number in range(self.hunt.agents)]
        inputs = int(np.prod(self.hunt.view_shape))
        self.observation_space = spaces.Box(0, 2, (inputs,), np.uint8)
        self.action_space: spaces.Discrete = spaces.Discrete(N_ACTIONS)
        self._seeded = False

    def reset(self, seed: int | None) -> None:
        """A new epoch and its first gems; without a seed the random stream goes on."""
        if seed is not None or not self._seeded:
            fresh = int(np.random.SeedSequence().generate_state(1)[0])
            self.hunt.seed(0, fresh if seed is None else seed)
            self._seeded = True
        self.hunt.reset([0])
        self.hunt.begin_turn()

    def look(self, agent: str) -> Observation:
        """What an agent sees now, a copy."""
        return self.hunt.look(self.agents.index(agent)).reshape(-1)

    def move(self, agent: str, action: int) -> float:
        """An agent's move; its reward."""
        return float(self.hunt.move(self.agents.index(agent), np.array([action]))[0])

    def end_turn(self) -> bool:
        """Whether the epoch is over; if not, the next turn has begun."""
        over = bool(self.hunt.end_turn()[0])
        if not over:
            self.hunt.begin_turn()
        return over

    def picture(self) -> NDArray[np.uint8]:
        """The world from above, uint8 [height, width, 3]."""
        state = self.hunt.state()
        return picture(state.cells[0], state.places[0])


class LoneHunt(gymnasium.Env[Observation, np.int64]):
    """One agent alone, as a ``gymnasium.Env``."""

    metadata: dict[str, Any] = _RENDER

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        self.render_mode = render_mode
        self._world = _World({"agents": 1} | settings)
        if len(self._world.agents) > 1:
            raise ValueError("LoneHunt has one agent; several play together_env() or turns_env()")
        self.observation_space = self._world.observation_space
        self.action_space = self._world.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """See ``gymnasium.Env.reset``."""
        super().reset(seed=seed)
        self._world.reset(seed)
        return self._world.look("agent_0"), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """See ``gymnasium.Env.step``. An epoch never terminates; it is cut."""
        reward = self._world.move("agent_0", int(action))
        over = self._world.end_turn()
        return self._world.look("agent_0"), reward, False, over, {}

    def render(self) -> Any:
        """See ``gymnasium.Env.render``."""
        return self._world.picture() if self.render_mode == "rgb_array" else None


class TogetherHunt(ParallelEnv[str, Observation, int]):
    """All agents look before the first one moves, as PettingZoo's parallel API has it.

    The same game as ``treasurehunt.make(simultaneous_moves=True)``.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "treasurehunt_together", **_RENDER}

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        self._world = _World(settings)
        self.possible_agents = list(self._world.agents)
        self.agents: list[str] = []
        self.render_mode = render_mode

    def observation_space(self, agent: str) -> spaces.Box:
        """The same object at each call."""
        return self._world.observation_space

    def action_space(self, agent: str) -> spaces.Discrete:
        """Up, down, left, right."""
        return self._world.action_space

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """See ``pettingzoo.ParallelEnv.reset``."""
        self._world.reset(seed)
        self.agents = list(self.possible_agents)
        return {a: self._world.look(a) for a in self.agents}, {a: {} for a in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[
        dict[str, Observation],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:  # fmt: skip
        """See ``pettingzoo.ParallelEnv.step``. Moves are made in the order of the agents."""
        rewards = {a: self._world.move(a, int(actions[a])) for a in self.agents}
        over = self._world.end_turn()
        told = self.agents
        self.agents = [] if over else told
        return (
            {a: self._world.look(a) for a in told},
            rewards,
            dict.fromkeys(told, False),
            dict.fromkeys(told, over),
            {a: {} for a in told},
        )

    def render(self) -> NDArray[np.uint8] | None:
        """The world from above; None unless `render_mode` is "rgb_array"."""
        return self._world.picture() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """There is nothing to close."""


class TurnsHunt(AECEnv[str, Observation, int | None]):
    """Agents move one after another, later ones seeing what earlier ones did: PettingZoo's AEC API.

    The same game as ``treasurehunt.make()``.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "treasurehunt_turns", **_RENDER}

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        super().__init__()
        self._world = _World(settings)
        self.possible_agents = list(self._world.agents)
        self.render_mode = render_mode

    def observation_space(self, agent: str) -> spaces.Box:
        """The same object at each call."""
        return self._world.observation_space

    def action_space(self, agent: str) -> spaces.Discrete:
        """Up, down, left, right."""
        return self._world.action_space

    def observe(self, agent: str) -> Observation:
        """What an agent sees now."""
        return self._world.look(agent)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """See ``pettingzoo.AECEnv.reset``."""
        self._world.reset(seed)
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {a: {} for a in self.agents}
        self.agent_selection = self.agents[0]

    def step(self, action: int | None) -> None:
        """See ``pettingzoo.AECEnv.step``."""
        agent = self.agent_selection
        if self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert action is not None
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.rewards[agent] = self._world.move(agent, int(action))
        place = self.agents.index(agent) + 1
        if place == len(self.agents) and self._world.end_turn():
            self.truncations = dict.fromkeys(self.agents, True)
        self.agent_selection = self.agents[place % len(self.agents)]
        self._accumulate_rewards()

    def render(self) -> NDArray[np.uint8] | None:
        """The world from above; None unless `render_mode` is "rgb_array"."""
        return self._world.picture() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """There is nothing to close."""
