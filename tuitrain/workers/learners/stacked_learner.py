"""Learning for several policies as one: each draws for itself, one update is made for all."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction

from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.stack_memory import StackMemory
from tuitrain.learning.stacked import Stack, stack_batches
from tuitrain.metrics.phases import UNTIMED, Phases
from tuitrain.replay.window import Int
from tuitrain.workers.learners.policy_learner import PolicyLearner


class StackedLearner:
    """Learners of one bundle, whose updates are made as one.

    Each draws its own batches as if it were alone, from its own stream; only what is drawn comes to
    lie together. A learner may be updated alone in between.

    Args:
        parts: in the order of the rows of `memory`, in which they live.
    """

    def __init__(self, parts: list[PolicyLearner], memory: StackMemory) -> None:
        self._parts = parts
        self._stack = Stack([part.dqn for part in parts], memory)
        self._drawn: deque[TensorBatch] = deque()
        self._drawn_rows: list[deque[tuple[Int, Int]]] = [deque() for _ in parts]

    @property
    def must_draw(self) -> bool:
        """Whether ``draw`` must come before the next ``update``."""
        return not self._drawn

    def draw(
        self,
        inserts: Sequence[int],
        ratios: Sequence[tuple[Fraction, int, int]],
        updates: int,
        phases: Phases = UNTIMED,
    ) -> bool:
        """Draw the batches of the next `updates` updates of all, or of the first of them.

        Args:
            inserts: transitions committed so far, per policy of the run.
            ratios: likewise, of ``Limiter.ratios``; in a round they are followed already.

        Returns:
            False, and nothing is drawn, if one of them has nothing to draw from.
        """
        for part in self._parts:
            if part.window is None:
                part.follow(ratios[part.place])
        windows = [part.window or part.pin(inserts[part.place]) for part in self._parts]
        try:
            if not all(window.sampleable for window in windows):
                return False
            sampled = [
                part.sample(window, updates, phases)
                for part, window in zip(self._parts, windows, strict=True)
            ]
        finally:
            for part in self._parts:
                if part.window is None:
                    part.reader.unpin()
        drawn = [batch for batch, _ in sampled]
        for kept, (_, rows) in zip(self._drawn_rows, sampled, strict=True):
            kept.extend(rows)
        phases.enter("copy")
        batches = len(drawn[0].action) // self._parts[0].config.batch_size
        self._drawn.extend(stack_batches(drawn, batches))
        return True

    def update(self, phases: Phases = UNTIMED) -> None:
        """One gradient step of each on batches that have been drawn."""
        phases.enter("update")
        count = self._parts[0].config.grad_accumulation
        errors = self._stack.update([self._drawn.popleft() for _ in range(count)])
        if not self._drawn_rows[0]:
            return
        phases.enter("priorities")
        for part, kept, error in zip(self._parts, self._drawn_rows, errors.numpy(), strict=True):
            part.prioritize([kept.popleft() for _ in range(count)], error)
