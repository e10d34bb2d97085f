"""Acting: epsilon-greedy on a private copy of a network. The actors' hot path.

A forward of one row differs in bits from the same row in a larger batch, so whoever needs equal
bytes makes equal calls: one ``act`` per actor and vector step. On the CPU numpy computes the
built-in MLP (``mlp_numpy``) and torch everything else: the network decides, never the schedule.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tuitrain.learning import noisy
from tuitrain.learning.flatten import FlatModule, rehome
from tuitrain.learning.mlp_numpy import NumpyMlp
from tuitrain.learning.weights_layout import Bytes

Actions = NDArray[np.int64]
Legal = NDArray[np.bool_]


class Policy:
    """A network to act with.

    Args:
        network: used, not copied; set to evaluation mode, moved to `device`, gradients off.
        n_actions: number of actions.
        device: where the forward runs.
        with_noise: whether noisy layers are noisy in ``act``; ``greedy`` and ``values`` then use
            the noise drawn last.

    Attributes:
        version: of the weights in use; -1 before the first ``load``.
        watched: what ``act`` was given where it was watched last, [n_frames, *observation_shape];
            None while it has not been.
        explored: bool[B], in which rows of the newest ``act`` the action was drawn at random; None
            if in none.
    """

    def __init__(
        self,
        network: nn.Module,
        n_actions: int,
        device: str | torch.device = "cpu",
        *,
        with_noise: bool = False,
    ) -> None:
        self.n_actions = n_actions
        self.version = -1
        self.watched: NDArray[Any] | None = None
        self._watch = -1
        self.explored: NDArray[np.bool_] | None = None
        self._device = torch.device(device)
        self._network = network.to(self._device).eval().requires_grad_(False)
        rehome(self._network)
        self._flat = FlatModule(self._network)
        self._cpu = self._device.type == "cpu"
        self._mlp: NumpyMlp | None = None
        if self._cpu and NumpyMlp.fits(self._network):
            self._flat.to_bytes(self.buffer)
            self._mlp = NumpyMlp(self._network, self._flat.layout, self.buffer)
        self._draws: NDArray[np.float64] = np.empty((2, 0))
        self._with_noise = with_noise and bool(noisy.noisy_layers(self._network))
        if self._with_noise:
            noisy.switch_on(self._network)

    @property
    def device(self) -> str:
        """Where its parameters are; empty if it has none."""
        return ", ".join(sorted({str(p.device) for p in self._network.parameters()}))

    def act(
        self,
        stacked: NDArray[Any],
        epsilon: float,
        rng: np.random.Generator,
        legal: Legal | None = None,
    ) -> Actions:
        """Epsilon-greedy actions.

        Takes exactly 2·B doubles from `rng` whatever `epsilon` is and whatever is legal, and with
        noise as many numbers as that needs, so a changed schedule does not shift the numbers that
        come after.

        Args:
            stacked: [B, n_frames, *observation_shape] in the observation's dtype, C-contiguous.
            epsilon: probability of a uniformly random action, per row.
            rng: the actor's own generator.
            legal: [B, n_actions], in no row all False; None is all of them. Neither a random
                action nor a greedy one is ever another.

        Returns:
            int64[B], a fresh array.
        """
        if self._watch >= 0:
            self.watched, self._watch = stacked[self._watch].copy(), -1
        rows = len(stacked)
        if self._draws.shape[1] != rows:
            self._draws = np.empty((2, rows))
        draws = self._draws
        rng.random(out=draws)
        if self._with_noise:
            noisy.resample(
                self._network, lambda n: torch.from_numpy(rng.standard_normal(n, np.float32))
            )
        if epsilon <= 0.0:
            self.explored = None
            return self.greedy(stacked, legal)
        self.explored = explore = draws[0] < epsilon
        exploring = np.count_nonzero(explore)
        if exploring == rows:  # a forward would change nothing
            return self._random(draws[1], legal)
        actions = self.greedy(stacked, legal)
        if exploring:
            np.copyto(actions, self._random(draws[1], legal), where=explore)
        return actions

    def watch(self, row: int) -> None:
        """Keep what the next ``act`` is given in this row of its batch, as ``watched``."""
        self.watched, self._watch = None, row

    def _random(self, draws: NDArray[np.float64], legal: Legal | None) -> Actions:
        actions: Actions
        if legal is None:
            actions = (draws * self.n_actions).astype(np.int64)
            return actions
        # the k-th legal one is the first up to which more than k are legal
        k = (draws * legal.sum(1)).astype(np.int64)
        actions = (legal.cumsum(1) > k[:, None]).argmax(1)
        return actions

    def greedy(self, stacked: NDArray[Any], legal: Legal | None = None) -> Actions:
        """The best legal actions, the lowest of equals. Input and output as in ``act``."""
        values = self.values(stacked)
        if legal is not None:
            values = np.where(legal, values, np.float32(-np.inf))
        actions: Actions = values.argmax(1)
        return actions

    def values(self, stacked: NDArray[Any]) -> NDArray[np.float32]:
        """Action values, legal or not, float32 [B, n_actions], valid until the next call."""
        if self._mlp is not None:
            return self._mlp.values(stacked)
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
        if self._mlp is None:
            self._flat.load_bytes(flat)
        elif flat is not self.buffer:
            if flat.shape != self.buffer.shape:
                raise ValueError(f"weights are uint8[{self.buffer.size}], got {list(flat.shape)}")
            np.copyto(self.buffer, flat)
        self.version = version

    def state_dict(self) -> dict[str, Tensor]:
        """The weights in use as the state of the network, without a copy where that can be."""
        if self._mlp is not None:
            self._flat.load_bytes(self.buffer)  # numpy computes with these alone
        return dict(self._network.state_dict())

    @property
    def buffer(self) -> Bytes:
        """A vector to pull weights into before ``load``. Nothing may be acted with in between."""
        return self._flat.buffer
