"""CartPole-v1 as every arm of the `cartpole` subject must do it: settings, and when it is solved.

Knows no arm. Deliberately small: it is the one thing that all of them import.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

SOLVED = 475.0
"""Mean return asked for, in training and in the greedy evaluation after it."""
EPISODES = 20
"""Of the training mean and of an evaluation."""
AGAIN_EPISODES = 5
"""Training episodes between an evaluation that fell short and the next one."""


@dataclass(frozen=True)
class Settings:
    """CleanRL's DQN on this task; counts are environment steps."""

    hidden: tuple[int, int] = (120, 84)
    lr: float = 5e-4
    gamma: float = 0.99
    batch_size: int = 128
    capacity: int = 50_000
    learning_starts: int = 1_000
    update_every: int = 10
    target_every: int = 500
    epsilon_start: float = 1.0
    epsilon_end: float = 0.02
    epsilon_decay: int = 20_000

    def epsilon(self, steps: int) -> float:
        """Linear, then constant."""
        share = min(1.0, steps / self.epsilon_decay)
        return self.epsilon_start + share * (self.epsilon_end - self.epsilon_start)


SETTINGS = Settings()


@dataclass
class Outcome:
    """When an arm got where; unix times, None if it never did."""

    reached_at: float | None = None
    """First time that the mean of the last training episodes was enough."""
    solved_at: float | None = None
    """A greedy evaluation after that was enough too."""
    steps: int = 0
    evaluation: float | None = None
    """Mean return of the last one."""

    def print(self) -> None:
        """The last line of an arm's output."""
        print(json.dumps(asdict(self)), flush=True)


class Judge:
    """Watches a training loop's episodes and evaluates when it is time.

    Args:
        greedy: float32 [B, 4] observations to int64 [B] actions.
        limit_s: unix time at which to give up.
    """

    def __init__(
        self, greedy: Callable[[NDArray[np.float32]], NDArray[Any]], limit_at: float
    ) -> None:
        self.outcome = Outcome()
        self._greedy = greedy
        self._limit_at = limit_at
        self._returns: deque[float] = deque(maxlen=EPISODES)
        self._episodes = 0
        self._next = 0

    def episode(self, episode_return: float, steps: int) -> bool:
        """An episode has ended. True if training is to end: solved, or out of time."""
        self._returns.append(episode_return)
        self._episodes += 1
        self.outcome.steps = steps
        enough = len(self._returns) == EPISODES and float(np.mean(self._returns)) >= SOLVED
        if enough and self.outcome.reached_at is None:
            self.outcome.reached_at = time.time()
        if enough and self._episodes >= self._next:
            self._next = self._episodes + AGAIN_EPISODES
            self.outcome.evaluation = evaluate(self._greedy)
            if self.outcome.evaluation >= SOLVED:
                self.outcome.solved_at = time.time()
                return True
        return time.time() > self._limit_at


def evaluate(greedy: Callable[[NDArray[np.float32]], NDArray[Any]], seed: int = 10_000) -> float:
    """Mean return of the first episode of each of `EPISODES` environments."""
    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("CartPole-v1") for _ in range(EPISODES)]
    )
    observation, _ = envs.reset(seed=seed)
    returns, going = np.zeros(EPISODES), np.ones(EPISODES, bool)
    while going.any():
        observation, reward, terminated, truncated, _ = envs.step(greedy(observation))
        returns += reward * going
        going &= ~(terminated | truncated)
    envs.close()
    return float(returns.mean())
