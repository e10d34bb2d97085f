"""Distributional losses against hand computations and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuitrain.learning import distributional as d
from tuitrain.learning.noisy import Draw, NoisyLinear, resample

# ---- C51 ---------------------------------------------------------------------------------------


def test_c51_by_hand() -> None:
    """Support -1, 0, 1. Return 0.5 and discount 0.5 move the atoms to 0, 0.5, 1."""
    support = d.c51_support(-1.0, 1.0, 3)
    probs = torch.tensor([[0.2, 0.3, 0.5]])
    target = d.c51_project(probs, torch.tensor([0.5]), torch.tensor([0.5]), support)
    # 0.2 to the atom 0; 0.3 halved between 0 and 1; 0.5 to 1
    assert target.tolist() == [[0.0, pytest.approx(0.35), pytest.approx(0.65)]]


def test_c51_terminated_and_clipped_by_hand() -> None:
    support = d.c51_support(-1.0, 1.0, 3)
    probs = torch.tensor([[0.2, 0.3, 0.5]] * 3)
    target = d.c51_project(
        probs, torch.tensor([-0.25, 9.0, -9.0]), torch.tensor([0.0, 0.9, 0.9]), support
    )
    wanted = [[0.25, 0.75, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert torch.allclose(target, torch.tensor(wanted), atol=1e-6)


def test_c51_spreads_alike_on_every_device() -> None:
    place = torch.tensor([[0.0, 0.25, 3.0, 4.0, 4.0]], dtype=torch.float64)
    probs = torch.tensor([[0.1, 0.2, 0.3, 0.15, 0.25]], dtype=torch.float64)
    found = d._spread_scattered(probs, place)
    assert torch.allclose(found, d._spread_dense(probs, place), atol=1e-15)
    assert found.tolist() == [pytest.approx([0.25, 0.05, 0.0, 0.3, 0.4])]


def test_c51_of_a_return_that_is_no_number_is_none() -> None:
    support = d.c51_support(-1.0, 1.0, 3)
    probs = torch.tensor([[0.2, 0.3, 0.5]])
    found = d.c51_project(probs, torch.tensor([math.nan]), torch.tensor([0.9]), support)
    assert found.isnan().any(), "the learner sees it in its loss; an index error would say nothing"


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), atoms=st.integers(2, 60))
def test_c51_is_algorithm_1(seed: int, atoms: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = -3.0, 5.0
    probs = rng.dirichlet(np.ones(atoms), 4)
    returns, discount = rng.normal(0, 3, 4), rng.choice([0.0, 0.5, 0.99], 4)
    found = d.c51_project(
        torch.tensor(probs, dtype=torch.float64),
        torch.tensor(returns),
        torch.tensor(discount),
        d.c51_support(low, high, atoms).double(),
    )
    step = (high - low) / (atoms - 1)
    wanted = np.zeros((4, atoms))
    for i in range(4):
        for j in range(atoms):
            moved = min(high, max(low, returns[i] + discount[i] * (low + j * step)))
            place = min((moved - low) / step, atoms - 1)
            below, above = math.floor(place), math.ceil(place)
            if below == above:
                wanted[i, below] += probs[i, j]
            else:
                wanted[i, below] += probs[i, j] * (above - place)
                wanted[i, above] += probs[i, j] * (place - below)
    assert np.allclose(found.numpy(), wanted, atol=1e-5)
    assert np.allclose(found.sum(1).numpy(), 1.0, atol=1e-6)


def test_categorical_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.25, 0.75]]))
    loss = d.categorical_loss(logits, torch.tensor([[0.5, 0.5]]))
    assert loss.item() == pytest.approx(-0.5 * math.log(0.25) - 0.5 * math.log(0.75))


@pytest.mark.parametrize(("low", "high", "atoms"), [(1.0, 1.0, 51), (2.0, 1.0, 51), (0.0, 1.0, 1)])
def test_a_support_without_extent_is_refused(low: float, high: float, atoms: int) -> None:
    with pytest.raises(ValueError, match="v_min < v_max"):
        d.c51_support(low, high, atoms)


# ---- quantiles ---------------------------------------------------------------------------------


def test_quantile_huber_by_hand() -> None:
    """One quantile at 0 for tau 0.25 against samples 0.5 and -2; kappa 1."""
    loss = d.quantile_huber(
        torch.zeros(1, 1), torch.tensor([[0.5, -2.0]]), torch.tensor([0.25]), 1.0
    )
    # too low by 0.5: 0.25 * 0.125; too high by 2: 0.75 * 1.5; mean of the two
    assert loss.item() == pytest.approx((0.25 * 0.125 + 0.75 * 1.5) / 2)


def test_quantile_huber_divides_by_kappa() -> None:
    loss = d.quantile_huber(torch.zeros(1, 1), torch.tensor([[4.0]]), torch.tensor([0.5]), 2.0)
    assert loss.item() == pytest.approx(0.5 * 2.0 * (4.0 - 1.0) / 2.0)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), kappa=st.sampled_from([0.1, 1.0, 3.0]))
def test_quantile_huber_is_its_double_loop(seed: int, kappa: float) -> None:
    rng = np.random.default_rng(seed)
    quantiles, target, taus = rng.normal(0, 2, (3, 5)), rng.normal(0, 2, (3, 4)), rng.random((3, 5))
    found = d.quantile_huber(*map(torch.tensor, (quantiles, target, taus)), kappa)
    for b in range(3):
        total = 0.0
        for i in range(5):
            for j in range(4):
                u = target[b, j] - quantiles[b, i]
                huber = 0.5 * u * u if abs(u) <= kappa else kappa * (abs(u) - 0.5 * kappa)
                total += abs(taus[b, i] - (u < 0)) * huber / kappa / 4
        assert found[b].item() == pytest.approx(total)


def test_the_minimum_is_at_the_quantiles() -> None:
    """Gradient descent on samples of a known distribution ends at its quantiles."""
    torch.manual_seed(0)
    taus = d.midpoints(5)
    assert taus.tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    quantiles = torch.zeros(1, 5, requires_grad=True)
    optimizer = torch.optim.Adam([quantiles], lr=0.05)
    samples = torch.rand(1, 4000) * 10.0
    for _ in range(400):
        optimizer.zero_grad()
        d.quantile_huber(quantiles, samples, taus, 0.01).sum().backward()
        optimizer.step()
    assert quantiles.detach().numpy()[0] == pytest.approx(taus.numpy() * 10, abs=0.35)


# ---- Munchausen --------------------------------------------------------------------------------


def test_munchausen_by_hand() -> None:
    """Two actions a temperature apart: probabilities 1/(1+e) and e/(1+e)."""
    q, temperature = torch.tensor([[0.0, 0.5]]), 0.5
    unlikely = math.log(1 / (1 + math.e))
    for action, log_p in ((0, unlikely), (1, unlikely + 1)):
        bonus = d.munchausen_reward(q, torch.tensor([action]), temperature, 0.9, -1.0)
        assert bonus.item() == pytest.approx(0.9 * max(-1.0, 0.5 * log_p))
    clipped = d.munchausen_reward(
        torch.tensor([[0.0, 100.0]]), torch.tensor([0]), temperature, 0.9, -1.0
    )
    assert clipped.item() == pytest.approx(-0.9)


def test_soft_mixture_by_hand() -> None:
    """Of equal values the softmax is uniform: the value plus temperature times log A."""
    q = torch.full((2, 4), 3.0)
    value = d.soft_mixture(q, q, 0.1)
    assert value.tolist() == pytest.approx([3.0 + 0.1 * math.log(4)] * 2)
    samples = torch.stack([q, 2 * q], 1)
    assert d.soft_mixture(q, samples, 0.1)[0].tolist() == pytest.approx(
        [3.0 + 0.1 * math.log(4), 6.0 + 0.1 * math.log(4)]
    )


def test_a_cold_soft_mixture_is_the_maximum() -> None:
    q = torch.tensor([[1.0, 4.0, 2.0]])
    assert d.soft_mixture(q, q, 1e-3).item() == pytest.approx(4.0, abs=1e-3)


# ---- noisy layers ------------------------------------------------------------------------------


def draw_from(seed: int) -> Draw:
    generator = torch.Generator().manual_seed(seed)
    return lambda n: torch.randn(n, generator=generator)


def test_noisy_linear_by_hand() -> None:
    layer = NoisyLinear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
        layer.bias.fill_(3.0)
        layer.weight_sigma.fill_(0.5)
        layer.bias_sigma.fill_(0.25)
        layer.noise_in.copy_(torch.tensor([2.0, -1.0]))
        layer.noise_out.fill_(3.0)
    x = torch.tensor([[1.0, 1.0]])
    assert layer(x).item() == pytest.approx((1 + 0.5 * 6) + (2 - 0.5 * 3) + 3 + 0.25 * 3)
    assert layer.eval()(x).item() == pytest.approx(6.0)


def test_noise_has_the_papers_distribution_and_stays_until_it_is_drawn_anew() -> None:
    torch.manual_seed(0)
    layer = NoisyLinear(4000, 8)
    resample(torch.nn.Sequential(layer, torch.nn.ReLU(), NoisyLinear(8, 2)), draw_from(7))
    first = layer.noise_in.clone()
    # f(x)^2 = |x|, whose mean is sqrt(2 / pi); signs are even
    assert first.square().mean().item() == pytest.approx(math.sqrt(2 / math.pi), abs=0.05)
    assert first.sign().mean().item() == pytest.approx(0.0, abs=0.1)
    x = torch.ones(1, 4000)
    assert layer(x).tolist() == layer(x).tolist()
    layer.resample(draw_from(7))
    assert (layer.noise_in == first).all(), "equal generators, equal noise"
    resample(layer)
    assert (layer.noise_in != first).any()


def test_noise_learns() -> None:
    layer = NoisyLinear(3, 2)
    resample(layer)
    layer(torch.ones(4, 3)).sum().backward()
    for parameter in (layer.weight, layer.bias, layer.weight_sigma, layer.bias_sigma):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
