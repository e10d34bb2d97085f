"""Acting: epsilon-greedy on a private copy of a network. The actors' hot path.

A forward of one row differs in bits from the same row in a larger batch, so whoever needs equal
bytes makes equal calls: one ``act`` per actor and vector step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tuitrain.learning.flatten import FlatModule
from tuitrain.learning.weights import Bytes

Actions = NDArray[np.int64]


class Policy:
    """A network to act with.

    Args:
        network: used, not copied; set to evaluation mode, moved to `device`, gradients off.
        n_actions: number of actions.
        device: where the forward runs.

    Attributes:
        version: of the weights in use; -1 before the first ``load``.
    """

    def __init__(
        self, network: nn.Module, n_actions: int, device: str | torch.device = "cpu"
    ) -> None:
        self.n_actions = n_actions
        self.version = -1
        self._device = torch.device(device)
        self._network = network.to(self._device).eval().requires_grad_(False)
        self._flat = FlatModule(self._network)
        self._cpu = self._device.type == "cpu"
        self._draws: NDArray[np.float64] = np.empty((2, 0))

    def act(self, stacked: NDArray[Any], epsilon: float, rng: np.random.Generator) -> Actions:
        """Epsilon-greedy actions.

        Takes exactly 2·B doubles from `rng` whatever `epsilon` is, so a changed schedule does
        not shift the numbers that come after.

        Args:
            stacked: [B, n_frames, *observation_shape] in the observation's dtype, C-contiguous.
            epsilon: probability of a uniformly random action, per row.
            rng: the actor's own generator.

        Returns:
            int64[B], a fresh array.
        """
        rows = len(stacked)
        if self._draws.shape[1] != rows:
            self._draws = np.empty((2, rows))
        draws = self._draws
        rng.random(out=draws)
        if epsilon <= 0.0:
            return self.greedy(stacked)
        random_actions: Actions = (draws[1] * self.n_actions).astype(np.int64)
        if epsilon >= 1.0:
            return random_actions  # warm-up: a forward would change nothing
        explore = draws[0] < epsilon
        actions = self.greedy(stacked)
        np.copyto(actions, random_actions, where=explore)
        return actions

    def greedy(self, stacked: NDArray[Any]) -> Actions:
        """The best actions, the lowest of equals. Input and output as in ``act``."""
        actions: Actions = self.values(stacked).argmax(1)
        return actions

    def values(self, stacked: NDArray[Any]) -> NDArray[np.float32]:
        """Action values, float32 [B, n_actions]."""
        with torch.inference_mode():
            x = torch.from_numpy(stacked)
            if self._cpu:
                q: NDArray[np.float32] = self._network(x).numpy()
            else:
                q = self._network(x.to(self._device)).cpu().numpy()
        return q

    def load(self, flat: Bytes, version: int) -> None:
        """Use other weights.

        Args:
            flat: uint8[layout.nbytes], as published; may be ``buffer``, which saves a copy.
            version: their publication number.
        """
        self._flat.load_bytes(flat)
        self.version = version

    @property
    def buffer(self) -> Bytes:
        """A vector to pull weights into before ``load``."""
        return self._flat.buffer
