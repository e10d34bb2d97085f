"""What is minimised: from a batch and two networks to one loss per transition.

One class per algorithm, all with the same call: choose the next actions, make the target, compare.
Autograd does the rest (``gradient``). They change no weight and draw nothing but the fractions that
IQN needs, from torch's global generator, which belongs to the learner's seed. Wherever an action is
chosen, or a policy is made of values, only the legal ones of that state count.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning import distributional, losses
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.distributions import (
    CategoricalNetwork,
    ImplicitNetwork,
    QuantileNetwork,
)

_STATELESS = (nn.Linear, nn.Conv2d, nn.ReLU, nn.Flatten, nn.Sequential, nn.ModuleList, nn.Identity)


class Judged(NamedTuple):
    """What an objective says of a batch.

    Attributes:
        loss: [B], with gradient.
        q: [B, A] expected returns by the online network, of every action, legal or not.
        q_taken: [B], those of the actions taken.
        target: [B], the expected return they are moved towards.
        error: [B], what priorities are made of; None is ``target - q_taken``.
    """

    loss: Tensor
    q: Tensor
    q_taken: Tensor
    target: Tensor
    error: Tensor | None = None


class Objective(Protocol):
    """An algorithm's loss."""

    def __call__(self, batch: TensorBatch) -> Judged:
        """One loss per transition of the batch."""


class _Chooser:
    """How next actions are chosen: by the online network (double) or by the target's own values."""

    def __init__(self, online: nn.Module, double: bool) -> None:
        self._online, self._double = online, double
        # Modules that behave differently in training (normalisation, dropout) must choose and
        # value next actions as they would act; others are spared the walk through the tree.
        self._modal = any(
            not isinstance(m, _STATELESS) and not getattr(m, "stateless", False)
            for m in online.modules()
        )

    def q(self, batch: TensorBatch) -> Tensor | None:
        """[B, A] by the network that chooses next actions; None if that is the target's own."""
        if not self._double:
            return None
        if self._modal:
            self._online.eval()
        q: Tensor = self._online(batch.next_state)
        if self._modal:
            self._online.train()
        return q


class TdObjective:
    """DQN and double DQN, Huber or mean squared error; with ``munchausen`` M-DQN."""

    def __init__(
        self, online: nn.Module, target: nn.Module, config: LearnerConfig, how: AlgorithmConfig
    ) -> None:
        self._chooser = _Chooser(online, config.double and not how.munchausen)
        self._online, self._target = online, target
        self._delta = config.huber_delta if config.loss == "huber" else None
        self._how = how

    def __call__(self, batch: TensorBatch) -> Judged:
        """See ``Objective``."""
        with torch.no_grad():
            goal = losses.td_target(_returns(batch, self._target, self._how), batch.discount,
                                    self._next_value(batch))  # fmt: skip
        q = self._online(batch.state)
        q_taken = losses.take_actions(q, batch.action)
        if self._delta is not None:
            loss = functional.huber_loss(q_taken, goal, reduction="none", delta=self._delta)
        else:
            loss = functional.mse_loss(q_taken, goal, reduction="none") * 0.5
        return Judged(loss, q, q_taken, goal)

    def _next_value(self, batch: TensorBatch) -> Tensor:
        next_q: Tensor = self._target(batch.next_state)
        if self._how.munchausen:
            return distributional.soft_mixture(
                next_q, next_q, self._how.munchausen_temperature, batch.next_legal
            )
        chosen_by = self._chooser.q(batch)
        if chosen_by is None:
            return losses.max_next_value(losses.only_legal(next_q, batch.next_legal))
        return losses.double_dqn_next_value(losses.only_legal(chosen_by, batch.next_legal), next_q)


LOOK_EVERY_BATCHES = 16
"""So rarely it costs nothing to see what the support cuts off."""

_LOOKS_KEPT = 64

