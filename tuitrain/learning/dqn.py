"""The update: one optimizer step, then the target network by its rule. The learner's hot path.

This class alone changes the online network, the target network and the optimizer; it counts
both kinds of update and saves and restores all three as one unit. It knows batches, not where
they come from, and nothing of publishing, replay or processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from tuitrain.config.schema import LearnerConfig
from tuitrain.learning import losses
from tuitrain.learning.batch import TensorBatch, to_device
from tuitrain.learning.flatten import TensorTable
from tuitrain.learning.lr import lr_at
from tuitrain.learning.saved import (
    RestoreError,
    check_modules_fit,
    check_moments_fit,
    digest,
    to_cpu,
)
from tuitrain.learning.target_rule import target_period

__all__ = ["DQN", "RestoreError", "TensorBatch", "UpdateStats", "to_device"]

STATS_EVERY_UPDATES = 10
"""Statistics look at every tenth update: deterministic, and nearly free in between."""

STATS_KEPT = 16
"""At most so many of them are kept until ``stats()`` reduces them."""

_BETAS = (0.9, 0.999)  # Adam's (Kingma & Ba 2015)
_STATELESS = (nn.Linear, nn.Conv2d, nn.ReLU, nn.Flatten, nn.Sequential, nn.ModuleList, nn.Identity)


class UpdateStats(NamedTuple):
    """What one update saw, as tensors nobody has waited for.

    Attributes:
        loss: scalar of each batch of the update.
        q: [B, A] online action values of each batch.
        q_taken: [B] values of the actions taken.
        target: [B] what they were moved towards.
        grad_norm: scalar, before clipping.
        lr: learning rate used.
    """

    loss: tuple[Tensor, ...]
    q: tuple[Tensor, ...]
    q_taken: tuple[Tensor, ...]
    target: tuple[Tensor, ...]
    grad_norm: Tensor
    lr: float

    def td_error(self) -> Tensor:
        """target - q of all batches, in order. float32 [sum of B]."""
        return torch.cat(self.target) - torch.cat(self.q_taken)


class DQN:
    """(Double) DQN with n-step targets, Adam, gradient clipping and a target network.

    Args:
        network: online network, trained in place.
        target: same architecture; becomes a copy of `network` here.
        config: the update's options. `learner.device` is not read.
        n_actions: number of actions.
        device: where everything lives.
        total_updates: updates the run will make, for the learning-rate schedule.

    Attributes:
        online: the network that learns.
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
    ) -> None:
        self.device = torch.device(device)
        self.config = config
        self.n_actions = n_actions
        self.total_updates = total_updates
        self.updates = 0
        self.target_updates = 0
        self.online = network.to(self.device).train()
        self.target = target.to(self.device).eval().requires_grad_(False)
        self._target_period = target_period(config)
        self._parameters: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        if not self._parameters:
            raise ValueError("the network has no trainable parameters")
        self._lr = lr_at(0, config, total_updates)
        self._fused = self.device.type in ("cpu", "cuda")
        self._optimizer = torch.optim.Adam(
            self._parameters,
            lr=self._lr,
            betas=_BETAS,
            eps=config.adam_eps,
            fused=self._fused,
        )
        self._moments = self._collect_moments()
        # Modules that behave differently in training (normalisation, dropout) must choose and
        # value next actions as they would act; others are spared the walk through the tree.
        self._modal = any(
            not isinstance(m, _STATELESS) and not getattr(m, "stateless", False)
            for m in network.modules()
        )
        self._pairs = _Pairs(self.online, self.target)
        self._pairs.copy()
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
        for parameter in self._parameters:
            parameter.grad = None
        share = 1.0 / len(batches)
        seen = [self._accumulate(batch, share) for batch in batches]
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        grad_norm = self._clip(gradients)
        self._set_lr()
        self._step(gradients)
        self.updates += 1
        if self.updates % self._target_period == 0:
            self._update_target()
        loss, q, q_taken, target = zip(*seen, strict=True)
        stats = UpdateStats(loss, q, q_taken, target, grad_norm, self._lr)
        if self.updates % STATS_EVERY_UPDATES == 0 or not self._recent:
            self._recent.append(stats)
        return stats

    def stats(self) -> dict[str, float]:
        """Means over the sampled updates since the last call; empty before the first update.

        Keys: loss, q_mean, q_max_abs (maximum), td_abs_mean, td_p95 (of |TD error|), grad_norm
        (before clipping), lr (of the newest update). Waits for the device.
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
        return dict(zip(names, values, strict=True)) | {"lr": recent[-1].lr}

    # ---- one update, in pieces -----------------------------------------------------------------

    def _accumulate(
        self, batch: TensorBatch, share: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        goal = self._goal(batch)
        q = self.online(batch.state)
        q_taken = losses.take_actions(q, batch.action)
        if self.config.loss == "huber":
            loss = losses.huber(q_taken, goal, self.config.huber_delta, batch.weights)
        else:
            loss = losses.mse(q_taken, goal, batch.weights)
        torch.autograd.backward(loss if share == 1.0 else loss * share)
        return loss.detach(), q.detach(), q_taken.detach(), goal

    def _goal(self, batch: TensorBatch) -> Tensor:
        with torch.no_grad():
            next_q = self.target(batch.next_state)
            if self.config.double:
                if self._modal:
                    self.online.eval()
                online_next_q = self.online(batch.next_state)
                if self._modal:
                    self.online.train()
                value = losses.double_dqn_next_value(online_next_q, next_q)
            else:
                value = losses.max_next_value(next_q)
            return losses.td_target(batch.returns, batch.discount, value)

    def _clip(self, gradients: list[Tensor]) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        limit = self.config.max_grad_norm
        if limit > 0:
            if self.device.type == "cpu":  # reading the norm costs nothing here
                value = norm.item()
                if value > limit:
                    torch._foreach_mul_(gradients, limit / (value + 1e-6))
            else:
                torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    def _set_lr(self) -> None:
        lr = lr_at(self.updates, self.config, self.total_updates)
        if lr != self._lr:
            self._lr = lr
            for group in self._optimizer.param_groups:
                group["lr"] = lr

    def _step(self, gradients: list[Tensor]) -> None:
        if not self._moments or len(gradients) != len(self._parameters):
            self._optimizer.step()
            self._moments = self._collect_moments()
            return
        # What Optimizer.step() comes down to. Its bookkeeping (hooks, grouping, type checks) takes
        # longer than the arithmetic of a small network: 60 µs of a 600 µs update.
        mean, square, steps = self._moments
        with torch.no_grad():
            adam(
                self._parameters,
                gradients,
                mean,
                square,
                [],
                steps,
                fused=self._fused,
                amsgrad=False,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                lr=self._lr,
                weight_decay=0.0,
                eps=self.config.adam_eps,
                maximize=False,
            )

    def _collect_moments(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]] | None:
        state = self._optimizer.state
        if any(p not in state for p in self._parameters):
            return None
        mean, square, steps = (
            [state[p][key] for p in self._parameters] for key in ("exp_avg", "exp_avg_sq", "step")
        )
        return mean, square, steps

    def _update_target(self) -> None:
        self.target_updates += 1
        if self.config.tau is None:
            self._pairs.copy()
        else:
            self._pairs.blend(self.config.tau)

    # ---- one unit to save and restore ----------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """A CPU snapshot of networks, optimizer and counters that later updates do not change."""
        moments = self._optimizer.state_dict()["state"]
        unit: dict[str, Any] = {
            "online": to_cpu(dict(self.online.state_dict())),
            "target": to_cpu(dict(self.target.state_dict())),
            "optimizer": to_cpu(moments),
            "updates": self.updates,
            "target_updates": self.target_updates,
        }
        return unit | {"digest": digest(unit)}

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
        check_moments_fit(self._parameters, state["optimizer"])
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        groups = self._optimizer.state_dict()["param_groups"]  # these are not restored
        self._optimizer.load_state_dict({"state": state["optimizer"], "param_groups": groups})
        self._moments = self._collect_moments()
        self.updates = int(state["updates"])
        self.target_updates = int(state["target_updates"])
        self._recent.clear()


class _Pairs:
    """The tensors of the online network beside those of the target."""

    def __init__(self, online: nn.Module, target: nn.Module) -> None:
        self._online, self._target = TensorTable(online), TensorTable(target)
        shapes = [
            {name: tuple(t.shape) for name, t in zip(table.names, table.tensors(), strict=True)}
            for table in (self._online, self._target)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError("online and target network have different parameters or buffers")
        names = {name for name, _ in online.named_parameters(remove_duplicate=False)}
        self._is_parameter = [name in names for name in self._online.names]

    @torch.no_grad()
    def copy(self) -> None:
        torch._foreach_copy_(self._target.tensors(), self._online.tensors())

    @torch.no_grad()
    def blend(self, tau: float) -> None:
        """Parameters move by tau; buffers (statistics, counters) are copied."""
        online, target = self._online.tensors(), self._target.tensors()
        kinds = self._is_parameter
        torch._foreach_lerp_(
            [t for t, is_parameter in zip(target, kinds, strict=True) if is_parameter],
            [t for t, is_parameter in zip(online, kinds, strict=True) if is_parameter],
            tau,
        )
        if not all(kinds):
            torch._foreach_copy_(
                [t for t, is_parameter in zip(target, kinds, strict=True) if not is_parameter],
                [t for t, is_parameter in zip(online, kinds, strict=True) if not is_parameter],
            )
