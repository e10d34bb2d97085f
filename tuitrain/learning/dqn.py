"""The update: one optimizer step, then the target network by its rule. The learner's hot path.

This class alone changes the online network, the target network and the optimizer; it counts
both kinds of update and saves and restores all three as one unit. It knows batches, not where
they come from, and nothing of publishing, replay or processes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning import noisy
from tuitrain.learning.adam import Adam
from tuitrain.learning.batch import TensorBatch, to_device
from tuitrain.learning.flatten import TensorTable, rehome
from tuitrain.learning.gradient import AutogradGradient, Gradient
from tuitrain.learning.gradient_flow import GradientFlow
from tuitrain.learning.lr import Course, lr_at
from tuitrain.learning.mlp_gradient import MlpGradient, fits
from tuitrain.learning.objectives import Clipping, objective_for
from tuitrain.learning.saved import (
    RestoreError,
    check_modules_fit,
    check_moments_fit,
    digest,
    to_cpu,
)
from tuitrain.learning.spans import Spans
from tuitrain.learning.stack_memory import Row
from tuitrain.learning.target_rule import target_period

__all__ = ["DQN", "RestoreError", "TensorBatch", "UpdateStats", "to_device"]

STATS_EVERY_UPDATES = 10
"""Statistics look at every tenth update: deterministic, and nearly free in between."""

STATS_KEPT = 16
"""At most so many of them are kept until ``stats()`` reduces them."""


class UpdateStats(NamedTuple):
    """What one update saw, as tensors nobody has waited for.

    Attributes:
        loss: scalar of each batch of the update.
        q: [B, A] online action values of each batch, of every action, legal or not.
        q_taken: [B] values of the actions taken.
        target: [B] what they were moved towards.
        error: [B] what priorities are made of, where that is not ``td_error``.
        grad_norm: scalar, before clipping.
        lr: learning rate used.
    """

    loss: tuple[Tensor, ...]
    q: tuple[Tensor, ...]
    q_taken: tuple[Tensor, ...]
    target: tuple[Tensor, ...]
    error: tuple[Tensor | None, ...]
    grad_norm: Tensor
    lr: float

    def td_error(self) -> Tensor:
        """target - q of all batches, in order. float32 [sum of B]."""
        if len(self.target) == 1:
            return self.target[0] - self.q_taken[0]
        return torch.cat(self.target) - torch.cat(self.q_taken)

    def priorities(self) -> Tensor:
        """What priorities are made of, by the algorithm. float32 [sum of B]."""
        given = [error for error in self.error if error is not None]
        return torch.cat(given) if given else self.td_error()


class DQN:
    """(Double) DQN with n-step targets, Adam, gradient clipping and a target network.

    Args:
        network: online network, trained in place.
        target: same architecture; becomes a copy of `network` here.
        config: the update's options. `learner.device` is not read.
        n_actions: number of actions.
        device: where everything lives.
        total_updates: updates the run will make, for the learning-rate schedule. Whoever changes
            that on the way replaces `course`.
        algorithm: what is learned about returns, which the networks were built for; None is DQN.
        row: where networks and optimizer are to live, if they are one of a stack (``stacked``).

    Attributes:
        online: the network that learns.
        flow: looks at gradients for checks; None is nobody.
        gradient: how its gradient is computed: "by hand" for a built-in MLP on the CPU
            (``mlp_gradient``), "by autograd" for every other network.
        updates: optimizer steps so far.
        target_updates: target updates so far, counted where they are done;
            ``target_rule.expected_target_updates`` says what it must be.

    Raises:
        ValueError: the networks differ, nothing is trainable, or both target rules are set.
    """

    def __init__(
        self,
        network: nn.Module,
        target: nn.Module,
        config: LearnerConfig,
        n_actions: int,
        device: str | torch.device,
        total_updates: int,
        algorithm: AlgorithmConfig | None = None,
        row: Row | None = None,
    ) -> None:
        algorithm = algorithm or AlgorithmConfig()
        self.device = torch.device(device)
        self.config = config
        self.n_actions = n_actions
        self.course = Course(total_updates)
        self.updates = 0
        self.target_updates = 0
        self.online = network.to(self.device).train()
        self.target = target.to(self.device).eval().requires_grad_(False)
        self._target_period = target_period(config)
        learning = {n: p for n, p in network.named_parameters() if p.requires_grad}
        parameters = list(learning.values())
        if not parameters:
            raise ValueError("the network has no trainable parameters")
        rehome(self.online, row.online if row else None)
        rehome(self.target, row.target if row else None)
        self._pairs = _Pairs(self.online, self.target)
        self._pairs.copy()
        self._adam = Adam(parameters, config.adam_eps, row)
        plain = algorithm.name == "dqn" and not algorithm.munchausen
        self.gradient = "by hand" if plain and fits(self.online) else "by autograd"
        self._gradient: Gradient
        self._clipping: Clipping | None = None
        if self.gradient == "by hand":
            self._gradient = MlpGradient(self.online, self.target, config, self._adam)
        else:
            objective = objective_for(self.online, self.target, config, algorithm)
            self._gradient = AutogradGradient(objective, self._adam)
            self._clipping = getattr(objective, "clipping", None)
        self.flow: GradientFlow | None = GradientFlow(list(learning), self._adam.gradients)
        self._noisy = algorithm.noisy
        noisy.switch_on(self.target)
        self._recent: deque[UpdateStats] = deque(maxlen=STATS_KEPT)

    def update(self, batches: Sequence[TensorBatch]) -> UpdateStats:
        """One optimizer step on the mean gradient of the batches, then the target's rule.

        Batches of equal size give the gradient of one big batch (to rounding); networks with
        batch normalisation excepted.

        Args:
            batches: ``config.grad_accumulation`` of them.

        Returns:
            Tensors of this update; reading their values waits for the device.
        """
        # Dead units leave numbers too small to be normal, which a CPU computes many times slower: a
        # fifth of an update. Only here: environments in this process keep all their digits.
        torch.set_flush_denormal(True)
        try:
            return self._update(batches)
        finally:
            torch.set_flush_denormal(False)

    def _update(self, batches: Sequence[TensorBatch]) -> UpdateStats:
        self._pairs.recall()
        self._adam.settle()
        home = self._adam.parameters[0].device
        for batch in batches:
            if batch.state.device != home:
                raise ValueError(
                    f"a batch on {batch.state.device}, the network on {home}: bring batches to "
                    "the learner's device by `learning.batch.to_device`"
                )
        if self._noisy:
            for network in (self.online, self.target):
                noisy.resample(network)
        seen = self._gradient(batches)
        grad_norm = self._adam.clip(self.config.max_grad_norm)
        lr = lr_at(self.course.at(self.updates), self.config, self.course.length)
        self._adam.step(lr)
        self.updates += 1
        if self.target_is_due():
            self._update_target()
        loss, q, q_taken, target, error = zip(*seen, strict=True)
        stats = UpdateStats(loss, q, q_taken, target, error, grad_norm, lr)
        if self.updates % STATS_EVERY_UPDATES == 0 or not self._recent:
            self.note(stats)
        return stats

    def note(self, stats: UpdateStats) -> None:
        """Let ``stats()`` look at this update, the newest: its gradient still lies there."""
        self._recent.append(stats)
        if self.flow is not None:
            self.flow.look()

    def wants_stats(self) -> bool:
        """Whether the update after this one is to be noted."""
        return (self.updates + 1) % STATS_EVERY_UPDATES == 0 or not self._recent

    def target_is_due(self) -> bool:
        """Whether the target network changes after the update that has just been made."""
        return self.updates % self._target_period == 0

    def stats(self) -> dict[str, Any]:
        """Means over the sampled updates since the last call; empty before the first update.

        Keys: loss, q_mean, q_max_abs (maximum), td_abs_mean, td_p95 (of |TD error|), grad_norm
        (before clipping), lr (of the newest update), and those of ``GradientFlow.take`` and
        ``Clipping.take``. Means and maximum of q are over all actions, those that are not legal
        included. Waits for the device.
        """
        if not self._recent:
            return {}
        recent = list(self._recent)
        self._recent.clear()
        with torch.no_grad():
            q = torch.cat([q for stats in recent for q in stats.q])
            td = torch.cat([stats.td_error() for stats in recent]).abs()
            values = torch.stack(
                [
                    torch.stack([loss for stats in recent for loss in stats.loss]).mean(),
                    q.mean(),
                    q.abs().amax(),
                    td.mean(),
                    td.quantile(0.95),
                    torch.stack([stats.grad_norm for stats in recent]).mean(),
                ]
            ).tolist()
        names = ("loss", "q_mean", "q_max_abs", "td_abs_mean", "td_p95", "grad_norm")
        told: dict[str, Any] = dict(zip(names, values, strict=True))
        told |= {"lr": recent[-1].lr}
        for figures in (self.flow, self._clipping):
            told |= figures.take() if figures else {}
        return told

    def _update_target(self) -> None:
        self.target_updates += 1
        if self.config.tau is None:
            self._pairs.copy()
        else:
            self._pairs.blend(self.config.tau)

    # ---- one unit to save and restore ----------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """A CPU snapshot of networks, optimizer and counters that later updates do not change."""
        unit: dict[str, Any] = {
            "online": to_cpu(dict(self.online.state_dict())),
            "target": to_cpu(dict(self.target.state_dict())),
            "optimizer": to_cpu(self._adam.state()),
            "updates": self.updates,
            "target_updates": self.target_updates,
        }
        return unit | {"digest": digest(unit)}

    def begin_with(self, weights: dict[str, Tensor]) -> None:
        """Take over weights, online and target; optimizer and counters stay as they are.

        Args:
            weights: state of an online network.

        Raises:
            RestoreError: they do not fit this network; nothing has changed.
        """
        check_modules_fit("online", self.online.state_dict(), weights)
        self.online.load_state_dict(weights)
        self.target.load_state_dict(weights)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; on an error nothing has changed.

        Learning rate and Adam's options come from this learner's config, not from the state.

        Raises:
            RestoreError: parts are missing, do not belong together (optimizer state of other
                weights) or do not fit this network.
        """
        keys = {"online", "target", "optimizer", "updates", "target_updates", "digest"}
        if missing := keys - state.keys():
            raise RestoreError(f"a saved learner lacks {', '.join(sorted(missing))}")
        if digest({key: state[key] for key in keys - {"digest"}}) != state["digest"]:
            raise RestoreError(
                "networks, optimizer state and counters were not saved together: "
                "restore a whole checkpoint, never parts of several"
            )
        for name, module in (("online", self.online), ("target", self.target)):
            check_modules_fit(name, module.state_dict(), state[name])
        check_moments_fit(self._adam.parameters, state["optimizer"])
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self._adam.load_state(state["optimizer"])
        self.updates = int(state["updates"])
        self.target_updates = int(state["target_updates"])
        self._recent.clear()
        if self.flow is not None:
            self.flow.take()


