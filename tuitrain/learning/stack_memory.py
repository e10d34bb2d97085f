"""Where the learners of a stack live: matrices with a row for each.

A row is what ``flatten.rehome`` and ``Adam`` would otherwise allocate for themselves, so a learner
does not notice. Knows layouts, not what is done with them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tuitrain.learning.weights_layout import WeightsLayout


class Row(NamedTuple):
    """Where one policy's learner is to live.

    Attributes:
        online, target: uint8 [nbytes], zeros.
        moments: float32 [nbytes / 4] three times, zeros: gradient, mean, square.
        steps: float32 scalar, zero: Adam's count.
    """

    online: Tensor
    target: Tensor
    moments: tuple[Tensor, Tensor, Tensor]
    steps: Tensor


class StackMemory:
    """Memory of `policies` learners whose networks have this layout, a row each.

    Raises:
        ValueError: the layout has something else than float32 in it.
    """

    def __init__(self, layout: WeightsLayout, policies: int) -> None:
        if any(dtype != "float32" for _, dtype, _ in layout.entries):
            raise ValueError("only networks of nothing but float32 can be stacked")
        self.layout = layout
        self.policies = policies
        self.online, self.target = (
            torch.zeros(policies, layout.nbytes, dtype=torch.uint8) for _ in range(2)
        )
        self.gradient, self.mean, self.square = (
            torch.zeros(policies, layout.nbytes // 4) for _ in range(3)
        )
        self.steps = torch.zeros(policies)

    def row(self, index: int) -> Row:
        """Where learner `index` is to live."""
        moments = self.gradient[index], self.mean[index], self.square[index]
        return Row(self.online[index], self.target[index], moments, self.steps[index])

    def by_name(self, matrix: Tensor) -> dict[str, Tensor]:
        """One of the matrices as [P, *shape] per parameter."""
        values = matrix.view(torch.float32)
        return {
            name: values[:, offset // 4 : (offset + size) // 4].view(self.policies, *shape)
            for (name, _, shape), offset, size in zip(
                self.layout.entries, self.layout.offsets, self.layout.sizes, strict=True
            )
        }
