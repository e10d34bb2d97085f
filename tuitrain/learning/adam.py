"""Adam (Kingma & Ba 2015) with gradient clipping, on a network's parameters as few long tensors.

What ``torch.optim.Adam`` comes down to. For a small network its bookkeeping (hooks, grouping, type
checks, one call per parameter) takes longer than the arithmetic. The gradient lives here too, in
tensors like the parameters', so that its norm is one operation as well. State is saved per
parameter, in torch's own format, so it does not depend on how parameters lie in memory.

All parameters count the same steps: one without a gradient in some update has a gradient of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from tuitrain.learning.spans import Spans
from tuitrain.learning.stack_memory import Row

_BETA1, _BETA2 = 0.9, 0.999


class Adam:
    """Moves parameters along the gradient that somebody has written into ``gradients``.

    Args:
        parameters: what learns; float tensors of one device.
        eps: added to the root of the second moment.
        row: memory for gradient, mean, square and the count of steps, if they are to lie somewhere;
            for parameters that lie side by side from the first on.

    Attributes:
        parameters: as given.
        gradients: of each parameter, in its shape; views of this object's own memory. After
            ``settle`` they are the parameters' ``.grad``, so that a backward adds to them.
    """

    def __init__(self, parameters: Sequence[Tensor], eps: float, row: Row | None = None) -> None:
        self.parameters = tuple(parameters)
        self._spans = Spans(parameters)
        self._eps = eps
        self._values = self._spans.tensors
        if row is None:
            own = [self._spans.zeros() for _ in range(3)]
            self._steps = [torch.zeros((), device=value.device) for value in self._values]
        else:
            (values,) = self._values
            own = [[given[: len(values)]] for given in row.moments]
            self._steps = [row.steps]
        self._gradients, self._mean, self._square = own
        self.gradients = self._spans.views(self._gradients)
        self._pairs = list(zip(self.parameters, self.gradients, strict=True))
        # one call for each: a fused call takes tensors of one dtype
        columns = (self._values, self._gradients, self._mean, self._square, self._steps)
        self._lists = [tuple([item] for item in row) for row in zip(*columns, strict=True)]

    def settle(self) -> None:
        """See that the parameters and their ``.grad`` lie where this object works on them.

        Raises:
            RuntimeError: see ``Spans.recall``.
        """
        self._spans.recall()
        for parameter, gradient in self._pairs:
            if parameter.grad is not gradient:
                parameter.grad = gradient

    def zero_gradients(self) -> None:
        """Set the gradient to zero."""
        for gradient in self._gradients:
            gradient.zero_()

    def clip(self, limit: float) -> Tensor:
        """Scale the gradient down to a norm of `limit` if it is longer; 0 is no limit.

        Returns:
            Its L2 norm before, a scalar.
        """
        gradients = self._gradients
        if len(gradients) == 1:
            norm: Tensor = torch.linalg.vector_norm(gradients[0])
        else:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if limit > 0:
            if norm.device.type == "cpu":  # reading the norm costs nothing here
                value = norm.item()
                if value > limit:
                    torch._foreach_mul_(gradients, limit / (value + 1e-6))
            else:
                torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    def step(self, lr: float) -> None:
        """One step with learning rate `lr`."""
        for value, gradient, mean, square, steps in self._lists:
            steps[0].add_(1)
            _step(value, gradient, mean, square, steps, lr, self._eps)

    def state(self) -> dict[int, dict[str, Tensor]]:
        """Moments and steps by the parameter's index, as ``torch.optim.Adam`` saves them.

        They are views: they change with the next step.
        """
        return {
            index: {"step": self._steps[0], "exp_avg": mean, "exp_avg_sq": square}
            for index, (mean, square) in enumerate(self._moments())
        }

    def load_state(self, state: dict[int, dict[str, Any]]) -> None:
        """Restore what ``state`` returned; a parameter that is not in it starts anew."""
        steps = max((float(saved["step"]) for saved in state.values()), default=0.0)
        for own in self._steps:
            own.fill_(steps)
        for index, (mean, square) in enumerate(self._moments()):
            for own, key in ((mean, "exp_avg"), (square, "exp_avg_sq")):
                if index in state:
                    own.copy_(state[index][key])
                else:
                    own.zero_()

    def _moments(self) -> list[tuple[Tensor, Tensor]]:
        views = (self._spans.views(tensors) for tensors in (self._mean, self._square))
        return list(zip(*views, strict=True))


class AdamStack:
    """Optimizers that step in one call, each with its own count of steps.

    Args:
        adams: of float32 parameters that lie side by side, with equal eps.
        steps: float32 [P], the memory of their counts.
    """

    def __init__(self, adams: Sequence[Adam], steps: Tensor) -> None:
        self._adams = list(adams)
        self._steps = steps
        self._eps = adams[0]._eps
        self._all = self._columns([True] * len(adams))

    def step(self, lr: float, which: Sequence[bool]) -> None:
        """``step`` of each optimizer that `which` says."""
        every = all(which)
        values, gradients, means, squares, steps = self._all if every else self._columns(which)
        if every:
            self._steps.add_(1)
        else:
            torch._foreach_add_(steps, 1)
        _step(values, gradients, means, squares, steps, lr, self._eps)

    def _columns(self, which: Sequence[bool]) -> list[list[Tensor]]:
        rows = [row for adam in compress(self._adams, which) for row in adam._lists]
        return [[cell for (cell,) in column] for column in zip(*rows, strict=True)]


def _step(
    values: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    lr: float,
    eps: float,
) -> None:
    """One step of tensors of one dtype; counts in `steps` are of this step."""
    torch._fused_adam_(
        values,
        gradients,
        means,
        squares,
        [],
        steps,
        lr=lr,
        beta1=_BETA1,
        beta2=_BETA2,
        weight_decay=0.0,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )
