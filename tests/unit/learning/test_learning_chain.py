"""The whole update on a Markov chain whose values are known, termination and truncation apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.dqn import DQN, to_device

GAMMA = 0.5


class Table(nn.Module):
    """One value per state and action: the observation is a one-hot state."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.zeros(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.q


# States 0, 1 and 2 (seen only as the successor of a termination; its value is poisoned).
# state, action, reward, next state, terminated, truncated
TRANSITIONS = [
    (0, 0, 1.0, 0, False, False),
    (0, 1, 0.0, 1, False, False),
    (1, 0, 4.0, 2, True, False),
    (1, 1, 1.0, 0, False, True),
]

# Q(1,0) = 4, terminated.  Q(1,1) = 1 + V(0)/2, truncated: bootstrapped.
# Q(0,0) = 1 + V(0)/2.     Q(0,1) = V(1)/2.
# With V(1) = max(4, 1 + V(0)/2) = 4:  Q(0,1) = 2, V(0) = max(1 + V(0)/2, 2) = 2.
OPTIMAL = [[2.0, 2.0], [4.0, 2.0]]


def converged(
    stop_at_truncation: bool = False, ignore_termination: bool = False, **changes: Any
) -> Tensor:
    config = LearnerConfig.model_validate(
        {"lr": 0.05, "lr_schedule": "linear", "lr_schedule_updates": 1500, "gamma": GAMMA} | changes
    )
    one_hot = np.eye(3, dtype=np.float32)[:, None, :]
    state, action, reward, following, terminated, truncated = map(
        np.array, zip(*TRANSITIONS, strict=True)
    )
    stop = terminated & (not ignore_termination) | truncated & stop_at_truncation
    arrays = SimpleNamespace(
        state=one_hot[state],
        next_state=one_hot[following],
        action=action.astype(np.int64),
        returns=reward.astype(np.float32),
        discount=np.where(stop, 0, GAMMA).astype(np.float32),
        legal=None,
        next_legal=None,
    )
    network = Table()
    with torch.no_grad():
        network.q[2] = 10.0
    dqn = DQN(network, Table(), config, 2, "cpu", 1500)
    batch = to_device(arrays, "cpu")
    for _ in range(1500):
        dqn.update([batch])
    return dqn.online.get_parameter("q").detach()[:2]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("rule", [{"tau": 0.2}, {"target_update_every_updates": 10}])
@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_chain_converges_to_values_by_hand(double: bool, rule: dict[str, Any], loss: str) -> None:
    q = converged(double=double, loss=loss, **rule)
    assert torch.allclose(q, torch.tensor(OPTIMAL), atol=0.02), q


def test_treating_truncation_as_termination_would_be_seen() -> None:
    q = converged(stop_at_truncation=True, tau=0.2)
    assert q[1, 1].item() == pytest.approx(1.0, abs=0.02)  # not 2


def test_bootstrapping_through_termination_would_be_seen() -> None:
    q = converged(ignore_termination=True, tau=0.2)
    assert q[1, 0].item() == pytest.approx(4 + 10 / 2, abs=0.05)  # not 4
