"""Losses on distributions of returns as pure functions: C51, QR-DQN and IQN; Munchausen's reward.

Each takes what one network said of the actions that matter and returns one loss per transition, so
that importance weights and priorities are the caller's business. Golden values in the tests are
done by hand. Knows no networks and no replay.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tuitrain.learning.losses import only_legal


def c51_support(v_min: float, v_max: float, atoms: int) -> Tensor:
    """The returns that the atoms stand for, float32 [Z], equally spaced (Bellemare et al. 2017).

    Raises:
        ValueError: fewer than two atoms, or an empty range.
    """
    if atoms < 2 or not v_min < v_max:
        raise ValueError(f"{atoms} atoms from {v_min} to {v_max}: need two at least, v_min < v_max")
    return torch.linspace(v_min, v_max, atoms)


def c51_project(next_probs: Tensor, returns: Tensor, discount: Tensor, support: Tensor) -> Tensor:
    """The Bellman target's distribution on the support (Bellemare et al. 2017, algorithm 1).

    Each atom z of the next state moves to ``returns + discount * z``, is clipped to the support,
    and shares its probability between the two atoms it falls between, in proportion to nearness.

    Args:
        next_probs: [B, Z] probabilities of the chosen next action.
        returns: [B] n-step returns.
        discount: [B] bootstrap discounts, 0 where the episode terminated.
        support: [Z], equally spaced.

    Returns:
        [B, Z], rows sum to 1.
    """
    atoms = support.numel()
    low, high = support[0], support[-1]
    moved = (returns[:, None] + discount[:, None] * support).clamp(low, high)
    place = (moved - low) * ((atoms - 1) / (high - low))
    spread = _spread_scattered if place.device.type == "cpu" else _spread_dense
    return spread(next_probs, place)


def _spread_scattered(probs: Tensor, place: Tensor) -> Tensor:
    """Each probability to its two atoms: 27 times as fast as the dense form with 101 atoms."""
    last = probs.shape[1] - 1
    below = place.floor().long().clamp_(0, last - 1)  # also where the place is not a number
    above_share = (place - below) * probs
    found = torch.zeros_like(probs).scatter_add_(1, below, probs - above_share)
    return found.scatter_add_(1, below + 1, above_share)


def _spread_dense(probs: Tensor, place: Tensor) -> Tensor:
    """The same on a GPU, where scattered sums would come in an order of chance.

    An atom's share falls linearly with its distance to the place, and is 0 from one atom on.
    """
    numbers = torch.arange(probs.shape[1], dtype=place.dtype, device=place.device)
    shares = (1.0 - (place[:, None, :] - numbers[:, None]).abs()).clamp_(min=0.0)
    return torch.bmm(shares, probs[:, :, None]).squeeze(2)


def categorical_loss(logits: Tensor, target_probs: Tensor) -> Tensor:
    """Cross entropy of the target's distribution and the prediction's. [B, Z] twice -> [B].

    Its gradient is that of the Kullback-Leibler divergence, which Rainbow takes for the priority
    (Hessel et al. 2018); the two differ by the target's entropy.
    """
    return -(target_probs * functional.log_softmax(logits, 1)).sum(1)


def quantile_huber(quantiles: Tensor, target: Tensor, taus: Tensor, kappa: float = 1.0) -> Tensor:
    """Quantile Huber loss of QR-DQN (Dabney et al. 2018a) and IQN (Dabney et al. 2018b).

    Every predicted quantile against every sample of the target: the Huber loss, weighted by tau
    where the prediction is too low and 1 - tau where it is too high, divided by kappa; mean over
    the target's samples, sum over the quantiles.

    Args:
        quantiles: [B, N] of the actions taken.
        target: [B, M] samples of the target's distribution, without gradient.
        taus: [N] or [B, N], the fractions that the quantiles stand for.
        kappa: where Huber's loss becomes linear, > 0.

    Returns:
        [B].
    """
    error = target[:, None, :] - quantiles[:, :, None]
    size = error.abs()
    huber = torch.where(size <= kappa, 0.5 * error.square(), kappa * (size - 0.5 * kappa))
    side = (taus.expand_as(quantiles)[:, :, None] - (error.detach() < 0).to(error.dtype)).abs()
    return (side * huber).mean(2).sum(1) / kappa


def midpoints(n: int, device: torch.device | str = "cpu") -> Tensor:
    """The fractions that QR-DQN's quantiles stand for: (2i + 1) / 2N. float32 [N]."""
    return (torch.arange(n, dtype=torch.float32, device=device) + 0.5) / n


def log_policy(q: Tensor, temperature: float, legal: Tensor | None = None) -> Tensor:
    """log of softmax(q / temperature) over the legal actions, computed safely.

    [B, A] -> [B, A]; -inf where `legal` (bool [B, A], None is all) is False.
    """
    return functional.log_softmax(only_legal(q, legal) / temperature, 1)


def munchausen_reward(
    target_q: Tensor,
    action: Tensor,
    temperature: float,
    scale: float,
    lowest: float,
    legal: Tensor | None = None,
) -> Tensor:
    """What Munchausen RL adds to the reward (Vieillard et al. 2020): scaled log-probability.

    Args:
        target_q: [B, A] of the state, by the target network.
        action: int64 [B], the actions taken.
        temperature: of the softmax policy (0.03 in the paper).
        scale: alpha (0.9 in the paper).
        lowest: temperature * log-probability is clipped from below here (-1 in the paper).
        legal: bool [B, A], what could be done in the state; None is everything.

    Returns:
        [B], not positive.
    """
    log_pi = log_policy(target_q, temperature, legal)
    log_probability = log_pi.gather(1, action[:, None]).squeeze(1)
    return scale * (temperature * log_probability).clamp(lowest, 0.0)


def soft_mixture(
    next_q: Tensor, values: Tensor, temperature: float, legal: Tensor | None = None
) -> Tensor:
    """Munchausen's bootstrap: the expectation over the softmax policy, with its entropy.

    sum_a pi(a) * (values_a - temperature * log pi(a)), pi = softmax(next_q / temperature).

    Args:
        next_q: [B, A] of the next state, by the target network.
        values: [B, A] for DQN, or [B, M, A] samples of the returns' distribution for IQN.
        legal: bool [B, A], what can be done in the next state; None is everything.

    Returns:
        [B] or [B, M].
    """
    log_pi = log_policy(next_q, temperature, legal)
    pi = log_pi.exp()
    if legal is not None:
        log_pi = log_pi.masked_fill(~legal, 0.0)  # pi is 0 there, and 0 times -inf is not a number
    if values.dim() == 3:
        log_pi, pi = log_pi[:, None, :], pi[:, None, :]
    return (pi * (values - temperature * log_pi)).sum(-1)
