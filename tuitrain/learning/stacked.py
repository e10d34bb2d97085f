"""Several policies of one architecture, updated as one: one gradient, one Adam step, one target.

The learners stay what they are. Their networks, gradients and moments only come to lie in the rows
of common matrices (``StackMemory``), so that one operation does for all what each would do for
itself, and each can still be saved, published or updated alone. An update of the stack equals one
update of each up to the rounding of its products. Counters, learning rates, Adam's step counts and
target updates are each learner's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tuitrain.learning.adam import AdamStack
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.dqn import DQN, UpdateStats
from tuitrain.learning.lr import lr_at
from tuitrain.learning.stack_memory import StackMemory
from tuitrain.learning.stacked_mlp import StackedMlpGradient, StackedSeen


class Stack:
    """Learners that live in the rows of one memory, in order.

    Args:
        learners: with equal configs, whose gradients are computed by hand.
        memory: theirs.

    Raises:
        ValueError: learners that cannot be stacked, or that live elsewhere.
    """

    def __init__(self, learners: Sequence[DQN], memory: StackMemory) -> None:
        first = learners[0]
        if len(learners) != memory.policies or any(
            learner.gradient != "by hand" or learner.config != first.config for learner in learners
        ):
            raise ValueError("these learners cannot be stacked")
        for learner, row in zip(learners, memory.online, strict=True):
            if next(learner.online.parameters()).data_ptr() != row.data_ptr():
                raise ValueError("a learner does not live in the memory of its stack")
        self.learners = list(learners)
        self._memory = memory
        self._adams = AdamStack([learner._adam for learner in learners], memory.steps)
        self._limit = first.config.max_grad_norm
        self._tau = first.config.tau
        self._gradient = StackedMlpGradient(
            first.online,
            memory.by_name(memory.online),
            memory.by_name(memory.target),
            memory.by_name(memory.gradient),
            first.config,
        )

    def update(self, batches: Sequence[TensorBatch]) -> Tensor:
        """One update of every learner; see ``DQN.update``.

        Args:
            batches: `grad_accumulation` of them, each column [P, B, ...]: row p is learner p's.

        Returns:
            TD errors, float32 [P, sum of B].
        """
        torch.set_flush_denormal(True)
        try:
            return self._update(batches)
        finally:
            torch.set_flush_denormal(False)

    @torch.inference_mode()  # half the price of no_grad: views and versions are not kept
    def _update(self, batches: Sequence[TensorBatch]) -> Tensor:
        share = 1.0 / len(batches)
        noted = [p for p, learner in enumerate(self.learners) if learner.wants_stats()]
        seen = []
        for index, batch in enumerate(batches):
            shown = self._gradient(batch, share, index > 0)
            seen.append(shown._replace(q=shown.q.clone()) if noted else shown)
        norms = torch.linalg.vector_norm(self._memory.gradient, dim=1)
        self._clip(norms)
        lrs = self._step()
        for learner in self.learners:
            learner.updates += 1
        self._update_targets()
        for p in noted:
            self._note(p, seen, norms, lrs[p])
        errors = [shown.target - shown.q_taken for shown in seen]
        return errors[0] if len(errors) == 1 else torch.cat(errors, 1)

    def _clip(self, norms: Tensor) -> None:
        """Scale each learner's gradient down to the limit if it is longer."""
        lengths = norms.tolist()
        if self._limit <= 0 or max(lengths) <= self._limit:
            return
        for gradient, norm in zip(self._memory.gradient, lengths, strict=True):
            if norm > self._limit:
                gradient.mul_(self._limit / (norm + 1e-6))

    def _step(self) -> list[float]:
        """One step of Adam; returns each learner's learning rate."""
        lrs = [
            lr_at(dqn.course.at(dqn.updates), dqn.config, dqn.course.length)
            for dqn in self.learners
        ]
        for lr in dict.fromkeys(lrs):  # one, unless updates made so far differ
            self._adams.step(lr, [own == lr for own in lrs])
        return lrs

    def _update_targets(self) -> None:
        due = [learner for learner in self.learners if learner.target_is_due()]
        if len(due) < len(self.learners):
            for learner in due:
                learner._update_target()
            return
        for learner in due:
            learner.target_updates += 1
        memory = self._memory
        if self._tau is None:
            memory.target.copy_(memory.online)
        else:
            online = memory.online.view(torch.float32)
            memory.target.view(torch.float32).lerp_(online, self._tau)

    def _note(self, p: int, seen: Sequence[StackedSeen], norms: Tensor, lr: float) -> None:
        loss, q, q_taken, target = (
            tuple(column[p] for column in columns) for columns in zip(*seen, strict=True)
        )
        nothing = (None,) * len(seen)
        self.learners[p].note(UpdateStats(loss, q, q_taken, target, nothing, norms[p], lr))


def stack_batches(batches: Sequence[TensorBatch], updates: int = 1) -> list[TensorBatch]:
    """Batches of several policies as one.

    Args:
        batches: each policy's, of equal form; `updates` batches of equal length one after another.

    Returns:
        `updates` batches whose columns are [P, B, ...]: copies, contiguous.
    """
    columns: list[list[Tensor | None]] = []
    for parts in zip(*batches, strict=True):
        if parts[0] is None:
            columns.append([None] * updates)
            continue
        rows = [part.unflatten(0, (updates, len(part) // updates)) for part in parts]
        columns.append(list(torch.stack(rows, 1).unbind(0)))
    return [TensorBatch(*row) for row in zip(*columns, strict=True)]
