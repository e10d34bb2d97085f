"""Gradients that never reach a parameter are told, however the gradient is made; others are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.learning.test_learning_mlp_gradient import batch, mlp
from tests.unit.learning.test_learning_stacked import data, stack_of, stacked_data
from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.dqn import DQN
from tuitrain.learning.gradient_flow import LOOKS, NAMED, GradientFlow
from tuitrain.learning.networks import build_network


class CutOff(nn.Module):
    """Two layers, between which somebody has detached, and one that is not to learn."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.first, self.last, self.fixed = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(6, 8)
        self.fixed.requires_grad_(False)
        self._cut = cut

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x.flatten(1)) + self.fixed(x.flatten(1)))
        q: Tensor = self.last(hidden.detach() if self._cut else hidden)
        return q


def told(make: Any, updates: int = 12, **algorithm: Any) -> dict[str, Any]:
    """What a learner with two such networks says of its gradients after some updates."""
    torch.manual_seed(3)
    how = AlgorithmConfig.model_validate(algorithm)
    dqn = DQN(make(), make(), LearnerConfig(), 3, "cpu", 100, how)
    for number in range(updates):
        dqn.update([batch(number, 16, 3, "float32", False, False, False)])
    return {k: v for k, v in dqn.stats().items() if k.startswith("grad_zero")}


def test_a_layer_behind_a_detach_is_named() -> None:
    assert told(lambda: CutOff(True)) == {
        "grad_zero_share": 0.5,  # what is not to learn does not count
        "grad_zero_in": "first.weight, first.bias",
    }
    assert told(lambda: CutOff(False)) == {"grad_zero_share": 0.0}


def silent(dueling: bool) -> Any:
    """A built-in network all of whose hidden units are dead."""
    network = mlp(0, dueling=dueling)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "trunk" in name and "bias" in name:
                parameter.fill_(-1e6)
    return network


@pytest.mark.parametrize("dueling", [False, True])
def test_by_hand_too(dueling: bool) -> None:
    dead = told(lambda: silent(dueling))
    assert 0 < dead["grad_zero_share"] < 1
    assert dead["grad_zero_in"].startswith("body.trunk.")
    assert told(lambda: mlp(0, dueling=dueling)) == {"grad_zero_share": 0.0}


@pytest.mark.parametrize("name", ["dqn", "c51", "qr-dqn", "iqn"])
@pytest.mark.parametrize("noisy", [False, True])
def test_whole_algorithms_reach_everything(name: str, noisy: bool) -> None:
    how = AlgorithmConfig.model_validate({"name": name, "noisy": noisy})

    def make() -> nn.Module:
        return build_network("mlp", (2, 3), "float32", 3, True, {"hidden": [16]}, 0, how)

    assert told(make, name=name, noisy=noisy) == {"grad_zero_share": 0.0}


def test_in_a_stack_each_has_its_own() -> None:
    stack = stack_of({}, {})
    with torch.no_grad():
        for name, parameter in stack.learners[1].online.named_parameters():
            if "trunk" in name and "bias" in name:
                parameter.fill_(-1e6)
    for update in range(12):
        stack.update(stacked_data(data(update, {}, {})))
    shares = [learner.stats()["grad_zero_share"] for learner in stack.learners]
    assert shares[1] > 0
    assert shares[0] == shares[2] == 0


def test_once_is_enough_to_have_one_and_every_report_begins_anew() -> None:
    gradients = [torch.zeros(3), torch.zeros(2), torch.zeros(0)]
    flow = GradientFlow(["a", "b", "nothing"], gradients)
    assert flow.take() == {}
    for update in range(LOOKS):
        gradients[1][0] = float(update == 2)
        flow.look()
    assert flow.take() == {"grad_zero_share": 0.5, "grad_zero_in": "a"}
    gradients[1].zero_()
    flow.look()
    assert flow.take() == {"grad_zero_share": 1.0, "grad_zero_in": "a, b"}
    assert flow.take() == {}


def test_more_looks_than_are_made_between_two_reports_tell_nothing() -> None:
    gradient = torch.zeros(3)
    flow = GradientFlow(["a"], [gradient])
    for update in range(LOOKS + 1):
        gradient[0] = float(update == LOOKS)
        flow.look()
    assert flow.take()["grad_zero_in"] == "a"


@pytest.mark.parametrize(("number", "share"), [(1e-22, 0.0), (1e-24, 1.0), (float("nan"), 0.0)])
def test_what_is_so_small_that_its_square_is_zero_is_no_gradient(
    number: float, share: float
) -> None:
    flow = GradientFlow(["a"], [torch.tensor([0.0, number])])
    flow.look()
    assert flow.take()["grad_zero_share"] == share


def test_where_nothing_learns_nothing_is_told() -> None:
    flow = GradientFlow(["nothing"], [torch.zeros(0)])
    flow.look()
    assert flow.take() == {}


def test_many_are_counted() -> None:
    flow = GradientFlow([f"p{i}" for i in range(NAMED + 4)], [torch.zeros(2)] * (NAMED + 4))
    flow.look()
    assert flow.take()["grad_zero_in"] == "p0, p1, p2 and 4 more"
