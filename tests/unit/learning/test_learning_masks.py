"""Only legal actions count, whoever chooses: by hand for every algorithm; omissions are caught.

The networks of these tests read their values off the observation: the online network from its
first frame, the target network from the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning import distributional, losses, mlp_gradient
from tuitrain.learning.adam import Adam
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.bodies import Mlp
from tuitrain.learning.distributions import (
    CategoricalNetwork,
    ImplicitNetwork,
    QNetwork,
    QuantileNetwork,
)
from tuitrain.learning.gradient import AutogradGradient, Gradient
from tuitrain.learning.mlp_gradient import MlpGradient
from tuitrain.learning.networks import build_network
from tuitrain.learning.objectives import objective_for
from tuitrain.learning.policy import Policy

ONLINE, TARGET = 0, 1
STATE_LEGAL, NEXT_LEGAL = [False, True, True], [True, False, True]
TAKEN = 1
GOOD, BETTER, BEST = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5], [0.1, 0.1, 0.8]
"""Probabilities of the returns 0, 1 and 2: 0.75, 1.25 and 1.7 are expected."""


class Reads(nn.Module):
    """Values of three actions, read off one frame of the observation."""

    def __init__(self, place: int, *rest: int) -> None:
        super().__init__()
        self._place, self._rest = place, rest
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self._place].reshape(len(x), 3, *self._rest) * self.one


class ReadsQuantiles(Reads):
    """Two quantiles around each value."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, None] + torch.tensor([-1.0, 1.0])