_ROUNDING = 1e-4
"""Of the support's length: a target that is off by less is not clipped."""


class Clipping:
    """How much of what is paid the support of C51 cuts off the targets, since the last report."""

    def __init__(self) -> None:
        self._batches = 0
        self._seen: deque[Tensor] = deque(maxlen=_LOOKS_KEPT)

    def look(
        self, batch: TensorBatch, next_probs: Tensor, expected: Tensor, support: Tensor
    ) -> None:
        """Take in a batch, if it is due to be looked at.

        Args:
            next_probs: [B, Z], as in ``distributional.c51_project``.
            expected: [B], the expectation of what that gave.
            support: [Z].
        """
        self._batches += 1
        if self._batches % LOOK_EVERY_BATCHES:
            return
        wanted = batch.returns + batch.discount * (next_probs @ support)
        over = (wanted - expected).abs() - _ROUNDING * (support[-1] - support[0])
        self._seen.append(torch.stack([over.clamp(min=0.0).sum(), batch.returns.abs().sum()]))

    def take(self) -> dict[str, float]:
        """`returns_clipped_share` of a `learner` record, and start anew; waits for the device.

        Empty if nothing was paid. What repeats itself forever is worth its reward / (1 - discount):
        a support that ends at a tenth of that cuts off nine tenths.
        """
        if not self._seen:
            return {}
        lost, paid = torch.stack(list(self._seen)).sum(0).tolist()
        self._seen.clear()
        return {"returns_clipped_share": lost / paid} if paid else {}


class CategoricalObjective:
    """C51: cross entropy between the projected target's distribution and the prediction."""

    def __init__(
        self, online: nn.Module, target: nn.Module, config: LearnerConfig, how: AlgorithmConfig
    ) -> None:
        assert isinstance(online, CategoricalNetwork)
        assert isinstance(target, CategoricalNetwork)
        self._chooser = _Chooser(online, config.double and not how.munchausen)
        self._online, self._target = online, target
        self.clipping = Clipping()

    def __call__(self, batch: TensorBatch) -> Judged:
        """See ``Objective``."""
        online, support = self._online, self._online.support
        with torch.no_grad():
            next_logits = self._target.logits(batch.next_state)
            chosen_by = self._chooser.q(batch)
            if chosen_by is None:
                chosen_by = self._target.expect(next_logits)
            best = losses.only_legal(chosen_by, batch.next_legal).argmax(1)
            probs = functional.softmax(_of(next_logits, best), 1)
            goal = distributional.c51_project(probs, batch.returns, batch.discount, support)
            expected = goal @ support
            self.clipping.look(batch, probs, expected, support)
        logits = online.logits(batch.state)
        loss = distributional.categorical_loss(_of(logits, batch.action), goal)
        with torch.no_grad():
            q = online.expect(logits)
            q_taken = losses.take_actions(q, batch.action)
        return Judged(loss, q, q_taken, expected, error=loss.detach())


class QuantileObjective:
    """QR-DQN: quantile Huber loss between all quantiles of prediction and target."""

    def __init__(
        self, online: nn.Module, target: nn.Module, config: LearnerConfig, how: AlgorithmConfig
    ) -> None:
        assert isinstance(online, QuantileNetwork)
        assert isinstance(target, QuantileNetwork)
        self._chooser = _Chooser(online, config.double and not how.munchausen)
        self._online, self._target = online, target
        self._how = how
        device = next(online.parameters()).device
        self._taus = distributional.midpoints(how.quantiles, device)

    def __call__(self, batch: TensorBatch) -> Judged:
        """See ``Objective``."""
        how = self._how
        with torch.no_grad():
            next_all = self._target.quantiles(batch.next_state)
            chosen_by = self._chooser.q(batch)
            expected = next_all.mean(2)
            values = _next_samples(
                how,
                next_all.transpose(1, 2),
                expected if chosen_by is None else chosen_by,
                batch.next_legal,
            )
            returns = _returns(batch, self._target, how)
            goal = returns[:, None] + batch.discount[:, None] * values
        found = self._online.quantiles(batch.state)
        taken = _of(found, batch.action)
        loss = distributional.quantile_huber(taken, goal, self._taus, how.kappa)
        with torch.no_grad():
            return Judged(loss, found.mean(2), taken.mean(1), goal.mean(1))


