"""DQN on CartPole in one process and one file: what one writes without a framework.

The settings of ``cartpole_task``, straightforward torch, one environment, no tricks. It is an arm
of the `cartpole` subject; run alone: `python -m benchmarks.baseline_dqn --seed 1`.
"""

from __future__ import annotations

import argparse
import time

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.cartpole_task import SETTINGS, Judge, Outcome


class Replay:
    """A ring of transitions in numpy arrays."""

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self.state = np.zeros((capacity, 4), np.float32)
        self.next_state = np.zeros((capacity, 4), np.float32)
        self.action = np.zeros(capacity, np.int64)
        self.reward = np.zeros(capacity, np.float32)
        self.terminated = np.zeros(capacity, np.float32)
        self.capacity, self.rng, self.count = capacity, rng, 0

    def add(
        self,
        state: np.ndarray,
        next_state: np.ndarray,
        action: int,
        reward: float,
        terminated: bool,
    ) -> None:
        """Keep one transition."""
        at = self.count % self.capacity
        self.state[at], self.next_state[at] = state, next_state
        self.action[at], self.reward[at], self.terminated[at] = action, reward, terminated
        self.count += 1

    def sample(self, size: int) -> list[torch.Tensor]:
        """State, next state, action, reward, terminated of `size` transitions."""
        at = self.rng.integers(0, min(self.count, self.capacity), size)
        columns = (self.state, self.next_state, self.action, self.reward, self.terminated)
        return [torch.from_numpy(column[at]) for column in columns]


def network() -> nn.Sequential:
    """4-120-84-2."""
    first, second = SETTINGS.hidden
    return nn.Sequential(
        nn.Linear(4, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 2)
    )


def train(seed: int, limit_at: float) -> Outcome:
    """Train until solved or out of time."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    env = gymnasium.make("CartPole-v1")
    online, target = network(), network()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=SETTINGS.lr)
    replay = Replay(SETTINGS.capacity, rng)

    def greedy(observation: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return online(torch.from_numpy(observation)).argmax(-1).numpy()

    def update() -> None:
        state, next_state, action, reward, terminated = replay.sample(SETTINGS.batch_size)
        with torch.no_grad():
            goal = reward + SETTINGS.gamma * (1 - terminated) * target(next_state).amax(1)
        q = online(state).gather(1, action[:, None]).squeeze(1)
        loss = F.mse_loss(q, goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    judge = Judge(greedy, limit_at)
    state, _ = env.reset(seed=seed)
    episode_return, steps = 0.0, 0
    while True:
        if rng.random() < SETTINGS.epsilon(steps):
            action = int(rng.integers(2))
        else:
            action = int(greedy(state))
        next_state, reward, terminated, truncated, _ = env.step(action)
        replay.add(state, next_state, action, float(reward), terminated)
        state = next_state
        episode_return += float(reward)
        steps += 1
        if steps > SETTINGS.learning_starts:
            if steps % SETTINGS.update_every == 0:
                update()
            if steps % SETTINGS.target_every == 0:
                target.load_state_dict(online.state_dict())
        if terminated or truncated:
            if judge.episode(episode_return, steps):
                return judge.outcome
            state, _ = env.reset()
            episode_return = 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-at", type=float, default=time.time() + 240, help="unix time")
    given = parser.parse_args()
    train(given.seed, given.limit_at).print()
