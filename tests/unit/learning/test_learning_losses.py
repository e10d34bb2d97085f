"""Targets and losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tuitrain.learning import losses

ONLINE_NEXT = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]])
TARGET_NEXT = torch.tensor([[10.0, 20.0, 70.0], [-1.0, 50.0, 6.0]])


def test_next_values_by_hand() -> None:
    # DQN takes the target's own maximum; double DQN the target's value of the online choice.
    assert losses.max_next_value(TARGET_NEXT).tolist() == [70.0, 50.0]
    assert losses.double_dqn_next_value(ONLINE_NEXT, TARGET_NEXT).tolist() == [20.0, -1.0]


def test_double_dqn_with_the_networks_exchanged_would_be_seen() -> None:
    swapped = losses.double_dqn_next_value(TARGET_NEXT, ONLINE_NEXT)
    assert swapped.tolist() != losses.double_dqn_next_value(ONLINE_NEXT, TARGET_NEXT).tolist()


def test_td_target_by_hand() -> None:
    # 3-step: 1 + 0.5*2 + 0.25*4 = 3, bootstrapped with 0.125; terminated after 2 steps: 1 + 1 = 2.
    returns, discount = torch.tensor([3.0, 2.0]), torch.tensor([0.125, 0.0])
    value = torch.tensor([16.0, 1e6])
    assert losses.td_target(returns, discount, value).tolist() == [5.0, 2.0]


def test_take_actions_by_hand() -> None:
    action = torch.tensor([2, 0])
    assert losses.take_actions(ONLINE_NEXT, action).tolist() == [2.0, 4.0]


def test_huber_by_hand() -> None:
    prediction, target = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.5, -3.0, 1.0])
    # delta 1: 0.125, 1*(3-0.5), 0.5;  delta 2: 0.125, 2*(3-1), 0.5
    assert losses.huber(prediction, target).item() == pytest.approx((0.125 + 2.5 + 0.5) / 3)
    assert losses.huber(prediction, target, 2.0).item() == pytest.approx((0.125 + 4 + 0.5) / 3)
    weights = torch.tensor([1.0, 0.0, 2.0])
    assert losses.huber(prediction, target, 1.0, weights).item() == pytest.approx(1.125 / 3)


def test_mse_by_hand() -> None:
    prediction, target = torch.tensor([0.0, 1.0]), torch.tensor([3.0, -1.0])
    assert losses.mse(prediction, target).item() == pytest.approx((4.5 + 2.0) / 2)
    weights = torch.tensor([2.0, 0.0])
    assert losses.mse(prediction, target, weights).item() == pytest.approx(9.0 / 2)


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8), st.floats(0.125, 8.0, width=32)
)
def test_huber_against_torch_and_its_definition(errors: list[float], delta: float) -> None:
    prediction = torch.zeros(len(errors), requires_grad=True)
    target = torch.tensor(errors)
    loss = losses.huber(prediction, target, delta)
    assert loss.item() == functional.huber_loss(prediction, target, delta=delta).item()
    ones = torch.ones(len(errors))
    assert losses.huber(prediction, target, delta, ones).item() == pytest.approx(loss.item())
    each = [e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2) for e in errors]
    assert loss.item() == pytest.approx(math.fsum(each) / len(each), rel=1e-4, abs=1e-5)
    loss.backward()
    assert prediction.grad is not None
    clipped = [-max(-delta, min(delta, e)) / len(errors) for e in errors]
    assert prediction.grad.tolist() == pytest.approx(clipped, rel=1e-4, abs=1e-6)


def test_target_carries_no_gradient_into_the_target_side() -> None:
    q = torch.zeros(2, requires_grad=True)
    goal = losses.td_target(torch.ones(2), torch.ones(2), torch.ones(2))
    losses.huber(q, goal).backward()
    assert q.grad is not None
    assert q.grad.tolist() == [-0.5, -0.5]
