"""What the support of C51 cuts off its targets, against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.distributional import c51_project, c51_support
from tuitrain.learning.objectives import LOOK_EVERY_BATCHES, Clipping


def seen(clipping: Clipping, returns: list[float], discount: float, at: list[float]) -> None:
    """Let it look at a batch whose next states are worth `at`, on a support from -1 to 1."""
    support = c51_support(-1.0, 1.0, 5)
    paid = torch.tensor(returns)
    probs = torch.stack([(support == value).float() for value in at])
    nothing = torch.zeros(len(returns), 1)
    batch = TensorBatch(
        state=nothing,
        next_state=nothing,
        action=torch.zeros(len(returns), dtype=torch.int64),
        returns=paid,
        discount=torch.full((len(returns),), discount),
    )
    goal = c51_project(probs, paid, batch.discount, support)
    for _ in range(LOOK_EVERY_BATCHES):
        clipping.look(batch, probs, goal @ support, support)


@pytest.mark.parametrize(
    ("returns", "discount", "at", "share"),
    [
        ([3.0], 0.9, [1.0], 2.9 / 3),  # 3.9 is wanted, and 1 is all there is
        ([-3.0], 0.9, [-1.0], 2.9 / 3),
        ([0.1], 0.9, [1.0], 0.0),  # 0.1 / (1 - 0.9) is 1
        ([0.2], 0.9, [1.0], 0.5),  # values would be twice as large
        ([3.0, 0.0], 0.0, [0.0, 1.0], 2 / 3),
    ],
)
def test_what_the_support_cuts_off(
    returns: list[float], discount: float, at: list[float], share: float
) -> None:
    clipping = Clipping()
    seen(clipping, returns, discount, at)
    assert clipping.take()["returns_clipped_share"] == pytest.approx(share, abs=1e-3)
    assert clipping.take() == {}, "it begins anew"


def test_what_fits_is_not_clipped() -> None:
    """▣ Sums of many probabilities are rounded, which is none of it where little is paid."""
    clipping = Clipping()
    seen(clipping, [1e-6] * 3, 0.999, [0.5, -0.5, 1.0])
    assert clipping.take() == {"returns_clipped_share": 0.0}
    seen(clipping, [0.0], 0.5, [1.0])
    assert clipping.take() == {}, "nothing was paid"
