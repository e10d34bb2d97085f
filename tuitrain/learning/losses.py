"""Targets and losses as pure functions of tensors. Golden values in the tests are done by hand."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def only_legal(values: Tensor, legal: Tensor | None) -> Tensor:
    """Values to choose by: -inf where an action is not legal. [B, A] twice -> [B, A].

    For an argmax, a maximum or a softmax alone; a value that was never learned must not get into a
    mean, and -inf times 0 is not a number. Without `legal`, the values themselves.
    """
    return values if legal is None else values.masked_fill(~legal, -torch.inf)


def max_next_value(target_next_q: Tensor) -> Tensor:
    """DQN's bootstrap value max_a Q'(s', a) (Mnih et al. 2015). [B, A] -> [B]."""
    return target_next_q.amax(1)


def double_dqn_next_value(online_next_q: Tensor, target_next_q: Tensor) -> Tensor:
    """Double DQN's bootstrap value Q'(s', argmax_a Q(s', a)) (van Hasselt et al. 2016).

    The online network chooses the action, the target network values it. [B, A] twice -> [B].
    """
    return take_actions(target_next_q, online_next_q.argmax(1))


def take_actions(q: Tensor, action: Tensor) -> Tensor:
    """Q of the given actions: q [B, A], action int64 [B] -> [B]."""
    return q.gather(1, action.unsqueeze(1)).squeeze(1)


def td_target(returns: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """returns + discount * next_value, all [B].

    `returns` and `discount` come from one function (``replay.window.n_step``): `discount` is
    gamma**m for the m rewards that were summed, and 0 if the episode terminated in them; a
    truncated one is bootstrapped.
    """
    return torch.addcmul(returns, discount, next_value)


def huber(
    prediction: Tensor, target: Tensor, delta: float = 1.0, weights: Tensor | None = None
) -> Tensor:
    """Mean Huber loss: e²/2 where |e| <= delta, delta * (|e| - delta/2) beyond. [B] -> scalar.

    Args:
        prediction: [B], has a gradient.
        target: [B], has none.
        delta: where the loss becomes linear.
        weights: [B] importance weights, e.g. of prioritized replay; None is all ones.
    """
    if weights is None:
        return functional.huber_loss(prediction, target, delta=delta)
    each = functional.huber_loss(prediction, target, reduction="none", delta=delta)
    return (each * weights).mean()


def mse(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of e²/2, so that it equals ``huber`` near zero. Arguments as there."""
    if weights is None:
        return functional.mse_loss(prediction, target) * 0.5
    return (functional.mse_loss(prediction, target, reduction="none") * weights).mean() * 0.5
