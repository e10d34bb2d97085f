"""Environments whose observations say exactly where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces


class SequenceEnv(gymnasium.Env):
    """Every observation says which environment, episode and step it is; see ``decode``.

    The instance is the seed of the first seeded reset, modulo 2^24, so it identifies an
    environment across processes. Episodes end at random, by termination, truncation or both.

    Args:
        image: uint8[8, 8] whose first pixels hold the numbers' bytes, instead of float32[3].
        p_terminate, p_truncate: chance of each at every step.
        min_steps, max_steps: no end before the first; truncation at the second.
    """

    def __init__(
        self,
        image: bool = False,
        n_actions: int = 3,
        p_terminate: float = 0.1,
        p_truncate: float = 0.1,
        min_steps: int = 1,
        max_steps: int = 1000,
    ):
        self.image = image
        self.p_terminate = p_terminate
        self.p_truncate = p_truncate
        self.min_steps = min_steps
        self.max_steps = max_steps
        self.observation_space = (
            spaces.Box(0, 255, (8, 8), np.uint8)
            if image
            else spaces.Box(0.0, 2.0**24, (3,), np.float32)
        )
        self.action_space = spaces.Discrete(n_actions)
        self.instance = 0
        self.episode = -1
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.instance = seed % 2**24
            self.episode = -1
        self.episode += 1
        self.steps = 0
        return encode(self.instance, self.episode, self.steps, self.image), {}

    def step(self, action: int):
        reward = sequence_reward(self.episode, self.steps, int(action))
        self.steps += 1
        draws = self.np_random.random(2)  # always two, so the course does not depend on settings
        may_end = self.steps >= self.min_steps
        terminated = bool(may_end and draws[0] < self.p_terminate)
        truncated = bool(may_end and draws[1] < self.p_truncate) or self.steps >= self.max_steps
        observation = encode(self.instance, self.episode, self.steps, self.image)
        return observation, reward, terminated, truncated, {}


def encode(instance: int, episode: int, step: int, image: bool) -> np.ndarray:
    """The observation of one moment; exact for instance < 2^24, episode and step < 2^16."""
    if not image:
        return np.array([instance, episode, step], np.float32)
    observation = np.zeros((8, 8), np.uint8)
    data = instance.to_bytes(3, "big") + episode.to_bytes(2, "big") + step.to_bytes(2, "big")
    observation.reshape(-1)[: len(data)] = np.frombuffer(data, np.uint8)
    return observation


def decode(observation: np.ndarray) -> tuple[int, int, int]:
    """(instance, episode, step) of an observation of ``SequenceEnv`` or ``SequenceAgents``."""
    if observation.dtype == np.uint8:
        data = observation.reshape(-1)[:7].tobytes()
        return tuple(int.from_bytes(data[a:b], "big") for a, b in ((0, 3), (3, 5), (5, 7)))
    return int(observation[0]), int(observation[1]), int(observation[2])


def sequence_reward(episode: int, step: int, action: int) -> float:
    """Reward for `action` taken at `step` of `episode`; exact in float32."""
    return float(episode % 64 * 1024 + step % 128 * 8 + action)


class SequenceAgents:
    """``SequenceEnv`` for agents `a`, `b`, `c`: float32[4] with the agent's number at the end."""

    possible_agents = ("a", "b", "c")

    def __init__(self, p_terminate: float = 0.1):
        self.p_terminate = p_terminate
        self.instance = 0
        self.episode = -1
        self.steps = 0
        self.closed = False
        self._rng = np.random.default_rng()

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(0.0, 2.0**24, (4,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(5)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None):
        if seed is not None:
            self.instance, self.episode = seed % 2**24, -1
            self._rng = np.random.default_rng(seed)
        self.episode += 1
        self.steps = 0
        return self._observe(), {agent: {} for agent in self.possible_agents}

    def step(self, actions: dict[str, int]):
        names = self.possible_agents
        rewards = {a: sequence_reward(self.episode, self.steps, actions[a]) for a in names}
        self.steps += 1
        over = bool(self._rng.random() < self.p_terminate)
        # One agent is cut where the others terminate: the episode still ends for all.
        terminated = {a: over and a != "b" for a in names}
        truncated = {a: over and a == "b" for a in names}
        return self._observe(), rewards, terminated, truncated, {}

    def close(self) -> None:
        self.closed = True

    def _observe(self) -> dict[str, np.ndarray]:
        return {
            agent: np.array([self.instance, self.episode, self.steps, number], np.float32)
            for number, agent in enumerate(self.possible_agents)
        }


class TurnTags:
    """Agents `a`, `b`, `c` take turns; an observation says whose it is, and what went before it.

    Observation: float32[5], see ``TurnTag``. Episodes end at random, by termination, truncation or
    both. What happened is kept in ``TurnTags.log``, by (instance, episode).

    Args:
        p_end: chance of each at the end of a turn.
        order: of the turns.
    """

    log: ClassVar[dict[tuple[int, int], TurnEpisode]] = {}

    def __init__(self, p_end: float = 0.1, order: str = "abc"):
        self.possible_agents = tuple(order)
        self.p_end = p_end
        self.instance = 0
        self.episode = -1
        self.turn = 0
        self.moves = 0
        self.began = 0
        self._rng = np.random.default_rng()

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(0.0, 2.0**24, (5,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(5)

    def reset(self, seed: int | None = None) -> None:
        if seed is not None:
            self.instance, self.episode = seed % 2**24, -1
            self._rng = np.random.default_rng(seed)
        self.episode += 1
        self.turn = self.moves = self.began = 0
        self.log[self.instance, self.episode] = TurnEpisode()

    def begin_turn(self) -> None:
        assert self.began == self.turn, "the turn before has not been ended"
        self.began += 1

    def pov(self, agent: str) -> np.ndarray:
        number = self.possible_agents.index(agent)
        return np.array([self.instance, self.episode, self.turn, number, self.moves], np.float32)

    def act(self, agent: str, action: int) -> float:
        number = self.possible_agents.index(agent)
        assert self.moves == 3 * self.turn + number, "it is not this agent's turn"
        self.moves += 1
        reward = turn_reward(self.episode, self.turn, number, action)
        self.log[self.instance, self.episode].rewards[number].append(reward)
        return reward

    def end_turn(self) -> tuple[bool, bool]:
        assert self.began == self.turn + 1, "the turn has not begun"
        self.turn += 1
        terminated, truncated = (bool(draw < self.p_end) for draw in self._rng.random(2))
        episode = self.log[self.instance, self.episode]
        episode.terminated, episode.over = terminated, terminated or truncated
        return terminated, truncated


class TurnTag(NamedTuple):
    """What an observation of ``TurnTags`` says; `moves` counts those of all agents before it."""

    instance: int
    episode: int
    turn: int
    number: int
    moves: int


@dataclass
class TurnEpisode:
    """Rewards by agent and turn, whether it has ended, and how."""

    rewards: tuple[list[float], list[float], list[float]] = field(
        default_factory=lambda: ([], [], [])
    )
    terminated: bool = False
    over: bool = False


def turn_reward(episode: int, turn: int, number: int, action: int) -> float:
    """Reward of an agent for `action` in `turn`; exact in float32."""
    return float(episode % 64 * 8192 + turn % 128 * 32 + number * 8 + action)