class ImplicitObjective:
    """IQN: the same of fractions drawn anew for every state; with ``munchausen`` M-IQN."""

    def __init__(
        self, online: nn.Module, target: nn.Module, config: LearnerConfig, how: AlgorithmConfig
    ) -> None:
        assert isinstance(online, ImplicitNetwork)
        assert isinstance(target, ImplicitNetwork)
        self._online, self._target = online, target
        self._how = how
        # Next actions are chosen by evenly spaced fractions, as in acting, but as few as are drawn:
        # acting may want many, and here they would cost more than the update itself.
        device = next(online.parameters()).device
        self._choosing = distributional.midpoints(how.target_quantiles, device)
        self._chooser = online if config.double and not how.munchausen else target

    def __call__(self, batch: TensorBatch) -> Judged:
        """See ``Objective``."""
        how, device, rows = self._how, batch.returns.device, len(batch.returns)
        with torch.no_grad():
            drawn = torch.rand(rows, how.target_quantiles, device=device)
            next_all = self._target.quantiles(batch.next_state, drawn)  # [B, M, A]
            expected = self._chooser.quantiles(batch.next_state, self._choosing).mean(1)
            values = _next_samples(how, next_all, expected, batch.next_legal)
            returns = _returns(batch, self._target, how)
            goal = returns[:, None] + batch.discount[:, None] * values
        taus = torch.rand(rows, how.quantiles, device=device)
        found = self._online.quantiles(batch.state, taus)
        taken = _of(found.transpose(1, 2), batch.action)
        loss = distributional.quantile_huber(taken, goal, taus, how.kappa)
        with torch.no_grad():
            return Judged(loss, found.mean(1), taken.mean(1), goal.mean(1))


def objective_for(
    online: nn.Module, target: nn.Module, config: LearnerConfig, how: AlgorithmConfig
) -> Objective:
    """The objective of a config's algorithm, on networks that ``build_network`` made for it."""
    if how.name == "c51":
        return CategoricalObjective(online, target, config, how)
    if how.name == "qr-dqn":
        return QuantileObjective(online, target, config, how)
    if how.name == "iqn":
        return ImplicitObjective(online, target, config, how)
    return TdObjective(online, target, config, how)


def _of(of_actions: Tensor, action: Tensor) -> Tensor:
    """What belongs to the given actions: [B, A, Z], int64 [B] -> [B, Z]."""
    index = action[:, None, None].expand(-1, 1, of_actions.shape[2])
    return of_actions.gather(1, index).squeeze(1)


def _returns(batch: TensorBatch, target: nn.Module, how: AlgorithmConfig) -> Tensor:
    """The batch's returns, with Munchausen's share of the log-probability if asked."""
    if not how.munchausen:
        return batch.returns
    return batch.returns + distributional.munchausen_reward(
        target(batch.state), batch.action, how.munchausen_temperature,
        how.munchausen_scale, how.munchausen_clip, batch.legal,
    )  # fmt: skip


def _next_samples(
    how: AlgorithmConfig, samples: Tensor, chosen_by: Tensor, legal: Tensor | None
) -> Tensor:
    """Samples [B, M] of the next state's return out of those of all actions [B, M, A].

    `chosen_by` [B, A] says which action is best, or how likely each is, among the legal ones.
    """
    if how.munchausen:
        return distributional.soft_mixture(chosen_by, samples, how.munchausen_temperature, legal)
    return _of(samples.transpose(1, 2), losses.only_legal(chosen_by, legal).argmax(1))
