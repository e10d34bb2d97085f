"""Networks that give distributions of returns, around the same bodies.

Whatever is learned, calling the network gives expected returns [B, A], so who acts, evaluates or
plots needs to know no algorithm. What the learner compares comes from methods of its own. Knows
nothing of losses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.learning.bodies import Convolutional, Mlp
from tuitrain.learning.distributional import c51_support, midpoints


class QNetwork(nn.Module):
    """Turns integer observations to float32 and passes them to the network proper.

    Args:
        body: float32 [B, n_frames, *observation_shape] -> [B, n_actions].
        input_scale: uint8 observations are divided by this; float ones pass unchanged.
    """

    stateless = True

    def __init__(self, body: nn.Module, input_scale: float) -> None:
        super().__init__()
        self.body = body
        self.input_scale = input_scale

    def prepare(self, x: Tensor) -> Tensor:
        """Observations as the body wants them: float32, and contiguous, as ``view`` needs it."""
        if x.dtype == torch.uint8:
            return x.to(torch.float32, memory_format=torch.contiguous_format).div_(self.input_scale)
        return x.contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *observation_shape] of the observation dtype -> q [B, n_actions]."""
        q: Tensor = self.body(self.prepare(x))
        return q


class CategoricalNetwork(QNetwork):
    """C51: a probability for each of Z returns (Bellemare et al. 2017).

    Args:
        body: gives [B, A, Z].
        input_scale: as in ``QNetwork``.
        v_min, v_max, atoms: the returns, see ``distributional.c51_support``.
    """

    support: Tensor

    def __init__(
        self, body: nn.Module, input_scale: float, v_min: float, v_max: float, atoms: int
    ) -> None:
        super().__init__(body, input_scale)
        self.register_buffer("support", c51_support(v_min, v_max, atoms), persistent=False)

    def logits(self, x: Tensor) -> Tensor:
        """[B, A, Z] logits of the atoms."""
        found: Tensor = self.body(self.prepare(x))
        return found

    def expect(self, logits: Tensor) -> Tensor:
        """Expected returns of logits: [B, A, Z] -> [B, A]."""
        return functional.softmax(logits, 2) @ self.support

    def forward(self, x: Tensor) -> Tensor:
        """Expected returns [B, A]."""
        return self.expect(self.logits(x))


class QuantileNetwork(QNetwork):
    """QR-DQN: N quantiles per action, of the fractions ``distributional.midpoints(N)``.

    The body gives [B, A, N] (Dabney et al. 2018a).
    """

    def quantiles(self, x: Tensor) -> Tensor:
        """[B, A, N]."""
        found: Tensor = self.body(self.prepare(x))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Expected returns [B, A]."""
        return self.quantiles(x).mean(2)


class ImplicitNetwork(QNetwork):
    """IQN: the quantile of any fraction asked for (Dabney et al. 2018b).

    A fraction becomes cosines, a linear layer and ReLU, and multiplies the body's features.

    Args:
        body: a built-in one: ``features`` and ``heads`` are used.
        input_scale: as in ``QNetwork``.
        cosines: features that a fraction is described by.
        acting: evenly spaced fractions over which ``forward`` takes the mean. The paper draws
            them; fixed ones give equal actions for equal states.
    """

    acting: Tensor
    frequencies: Tensor

    def __init__(
        self, body: Mlp | Convolutional, input_scale: float, cosines: int, acting: int
    ) -> None:
        super().__init__(body, input_scale)
        self._own = [body]  # typed, and not registered twice
        self.embedding = nn.Linear(cosines, body.n_features)
        frequencies = torch.arange(cosines, dtype=torch.float32) * math.pi
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.register_buffer("acting", midpoints(acting), persistent=False)

    def quantiles(self, x: Tensor, taus: Tensor) -> Tensor:
        """Quantiles of every action.

        Args:
            x: [B, n_frames, *observation_shape].
            taus: [B, N] or [N] fractions in (0, 1).

        Returns:
            [B, N, A].
        """
        (body,) = self._own
        features = body.features(self.prepare(x))
        cosines = torch.cos(taus[..., None] * self.frequencies)
        embedded = functional.relu(self.embedding(cosines))  # [B, N, F] or [N, F]
        mixed = features[:, None, :] * embedded
        found = body.heads.forward(mixed.flatten(0, 1))
        return found.view(len(features), -1, found.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        """Expected returns [B, A]."""
        return self.quantiles(x, self.acting).mean(1)


def outputs_per_action(algorithm: AlgorithmConfig) -> int:
    """Numbers per action that an algorithm's body gives."""
    return {"c51": algorithm.atoms, "qr-dqn": algorithm.quantiles}.get(algorithm.name, 1)


def wrap(body: nn.Module, input_scale: float, algorithm: AlgorithmConfig) -> QNetwork:
    """The network of an algorithm around a body that gives ``outputs_per_action``."""
    if algorithm.name == "c51":
        return CategoricalNetwork(
            body, input_scale, algorithm.v_min, algorithm.v_max, algorithm.atoms
        )
    if algorithm.name == "qr-dqn":
        return QuantileNetwork(body, input_scale)
    if algorithm.name == "iqn":
        assert isinstance(body, Mlp | Convolutional)
        return ImplicitNetwork(body, input_scale, algorithm.cosines, algorithm.acting_quantiles)
    return QNetwork(body, input_scale)
