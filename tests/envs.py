"""Environments for tests, by `tests.envs:Name` or `tests/envs.py:Name`.

Each exists for one purpose: a known optimum that is learned in seconds (``Chain``, ``Catch``,
``TwoPolicies``, ``Relay``), observations that say exactly where they come from (``SequenceEnv``,
``SequenceAgents``, ``TurnTags``), hidden global randomness (``GlobalRandomEnv``), dying
(``FailingEnv``).
Imports gymnasium and numpy only, so that it works as a file outside the repository too.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces


class Chain(gymnasium.Env):
    """Walk right along `length` cells; the last one ends the episode with reward 1.

    Observation: one-hot float32[length]. Actions: 0 left, 1 right. Every other step costs
    `step_cost`; after `max_steps` (default 4 × length) the episode is truncated.
    """

    def __init__(self, length: int = 6, step_cost: float = 0.1, max_steps: int | None = None):
        self.length = length
        self.step_cost = step_cost
        self.max_steps = 4 * length if max_steps is None else max_steps
        self.observation_space = spaces.Box(0.0, 1.0, (length,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._cell = 0
        self._steps = 0

    @staticmethod
    def optimal_return(length: int = 6, step_cost: float = 0.1) -> float:
        """Undiscounted return of always going right."""
        return 1.0 - step_cost * (length - 2)

    @staticmethod
    def optimal_q(
        cell: int, action: int, gamma: float, length: int = 6, step_cost: float = 0.1
    ) -> float:
        """Q* of a cell, without the time limit (a truncation is not an end)."""
        after = min(cell + 1, length - 1) if action == 1 else max(cell - 1, 0)
        if after == length - 1:
            return 1.0
        to_go = length - 1 - after  # steps from there, the last of which pays 1
        costs = sum(step_cost * gamma**k for k in range(to_go))
        return -costs + gamma**to_go

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._cell = 0
        self._steps = 0
        return self._observe(), {}

    def step(self, action: int):
        self._cell = max(0, self._cell - 1) if action == 0 else self._cell + 1
        self._steps += 1
        terminated = self._cell == self.length - 1
        truncated = not terminated and self._steps >= self.max_steps
        return self._observe(), 1.0 if terminated else -self.step_cost, terminated, truncated, {}

    def _observe(self) -> np.ndarray:
        observation = np.zeros(self.length, np.float32)
        observation[self._cell] = 1.0
        return observation


class Catch(gymnasium.Env):
    """A ball falls one row a step; the paddle on the last row must be under it. Optimum 1.

    Observation: uint8 image, 255 for ball and paddle; `layout` is "HW", "HWC" or "CHW" with
    `channels` equal planes. Actions: left, stay, right. Reward 1 or -1 at the end, `size` - 1
    steps.
    """

    def __init__(self, size: int = 8, layout: str = "HW", channels: int = 1):
        self.size = size
        self.layout = layout
        self.channels = channels
        shape = {
            "HW": (size, size),
            "HWC": (size, size, channels),
            "CHW": (channels, size, size),
        }[layout]
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(3)
        self._row = self._column = self._paddle = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._row = 0
        self._column = int(self.np_random.integers(self.size))
        self._paddle = self.size // 2
        return self._observe(), {}

    def step(self, action: int):
        self._paddle = min(max(self._paddle + int(action) - 1, 0), self.size - 1)
        self._row += 1
        over = self._row == self.size - 1
        reward = 0.0 if not over else (1.0 if self._paddle == self._column else -1.0)
        return self._observe(), reward, over, False, {}

    def _observe(self) -> np.ndarray:
        image = np.zeros((self.size, self.size), np.uint8)
        image[self._row, self._column] = 255
        image[self.size - 1, self._paddle] = 255
        if self.layout == "HWC":
            return np.repeat(image[:, :, None], self.channels, axis=2)
        if self.layout == "CHW":
            return np.repeat(image[None], self.channels, axis=0)
        return image


TinyImage = Catch


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


class GlobalRandomEnv(gymnasium.Env):
    """Draws from the global states of `random` and `numpy.random`, as real environments do.

    Observation: float32[2], the two draws. Never seeds anything. Episodes end at random.
    """

    def __init__(self, p_terminate: float = 0.1):
        self.p_terminate = p_terminate
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        return self._draw(), {}

    def step(self, action: int):
        terminated = bool(np.random.random() < self.p_terminate)
        return self._draw(), random.random() + float(action), terminated, False, {}

    def _draw(self) -> np.ndarray:
        return np.array([random.random(), np.random.random()], np.float32)


class FailingEnv(Chain):
    """A ``Chain`` that fails in its step number `after_steps` (counted over all its episodes).

    Args:
        after_steps: steps that still succeed.
        how: "raise" (RuntimeError), "exit" (code 0, no clean-up), "segfault", "kill" (SIGKILL to
            itself), "hang" (never returns) or "stop" (SIGSTOP to itself, goes on after SIGCONT).
        once_file: path of a marker. Fails only if it can create it, so only once in a run,
            whichever process gets there first.
    """

    def __init__(
        self, after_steps: int = 100, how: str = "raise", once_file: str | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        if how not in {"raise", "exit", "segfault", "kill", "hang", "stop"}:
            raise ValueError(f"how cannot be {how!r}")
        self.after_steps = after_steps
        self.how = how
        self.once_file = once_file
        self._done_steps = 0
        # Its state cannot be saved, so it is not tried out, and fails where it is played.
        self._unsaved = threading.Lock()

    def step(self, action: int):
        if self._done_steps == self.after_steps and self._may_fail():
            self._fail()
        self._done_steps += 1
        return super().step(action)

    def _may_fail(self) -> bool:
        if self.once_file is None:
            return True
        try:
            Path(self.once_file).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _fail(self) -> None:
        if self.how == "raise":
            raise RuntimeError(f"FailingEnv failed after {self.after_steps} steps, as asked")
        if self.how == "exit":
            os._exit(0)
        if self.how == "segfault":
            ctypes.string_at(0)
        if self.how == "hang":
            threading.Event().wait()
        os.kill(os.getpid(), signal.SIGKILL if self.how == "kill" else signal.SIGSTOP)


class TwoPolicies:
    """Two agents that differ in everything; each is paid 1 for naming the target it sees.

    `scout` sees float32[3] (one-hot) and has 3 actions; `digger` sees uint8[4, 4] (one bright
    quarter of two: left or right half) and has 2. Episodes are truncated after `length` steps, or
    terminated with chance `p_terminate`, always together. Optimum: 1 per step and agent.
    """

    metadata: dict[str, Any] = {"name": "two_policies"}  # noqa: RUF012
    possible_agents = ("scout", "digger")

    def __init__(self, length: int = 10, p_terminate: float = 0.0):
        self.length = length
        self.p_terminate = p_terminate
        self.agents: list[str] = []
        self._rng = np.random.default_rng()
        self._targets = {"scout": 0, "digger": 0}
        self._steps = 0

    def observation_space(self, agent: str) -> spaces.Space:
        if agent == "scout":
            return spaces.Box(0.0, 1.0, (3,), np.float32)
        return spaces.Box(0, 255, (4, 4), np.uint8)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(3 if agent == "scout" else 2)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None):
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self._steps = 0
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]):
        rewards = {a: float(actions[a] == self._targets[a]) for a in self.possible_agents}
        self._steps += 1
        terminated = bool(self._rng.random() < self.p_terminate)
        truncated = not terminated and self._steps >= self.length
        infos: dict[str, dict[str, Any]] = {a: {} for a in self.possible_agents}
        if terminated or truncated:
            self.agents = []
        return (
            self._observe(),
            rewards,
            dict.fromkeys(self.possible_agents, terminated),
            dict.fromkeys(self.possible_agents, truncated),
            infos,
        )

    def close(self) -> None:
        pass

    def _observe(self) -> dict[str, np.ndarray]:
        self._targets = {"scout": int(self._rng.integers(3)), "digger": int(self._rng.integers(2))}
        scout = np.zeros(3, np.float32)
        scout[self._targets["scout"]] = 1.0
        digger = np.zeros((4, 4), np.uint8)
        digger[:, 2 * self._targets["digger"] : 2 * self._targets["digger"] + 2] = 255
        return {"scout": scout, "digger": digger}


class SequenceAgents:
    """``SequenceEnv`` for agents `a`, `b`, `c`: float32[4] with the agent's number at the end.

    Args:
        leave: name of an agent for whom the episode ends before the others', which is not
            supported; "" for none.
        vanish: name of an agent that gets no observation after a step; "" for none.
    """

    possible_agents = ("a", "b", "c")

    def __init__(self, p_terminate: float = 0.1, leave: str = "", vanish: str = ""):
        self.p_terminate = p_terminate
        self.leave = leave
        self.vanish = vanish
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
        if self.leave:
            terminated[self.leave] = True
        observations = self._observe()
        observations.pop(self.vanish, None)
        return observations, rewards, terminated, truncated, {}

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

    log: dict[tuple[int, int], TurnEpisode] = {}  # noqa: RUF012

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


class Relay:
    """`caller` sees a target and is paid 1 for naming it; `answerer` for repeating what it named.

    They take turns, so the answerer sees the call of the same turn. Observations: float32[4],
    one-hot. An episode is cut after `turns`. Optimum: 1 per turn and agent.

    Args:
        early: the answerer sees the world as it was when the turn began, and cannot know.
    """

    possible_agents = ("caller", "answerer")

    def __init__(self, turns: int = 8, early: bool = False):
        self.turns = turns
        self.early = early
        self._rng = np.random.default_rng()
        self._turn = self._target = self._called = self._called_before = 0

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (4,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(4)

    def reset(self, seed: int | None = None) -> None:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._turn = self._called = 0

    def begin_turn(self) -> None:
        self._target = int(self._rng.integers(4))
        self._called_before = self._called

    def pov(self, agent: str) -> np.ndarray:
        answers = self._called_before if self.early else self._called
        view = np.zeros(4, np.float32)
        view[self._target if agent == "caller" else answers] = 1.0
        return view

    def act(self, agent: str, action: int) -> float:
        if agent == "caller":
            self._called = action
            return float(action == self._target)
        return float(action == self._called)

    def end_turn(self) -> tuple[bool, bool]:
        self._turn += 1
        return False, self._turn == self.turns


class ClosingEnv(Chain):
    """A ``Chain`` that leaves a file in `folder` when it is closed."""

    def __init__(self, folder: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.folder = folder

    def close(self) -> None:
        Path(self.folder, f"{os.getpid()}-{id(self)}").touch()


def dropout_network(input_shape: tuple[int, ...], n_actions: int) -> Any:
    """A network that draws from torch's global state whenever it learns."""
    from torch import nn

    inputs = int(np.prod(input_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, n_actions)
    )
