"""An environment and a network that nobody learns with, by `hopeless.py:name`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[2]))

from tests.envs import Chain


class NoReward(Chain):
    """A ``Chain`` that pays nothing."""

    def step(self, action: int):
        observation, _, terminated, truncated, info = super().step(action)
        return observation, 0.0, terminated, truncated, info


class Detached(torch.nn.Module):
    """A network whose first layer gets no gradient."""

    def __init__(self, input_shape: tuple[int, ...], n_actions: int) -> None:
        super().__init__()
        self.body = torch.nn.Linear(int(np.prod(input_shape)), 32)
        self.head = torch.nn.Linear(32, n_actions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x.float().flatten(1))).detach())
