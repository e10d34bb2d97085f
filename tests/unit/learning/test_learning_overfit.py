"""Learning one batch by heart, and who cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.networks import build_network
from tuitrain.learning.overfit import Overfit, overfit

FEATURES, ACTIONS, ROWS = 4, 3, 64


def batch(states: Tensor | None = None) -> TensorBatch:
    rng = torch.Generator().manual_seed(1)
    shape = ROWS, 1, FEATURES
    return TensorBatch(
        state=torch.randn(shape, generator=rng) if states is None else states,
        next_state=torch.randn(shape, generator=rng),
        action=torch.randint(ACTIONS, (ROWS,), generator=rng),
        returns=torch.randn(ROWS, generator=rng),
        discount=torch.full((ROWS,), 0.9),
    )


class Detached(nn.Module):
    """A network of one's own, whose first layer learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(FEATURES, 64)
        self.head = nn.Linear(64, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, F] to [B, A]."""
        out: Tensor = self.head(torch.relu(self.body(x.flatten(1))).detach())
        return out


def mlp(algorithm: AlgorithmConfig) -> Callable[[], nn.Module]:
    return lambda: build_network(
        "mlp", (1, FEATURES), "float32", ACTIONS, False, {"hidden": [64]}, 1, algorithm
    )


def tried(
    build: Callable[[], nn.Module] | None = None,
    algorithm: AlgorithmConfig | None = None,
    data: TensorBatch | None = None,
    **learner: float,
) -> Overfit:
    algorithm = algorithm or AlgorithmConfig()
    return overfit(
        build or mlp(algorithm),
        [data or batch()],
        LearnerConfig(**({"lr": 1e-3} | learner)),  # type: ignore[arg-type]
        ACTIONS,
        algorithm,
        updates=500,
        over=lambda: False,
    )


@pytest.mark.parametrize(
    "name", ["dqn", "c51", pytest.param("qr-dqn", marks=pytest.mark.long), "iqn"]
)
def test_what_can_learn_learns_it(name: str) -> None:
    found = tried(algorithm=AlgorithmConfig(name=name))  # type: ignore[arg-type]
    assert found.after < 0.5 * found.before
    assert (found.unmoved, found.updates) == ((), 500)
    assert found.floor == pytest.approx(0.0, abs=1e-6)


def test_a_learning_rate_of_nothing() -> None:
    found = tried(lr=1e-12)
    assert found.after > 0.9 * found.before


def test_a_detached_layer_is_named() -> None:
    found = tried(Detached)
    assert found.unmoved == ("body.weight", "body.bias")
    assert found.tensors == 4


def test_what_nobody_could_learn_is_told() -> None:
    """All observations are the same: the best that can be said is a mean."""
    found = tried(data=batch(torch.ones(ROWS, 1, FEATURES)))
    assert found.after > 0.5 * found.before
    assert found.floor == pytest.approx(found.after, rel=0.1)


def test_it_ends_when_time_is_up() -> None:
    left = iter([False, False, True])
    found = overfit(
        mlp(AlgorithmConfig()),
        [batch()],
        LearnerConfig(),
        ACTIONS,
        AlgorithmConfig(),
        updates=500,
        over=lambda: next(left),
    )
    assert found.updates == 3
