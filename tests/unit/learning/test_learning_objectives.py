"""Each algorithm's objective against a computation of its own, on tiny networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning import distributional, noisy
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.bodies import NetworkError
from tuitrain.learning.distributions import (
    CategoricalNetwork,
    ImplicitNetwork,
    QNetwork,
    QuantileNetwork,
)
from tuitrain.learning.dqn import DQN
from tuitrain.learning.networks import build_network
from tuitrain.learning.objectives import objective_for
from tuitrain.learning.policy import Policy

ALGORITHMS: list[dict[str, Any]] = [
    {"name": "dqn"},
    {"name": "dqn", "munchausen": True},
    {"name": "dqn", "noisy": True},
    {"name": "c51", "atoms": 7, "v_min": -2.0, "v_max": 3.0},
    {"name": "c51", "atoms": 7, "v_min": -2.0, "v_max": 3.0, "noisy": True},
    {"name": "qr-dqn", "quantiles": 5},
    {"name": "qr-dqn", "quantiles": 5, "munchausen": True},
    {"name": "iqn", "quantiles": 6, "target_quantiles": 4, "acting_quantiles": 8},
    {"name": "iqn", "quantiles": 6, "target_quantiles": 4, "munchausen": True, "noisy": True},
]
IDS = ["-".join(str(v) for v in a.values()) for a in ALGORITHMS]


def network(how: AlgorithmConfig, seed: int = 0, dueling: bool = False) -> QNetwork:
    return build_network(
        "mlp", (2, 3), "float32", 4, dueling, {"hidden": [8, 6]}, seed, algorithm=how
    )


def batch(rows: int = 5, seed: int = 0) -> TensorBatch:
    torch.manual_seed(seed)
    discount = torch.tensor([0.9, 0.0, 0.9, 0.81, 0.0])[:rows]
    return TensorBatch(
        torch.randn(rows, 2, 3),
        torch.randn(rows, 2, 3),
        torch.randint(4, (rows,)),
        torch.randn(rows),
        discount,
    )


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("given", ALGORITHMS, ids=IDS)
def test_every_network_gives_expected_returns(given: dict[str, Any], dueling: bool) -> None:
    how = AlgorithmConfig(**given)
    net = network(how, dueling=dueling).eval()
    x = torch.randn(5, 2, 3)
    with torch.no_grad():
        q = net(x)
        assert q.shape == (5, 4)
        if isinstance(net, CategoricalNetwork):
            logits = net.logits(x)
            assert logits.shape == (5, 4, 7)
            support = np.linspace(-2.0, 3.0, 7)
            assert np.allclose(q, torch.softmax(logits, 2).numpy() @ support, atol=1e-5)
        elif isinstance(net, QuantileNetwork):
            assert torch.allclose(q, net.quantiles(x).mean(2))
        elif isinstance(net, ImplicitNetwork):
            taus = distributional.midpoints(how.acting_quantiles)
            one_by_one = [net.quantiles(x, tau[None])[:, 0] for tau in taus]
            assert torch.allclose(q, torch.stack(one_by_one).mean(0), atol=1e-5)
            per_row = net.quantiles(x, taus.expand(5, -1))
            assert torch.allclose(per_row, net.quantiles(x, taus), atol=1e-6)


def by_loops(
    how: AlgorithmConfig, double: bool, online: Any, target: Any, b: TensorBatch
) -> Tensor:
    """The targets of all rows, row by row: [B] for DQN, [B, Z] of the rest."""
    out = []
    for i in range(len(b.action)):
        x, nx = b.state[i : i + 1], b.next_state[i : i + 1]
        q_next = target(nx)[0]
        reward = b.returns[i]
        if how.munchausen:
            log_pi = torch.log_softmax(target(x)[0] / how.munchausen_temperature, 0)[b.action[i]]
            bonus = max(how.munchausen_clip, how.munchausen_temperature * float(log_pi))
            reward = reward + how.munchausen_scale * bonus
        best = int((online(nx)[0] if double else q_next).argmax())
        pi = torch.softmax(q_next / how.munchausen_temperature, 0)
        entropy = how.munchausen_temperature * torch.log(pi.clamp(min=1e-38))
        if how.name == "dqn":
            value = (pi * (q_next - entropy)).sum() if how.munchausen else q_next[best]
            out.append(reward + b.discount[i] * value)
        elif how.name == "qr-dqn":
            z = target.quantiles(nx)[0]
            value = (pi[:, None] * (z - entropy[:, None])).sum(0) if how.munchausen else z[best]
            out.append(reward + b.discount[i] * value)
        else:
            probs = torch.softmax(target.logits(nx)[0, best], 0)
            out.append(
                distributional.c51_project(
                    probs[None], reward[None], b.discount[i : i + 1], target.support
                )[0]
            )
    return torch.stack(out)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("given", [a for a in ALGORITHMS if a["name"] != "iqn"])
def test_targets_are_those_of_a_loop_over_rows(given: dict[str, Any], double: bool) -> None:
    how = AlgorithmConfig(**given)
    online, target, b = network(how, 1), network(how, 2), batch()
    config = LearnerConfig(double=double)
    with torch.no_grad():
        judged = objective_for(online, target, config, how)(b)
        wanted = by_loops(how, double and not how.munchausen, online, target, b)
    if how.name == "dqn":
        assert torch.allclose(judged.target, wanted, atol=1e-5)
    elif how.name == "qr-dqn":
        assert torch.allclose(judged.target, wanted.mean(1), atol=1e-5)
        assert isinstance(online, QuantileNetwork)
        found = online.quantiles(b.state)[torch.arange(5), b.action]
        taus = distributional.midpoints(how.quantiles)
        loss = distributional.quantile_huber(found, wanted, taus, how.kappa)
        assert torch.allclose(judged.loss, loss, atol=1e-5)
    else:
        assert isinstance(online, CategoricalNetwork)
        logits = online.logits(b.state)[torch.arange(5), b.action]
        assert torch.allclose(
            judged.loss, distributional.categorical_loss(logits, wanted), atol=1e-5
        )
        assert judged.error is not None
        assert torch.equal(judged.error, judged.loss)


@pytest.mark.parametrize("munchausen", [False, True])
def test_iqn_compares_the_fractions_it_drew(munchausen: bool) -> None:
    """With the same draws, done again by hand."""
    how = AlgorithmConfig(
        name="iqn", quantiles=6, target_quantiles=4, acting_quantiles=8, munchausen=munchausen
    )
    online, target, b = network(how, 1), network(how, 2), batch()
    assert isinstance(online, ImplicitNetwork)
    assert isinstance(target, ImplicitNetwork)
    objective = objective_for(online, target, LearnerConfig(double=True), how)
    torch.manual_seed(3)
    with torch.no_grad():
        judged = objective(b)
    torch.manual_seed(3)
    drawn, taus = torch.rand(5, 4), torch.rand(5, 6)
    with torch.no_grad():
        z = target.quantiles(b.next_state, drawn)
        spaced = distributional.midpoints(4)
        if munchausen:
            t = how.munchausen_temperature
            expected = target.quantiles(b.next_state, spaced).mean(1)
            log_pi = torch.log_softmax(expected / t, 1)[:, None]
            value = (log_pi.exp() * (z - t * log_pi)).sum(2)
            own = torch.log_softmax(target(b.state) / t, 1)[torch.arange(5), b.action]
            returns = b.returns + 0.9 * (t * own).clamp(-1, 0)
        else:
            value = z[torch.arange(5), :, online.quantiles(b.next_state, spaced).mean(1).argmax(1)]
            returns = b.returns
        goal = returns[:, None] + b.discount[:, None] * value
        found = online.quantiles(b.state, taus)[torch.arange(5), :, b.action]
        loss = distributional.quantile_huber(found, goal, taus)
    assert torch.allclose(judged.loss, loss, atol=1e-5)
    assert torch.allclose(judged.target, goal.mean(1), atol=1e-5)


@pytest.mark.parametrize("given", ALGORITHMS, ids=IDS)
def test_every_algorithm_fits_one_batch(given: dict[str, Any]) -> None:
    """Of terminated transitions the target is the return, which is then learned."""
    how = AlgorithmConfig(**(given | {"munchausen_scale": 0.0}))
    config = LearnerConfig(lr=2e-2, target_update_every_updates=10)
    torch.manual_seed(0)
    dqn = DQN(network(how, 1), network(how, 2), config, 4, "cpu", 1000, how)
    b = batch()._replace(discount=torch.zeros(5), returns=torch.tensor([1.0, -1.0, 0.5, 2.0, 0.0]))
    start = dqn.update([b]).td_error().abs().mean()
    for _ in range(150):
        stats = dqn.update([b])
    assert dqn.gradient == ("by hand" if given == {"name": "dqn"} else "by autograd")
    assert stats.td_error().abs().mean() < 0.3 * start
    assert stats.priorities().shape == (5,)
    assert np.isfinite(list(dqn.stats().values())).all()


def test_noise_is_drawn_for_every_update_and_every_act_and_never_for_evaluation() -> None:
    how = AlgorithmConfig(noisy=True)
    dqn = DQN(network(how, 1), network(how, 2), LearnerConfig(), 4, "cpu", 100, how)
    seen, given = [], batch()
    for _ in range(2):
        dqn.update([given])
        seen += [layer.noise_in.clone() for n in (dqn.online, dqn.target)
                 for layer in noisy.noisy_layers(n)[:1]]  # fmt: skip
    assert len({tuple(noise.tolist()) for noise in seen}) == 4
    x = np.ones((3, 2, 3), np.float32)
    actor = Policy(network(how, 1), 4, with_noise=True)
    values = []
    for _ in range(2):
        actor.act(x, 0.0, np.random.default_rng(len(values)))
        values.append(actor.values(x).copy())
    assert (values[0] != values[1]).any()
    actor.act(x, 0.0, np.random.default_rng(0))
    assert (actor.values(x) == values[0]).all(), "equal generators, equal noise"
    evaluator = Policy(network(how, 1), 4)
    plain = evaluator.values(x).copy()
    evaluator.act(x, 0.0, np.random.default_rng(1))
    assert (evaluator.values(x) == plain).all()


@pytest.mark.parametrize("given", [{"name": "c51"}, {"name": "iqn"}, {"noisy": True}])
def test_a_network_of_ones_own_gives_one_value_per_action(given: dict[str, Any]) -> None:
    with pytest.raises(NetworkError, match="one value per action"):
        build_network("torch.nn:Linear", (2, 3), "float32", 4, algorithm=AlgorithmConfig(**given))