class ReadsImplicit(ImplicitNetwork):
    """Every fraction's quantile is the value itself."""

    def __init__(self, place: int) -> None:
        nn.Module.__init__(self)
        self.body = Reads(place)

    def quantiles(self, x: Tensor, taus: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return found[:, None, :].expand(-1, taus.shape[-1], -1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return found


def linear(place: int) -> QNetwork:
    """The project's own MLP, whose gradient is by hand."""
    network = build_network("mlp", (2, 3), "float32", 3, False, {"hidden": []}, 0)
    assert isinstance(network.body, Mlp)
    (weight,) = [p for p in network.parameters() if p.dim() == 2]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        weight[:, 3 * place : 3 * place + 3] = torch.eye(3)
    return network


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "dqn": lambda place: QNetwork(Reads(place), 1.0),
    "by hand": linear,
    "c51": lambda place: CategoricalNetwork(Reads(place, 3), 1.0, 0.0, 2.0, 3),
    "qr-dqn": lambda place: QuantileNetwork(ReadsQuantiles(place), 1.0),
    "iqn": ReadsImplicit,
}
CHOOSING = [(kind, double) for kind in NETWORKS for double in (False, True)]
SOFT = ["dqn", "qr-dqn", "iqn"]


def batch(state: Any, following: Any, reward: float, discount: float) -> TensorBatch:
    """One transition, and one of the same that terminated."""
    return TensorBatch(
        torch.tensor(np.array([state, state]), dtype=torch.float32),
        torch.tensor(np.array([following, following]), dtype=torch.float32),
        torch.tensor([TAKEN, TAKEN]),
        torch.tensor([reward, reward]),
        torch.tensor([discount, 0.0]),
        None,
        torch.tensor([STATE_LEGAL, STATE_LEGAL]),
        torch.tensor([NEXT_LEGAL, NEXT_LEGAL]),
    )


def judge(kind: str, how: AlgorithmConfig, double: bool, given: TensorBatch) -> tuple[Any, Any]:
    """Targets and gradients."""
    online, target = NETWORKS[kind](ONLINE), NETWORKS[kind](TARGET)
    config = LearnerConfig(double=double)
    adam = Adam(list(online.parameters()), 1e-8)
    adam.settle()
    gradient: Gradient
    if kind == "by hand":
        assert mlp_gradient.fits(online)
        gradient = MlpGradient(online, target, config, adam)
    else:
        gradient = AutogradGradient(objective_for(online, target, config, how), adam)
    (seen,) = gradient([given])
    assert all(bool(g.isfinite().all()) for g in adam.gradients)
    assert bool(seen.loss.isfinite())
    return seen.target, adam.gradients


def chosen(kind: str, double: bool, change: Callable[[TensorBatch], TensorBatch]) -> list[float]:
    """Targets where the best of all actions is not legal, in neither network's opinion."""
    if kind == "c51":
        online, target = np.log([BETTER, BEST, GOOD]), np.log([GOOD, BEST, BETTER])
        given = batch([online, target], [online, target], 0.0, 1.0)
    else:
        online, target = np.array([5.0, 9.0, 1.0]), np.array([10.0, 70.0, 20.0])
        given = batch([online, target], [online, target], 1.0, 0.5)
    how = AlgorithmConfig(name="dqn" if kind == "by hand" else kind, quantiles=2)
    found, _ = judge(kind, how, double, change(given))
    return [float(value) for value in found]


def by_hand(kind: str, double: bool) -> list[float]:
    """The online network likes the first of the legal actions best, the target the last one.

    With a C51 target network: 0.75 is what it expects of the first, 1.25 of the last; with the
    others 10 and 20, behind a reward of 1 and a discount of 0.5.
    """
    if kind == "c51":
        return [0.75 if double else 1.25, 0.0]
    return [1 + 0.5 * (10 if double else 20), 1.0]


def softened(kind: str, change: Callable[[TensorBatch], TensorBatch]) -> list[float]:
    """Munchausen targets at temperature 1, of values that are logarithms."""
    state, following = np.log([1.0, 2.0, 6.0]), np.log([4.0, 100.0, 12.0])
    how = AlgorithmConfig(
        name=kind, quantiles=2, munchausen=True, munchausen_temperature=1.0, munchausen_clip=-10.0
    )
    given = batch([state * 0, state], [following * 0, following], 1.0, 0.5)
    found, _ = judge(kind, how, False, change(given))
    return [float(value) for value in found]


SOFT_BY_HAND = [
    1 + 0.9 * math.log(2 / (2 + 6)) + 0.5 * math.log(4 + 12),
    1 + 0.9 * math.log(2 / (2 + 6)),
]
"""The action taken had a probability of 2 in 8, and the soft value is the log of the sum of exp."""


def unchanged(given: TensorBatch) -> TensorBatch:
    return given


@pytest.mark.parametrize(("kind", "double"), CHOOSING)
def test_the_best_legal_action_by_hand(kind: str, double: bool) -> None:
    assert chosen(kind, double, unchanged) == pytest.approx(by_hand(kind, double))


@pytest.mark.parametrize("kind", SOFT)
def test_munchausen_among_legal_actions_by_hand(kind: str) -> None:
    assert softened(kind, unchanged) == pytest.approx(SOFT_BY_HAND)


@pytest.mark.parametrize("kind", NETWORKS)
def test_all_legal_is_as_without_a_mask(kind: str) -> None:
    def all_legal(given: TensorBatch) -> TensorBatch:
        return given._replace(legal=torch.ones(2, 3) > 0, next_legal=torch.ones(2, 3) > 0)

    def unmasked(given: TensorBatch) -> TensorBatch:
        return given._replace(legal=None, next_legal=None)

    for double in (False, True):
        assert chosen(kind, double, all_legal) == chosen(kind, double, unmasked)
    if kind in SOFT:
        assert softened(kind, all_legal) == softened(kind, unmasked)


# ---- each omission -----------------------------------------------------------------------------


def ignored(values: Tensor, legal: Tensor | None) -> Tensor:
    """In the place of ``only_legal``."""
    return values


@pytest.mark.parametrize(("kind", "double"), CHOOSING)
def test_a_choice_that_ignores_the_mask_is_caught(
    kind: str, double: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the target's own values, and of the online network's where it is double."""
    monkeypatch.setattr(mlp_gradient if kind == "by hand" else losses, "only_legal", ignored)
    assert chosen(kind, double, unchanged)[0] != pytest.approx(by_hand(kind, double)[0])


@pytest.mark.parametrize(("kind", "double"), CHOOSING)
def test_a_choice_by_the_states_mask_is_caught(kind: str, double: bool) -> None:
    found = chosen(kind, double, lambda given: given._replace(next_legal=given.legal))
    assert found[0] != pytest.approx(by_hand(kind, double)[0])


FORGETS: dict[str, Callable[[TensorBatch], TensorBatch]] = {
    "next ignored": lambda given: given._replace(next_legal=None),
    "state ignored": lambda given: given._replace(legal=None),
    "state for next": lambda given: given._replace(next_legal=given.legal),
    "next for state": lambda given: given._replace(legal=given.next_legal),
}


@pytest.mark.parametrize("kind", SOFT)
@pytest.mark.parametrize("forgets", FORGETS)
def test_a_munchausen_softmax_with_another_mask_is_caught(kind: str, forgets: str) -> None:
    assert softened(kind, FORGETS[forgets])[0] != pytest.approx(SOFT_BY_HAND[0])


@pytest.mark.parametrize("kind", SOFT)
def test_a_munchausen_softmax_that_ignores_masks_is_caught(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributional, "only_legal", ignored)
    assert softened(kind, unchanged)[0] != pytest.approx(SOFT_BY_HAND[0])


def careless_mixture(
    next_q: Tensor, values: Tensor, temperature: float, legal: Tensor | None = None
) -> Tensor:
    """-inf times 0."""
    log_pi = functional.log_softmax(losses.only_legal(next_q, legal) / temperature, 1)
    log_pi = log_pi[:, None, :] if values.dim() == 3 else log_pi
    return (log_pi.exp() * (values - temperature * log_pi)).sum(-1)


@pytest.mark.parametrize("kind", SOFT)
def test_what_is_not_a_number_is_caught(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributional, "soft_mixture", careless_mixture)
    with pytest.raises(AssertionError):
        softened(kind, unchanged)


# ---- acting ------------------------------------------------------------------------------------

ROWS, ACTIONS = 4000, 5


def masks(seed: int = 0) -> np.ndarray[Any, Any]:
    """Random ones, in no row all False; the last rows allow one action and all of them."""
    rng = np.random.default_rng(seed)
    legal: np.ndarray[Any, Any] = rng.random((ROWS, ACTIONS)) < 0.5
    legal[np.arange(ROWS), rng.integers(0, ACTIONS, ROWS)] = True
    legal[-2:] = [[False] * 4 + [True], [True] * 5]
    return legal


def acting(kind: type[Policy] = Policy) -> tuple[Policy, np.ndarray[Any, Any]]:
    """A policy, whose forward is numpy's unless it is ``TorchPolicy``, and what it sees."""
    policy = kind(build_network("mlp", (1, 6), "float32", ACTIONS, seed=1), ACTIONS)
    assert (policy._mlp is None) == (kind is TorchPolicy)
    return policy, np.random.default_rng(2).standard_normal((ROWS, 1, 6), np.float32)


class TorchPolicy(Policy):
    """The same network, computed by torch."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._mlp = None


class ExploresAll(Policy):
    """Random actions may be any."""

    def _random(self, draws: Any, legal: Any) -> Any:
        return super()._random(draws, None)


class GreedyOfAll(Policy):
    """The best action may be any."""

    def greedy(self, stacked: Any, legal: Any = None) -> Any:
        return super().greedy(stacked)


class ExploresTheFirst(Policy):
    """Every draw above 1/A is moved down to the first legal action."""

    def _random(self, draws: Any, legal: Any) -> Any:
        plain = super()._random(draws, None)
        allowed = legal[np.arange(len(plain)), plain]
        return np.where(allowed, plain, legal.argmax(1))


def wrong_actions(policy: Policy, seen: Any, epsilon: float) -> list[str]:
    """What is wrong with what it does, empty if nothing is."""
    legal = masks()
    actions = policy.act(seen, epsilon, np.random.default_rng(3), legal)
    rows = np.arange(ROWS)
    if not legal[rows, actions].all():
        return ["not legal"]
    explored = np.random.default_rng(3).random((2, ROWS))[0] < epsilon
    wrong = []
    values = policy.values(seen)
    best = [max(np.flatnonzero(ok), key=lambda a, q=q: q[a])
            for q, ok in zip(values, legal, strict=True)]  # fmt: skip
    if (actions != best)[~explored].any():
        wrong.append("not the best")
    count = legal.sum(1)
    place = (np.cumsum(legal, 1)[rows, actions] - 1)[explored]
    for n in range(2, ACTIONS + 1):
        of_n = np.bincount(place[count[explored] == n], minlength=n)
        expected = of_n.sum() / n
        if epsilon and ((of_n - expected) ** 2 / expected).sum() > 25.0:  # p 0.0001, 4 degrees
            wrong.append("not uniform")
    return wrong


@pytest.mark.parametrize("kind", [Policy, TorchPolicy])
@pytest.mark.parametrize("epsilon", [0.0, 0.6, 1.0])
def test_acting_takes_legal_actions_only(kind: type[Policy], epsilon: float) -> None:
    assert wrong_actions(*acting(kind), epsilon) == []


@pytest.mark.parametrize(
    ("kind", "epsilon", "wrong"),
    [
        (ExploresAll, 0.6, "not legal"),
        (ExploresAll, 1.0, "not legal"),
        (GreedyOfAll, 0.0, "not legal"),
        (GreedyOfAll, 0.6, "not legal"),
        (ExploresTheFirst, 0.6, "not uniform"),
    ],
)
def test_acting_that_ignores_the_mask_is_caught(
    kind: type[Policy], epsilon: float, wrong: str
) -> None:
    assert wrong in wrong_actions(*acting(kind), epsilon)


@pytest.mark.parametrize("epsilon", [0.0, 0.6, 1.0])
def test_masks_take_no_numbers_and_all_legal_changes_nothing(epsilon: float) -> None:
    policy, seen = acting()
    made, rngs = [], [np.random.default_rng(3) for _ in range(3)]
    for rng, legal in zip(rngs, (None, np.ones((ROWS, ACTIONS), np.bool_), masks()), strict=True):
        made.append(policy.act(seen, epsilon, rng, legal))
    assert (made[0] == made[1]).all()
    assert (made[0] != made[2]).any()
    assert len({str(rng.bit_generator.state) for rng in rngs}) == 1


def test_acting_leaves_mask_and_observation_as_they_are() -> None:
    policy, seen = acting()
    legal = masks()
    kept = seen.copy(), legal.copy()
    for epsilon in (0.0, 0.6, 1.0):
        policy.act(seen, epsilon, np.random.default_rng(0), legal)
    assert (seen == kept[0]).all()
    assert (legal == kept[1]).all()
