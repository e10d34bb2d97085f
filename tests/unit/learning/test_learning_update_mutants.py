"""Updates that are subtly wrong, and how each is seen: by its gradient, its loss, its rate.

Both ways to a gradient are tried: by hand for the built-in network, by autograd for any other.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.unit.learning.test_learning_dqn import batch, config, learner
from tuitrain.learning import mlp_gradient
from tuitrain.learning.adam import Adam
from tuitrain.learning.dqn import DQN, TensorBatch
from tuitrain.learning.gradient import AutogradGradient
from tuitrain.learning.lr import lr_at
from tuitrain.learning.mlp_gradient import MlpGradient
from tuitrain.learning.networks import build_network


def by_autograd(changes: dict[str, Any]) -> DQN:
    """As ``learner``, for a network of somebody's own: the built-in one within another module."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = build_network("mlp", (1, 4), "float32", 2, seed=1)

        def forward(self, x: Tensor) -> Tensor:
            q: Tensor = self.network(x)
            return q

    return DQN(Own(), Own(), config(**changes), 2, "cpu", 1000)


WAYS = {"by hand": learner, "by autograd": by_autograd}
way = pytest.mark.parametrize("way", WAYS)


def made(way: str, changes: dict[str, Any]) -> DQN:
    dqn = WAYS[way](changes)
    assert dqn.gradient == way
    return dqn


def gradients(dqn: DQN) -> list[Tensor]:
    found = [p.grad for p in dqn.online.parameters()]
    assert all(g is not None for g in found)
    return [g.clone() for g in found if g is not None]


# ---- 4.3: accumulated gradients are those of one big batch ---------------------------------------


def accumulation_error(way: str) -> float:
    """Largest difference between the gradient of four batches and that of one as large."""
    parts = [batch(16, seed=i) for i in range(4)]
    big = TensorBatch(*(torch.cat(column) for column in list(zip(*parts, strict=True))[:5]))
    options = {"max_grad_norm": 0.0}
    split, whole = made(way, options | {"grad_accumulation": 4}), made(way, options)
    split.update(parts)
    whole.update([big])
    pairs = zip(gradients(split), gradients(whole), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@way
def test_accumulated_gradients_are_one_big_batchs(way: str) -> None:
    assert accumulation_error(way) < 1e-6


@way
def test_a_sum_that_is_not_divided_is_seen(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (MlpGradient, AutogradGradient):
        honest: Any = kind._add

        def undivided(self: Any, one: Any, share: float, *more: Any, honest: Any = honest) -> Any:
            return honest(self, one, 1.0, *more)

        monkeypatch.setattr(kind, "_add", undivided)
    assert accumulation_error(way) > 1e-3


# ---- X.2: the loss has the value that its formula gives, and the gradient the length it may have -


def loss_and_step(way: str, returns: float = 30.0) -> tuple[float, float]:
    """Loss of an update whose errors are known, and the length of the gradient it is made with.

    All rewards are `returns`, all rows terminate, and the network says 0 to everything: Huber's
    loss with delta 1 is then `returns` - 1/2 whatever is observed.
    """
    dqn = made(way, {"max_grad_norm": 0.5})
    with torch.no_grad():
        for parameter in dqn.online.parameters():
            parameter.zero_()
    one = batch()
    goal = torch.full_like(one.returns, returns)
    stats = dqn.update([one._replace(returns=goal, discount=torch.zeros_like(one.discount))])
    assert float(stats.grad_norm) > 0.5, "nothing was to be clipped"
    length = torch.cat([g.reshape(-1) for g in gradients(dqn)]).norm()
    return float(stats.loss[0]), float(length)


@way
def test_loss_and_clipped_gradient_are_those_of_the_formula(way: str) -> None:
    assert loss_and_step(way) == (pytest.approx(29.5), pytest.approx(0.5, rel=1e-4))


@way
def test_clipping_that_is_commented_out_is_seen(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Adam.clip
    monkeypatch.setattr(Adam, "clip", lambda self, limit: honest(self, 0.0))
    assert loss_and_step(way)[1] > 0.6


@way
def test_a_loss_times_10000_is_seen(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """▣ Both of these were once in the program that this one descends from."""
    by_hand = mlp_gradient._loss

    def scaled(*given: Any) -> Any:
        loss, slope = by_hand(*given)
        return loss * 1e4, slope * 1e4

    huber = functional.huber_loss
    monkeypatch.setattr(mlp_gradient, "_loss", scaled)
    monkeypatch.setattr(functional, "huber_loss", lambda *a, **k: huber(*a, **k) * 1e4)
    assert loss_and_step(way)[0] > 1e5


# ---- 4.4: the rate follows its schedule over a resume --------------------------------------------

FALLING = {"lr": 1e-2, "lr_end": 1e-4, "lr_schedule": "linear", "lr_schedule_updates": 10}


class BeginsAnew(DQN):
    """Takes over all but how far the schedule is."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.updates = 0


def rates(kind: type[DQN]) -> list[float]:
    """Learning rates of 4 updates, a resume, and 7 more."""
    first = learner(FALLING)
    used = [first.update([batch(seed=i)]).lr for i in range(4)]
    networks = [build_network("mlp", (1, 4), "float32", 2, seed=9) for _ in range(2)]
    second = kind(networks[0], networks[1], config(**FALLING), 2, "cpu", 1000)
    second.load_state_dict(first.state_dict())
    return used + [second.update([batch(seed=i)]).lr for i in range(7)]


def test_a_schedule_goes_on_after_a_resume() -> None:
    used = rates(DQN)
    assert used == [lr_at(i, config(**FALLING), 10) for i in range(11)]
    middle = pytest.approx((1e-2 + 1e-4) / 2)
    assert (used[0], used[5], used[10]) == (1e-2, middle, 1e-4)


def test_a_schedule_that_a_resume_begins_anew_is_seen() -> None:
    used = rates(BeginsAnew)
    assert used[4] == 1e-2
    assert used != rates(DQN)