class _Pairs:
    """The tensors of the online network beside those of the target."""

    def __init__(self, online: nn.Module, target: nn.Module) -> None:
        modules = online, target
        self._tables = [TensorTable(module) for module in modules]
        shapes = [
            {name: tuple(t.shape) for name, t in zip(table.names, table.tensors(), strict=True)}
            for table in self._tables
        ]
        parameters = [dict(module.named_parameters()) for module in modules]
        if shapes[0] != shapes[1] or parameters[0].keys() != parameters[1].keys():
            raise ValueError("online and target network have different parameters or buffers")
        self._spans = [Spans(list(found.values())) for found in parameters]
        # networks of one factory lie alike in memory, unless it is an odd one
        lengths = [[len(tensor) for tensor in spans.tensors] for spans in self._spans]
        self._online, self._target = (
            spans.tensors if lengths[0] == lengths[1] else spans.views(spans.tensors)
            for spans in self._spans
        )
        names = {name for name, _ in online.named_parameters(remove_duplicate=False)}
        self._is_buffer = [name not in names for name in self._tables[0].names]

    @torch.no_grad()
    def copy(self) -> None:
        self.recall()
        torch._foreach_copy_(self._target, self._online)
        self._copy_buffers()

    @torch.no_grad()
    def blend(self, tau: float) -> None:
        """Parameters move by tau; buffers (statistics, counters) are copied."""
        self.recall()
        torch._foreach_lerp_(self._target, self._online, tau)
        self._copy_buffers()

    def recall(self) -> None:
        """Bring parameters back whose memory somebody has replaced; see ``Spans.recall``."""
        for spans in self._spans:
            spans.recall()

    def _copy_buffers(self) -> None:
        if any(self._is_buffer):
            online, target = (
                list(itertools.compress(table.tensors(), self._is_buffer)) for table in self._tables
            )
            torch._foreach_copy_(target, online)
