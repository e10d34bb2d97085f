"""Acting: greedy where it should be, random where it should be, and no surprise for the stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tuitrain.learning.flatten import FlatModule
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy


class Identity(nn.Module):
    """The observation is the action values."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def observations(rows: int, actions: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, 1, actions), np.float32)


def test_greedy_takes_the_best_and_the_lowest_of_equals() -> None:
    policy = Policy(Identity(), 3)
    x = np.array([[[1, 5, 2]], [[7, 7, 0]], [[0, 0, 0]]], np.float32)
    assert policy.greedy(x).tolist() == [1, 0, 0]
    assert policy.greedy(x).dtype == np.int64
    assert policy.values(x).tolist() == x[:, 0].tolist()


@pytest.mark.parametrize("rows", [1, 8])
def test_rng_advances_equally_whatever_epsilon(rows: int) -> None:
    policy, x = Policy(Identity(), 3), observations(rows, 3)
    states = []
    for epsilon in (0.0, 1e-9, 0.3, 1.0):
        rng = np.random.default_rng(5)
        for _ in range(3):
            policy.act(x, epsilon, rng)
        states.append(rng.bit_generator.state["state"]["state"])
    reference = np.random.default_rng(5)
    reference.random(3 * 2 * rows)
    assert set(states) == {reference.bit_generator.state["state"]["state"]}


def test_epsilon_zero_is_greedy_and_one_is_uniform() -> None:
    policy, rng = Policy(Identity(), 4), np.random.default_rng(0)
    x = observations(1000, 4)
    assert (policy.act(x, 0.0, rng) == policy.greedy(x)).all()
    counts = np.bincount(policy.act(x, 1.0, rng), minlength=4)
    assert counts.sum() == 1000
    assert len(counts) == 4
    assert ((counts - 250) ** 2 / 250).sum() < 16.3, "chi-square, 3 degrees of freedom, p 0.001"


def test_epsilon_is_the_share_of_random_actions() -> None:
    policy, rng = Policy(Identity(), 2), np.random.default_rng(1)
    x = np.tile(np.array([[[0.0, 1.0]]], np.float32), (4000, 1, 1))
    # half of the random actions are greedy by chance, so 0.3 shows as 0.15
    share = (policy.act(x, 0.3, rng) == 0).mean()
    assert abs(share - 0.15) < 4 * np.sqrt(0.15 * 0.85 / 4000)


def test_same_row_explores_the_same_way_at_nearby_epsilon() -> None:
    """A row that explores at a small epsilon explores, with the same action, at a larger one."""
    policy, x = Policy(Identity(), 5), observations(500, 5)
    greedy = policy.greedy(x)
    small = policy.act(x, 0.2, np.random.default_rng(3))
    large = policy.act(x, 0.6, np.random.default_rng(3))
    explored = small != greedy
    assert explored.any()
    assert (large[explored] == small[explored]).all()


def test_results_are_the_callers_own() -> None:
    policy, rng = Policy(Identity(), 3), np.random.default_rng(0)
    for epsilon in (0.0, 0.5, 1.0):
        x = observations(6, 3)
        first = policy.act(x, epsilon, rng)
        kept = first.copy()
        policy.act(observations(6, 3, 9), epsilon, rng)
        assert (first == kept).all()
        first[:] = 0  # writable


def test_load_changes_weights_and_version_and_keeps_evaluation_mode() -> None:
    def network(seed: int) -> nn.Module:
        return build_network("mlp", (2, 3), "uint8", 4, seed=seed)

    policy, source = Policy(network(1), 4), network(2)
    assert policy.version == -1
    flat = FlatModule(source)
    out = np.empty(flat.layout.nbytes, np.uint8)
    flat.to_bytes(out)
    x = np.random.default_rng(0).integers(0, 256, (5, 2, 3)).astype(np.uint8)
    before = policy.values(x).copy()
    policy.load(out, 17)
    assert policy.version == 17
    assert not np.array_equal(policy.values(x), before)
    with torch.inference_mode():
        np.testing.assert_allclose(policy.values(x), source(torch.from_numpy(x)).numpy(), atol=1e-6)
    policy.buffer[:] = out
    policy.load(policy.buffer, 18)
    assert policy.version == 18
    with pytest.raises(ValueError, match=r"weights are uint8\[\d+\], got \[1\]"):
        policy.load(out[:1], 19)
    bad = Policy(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Identity()), 6)
    assert np.array_equal(bad.values(x[:, :, :].astype(np.float32)), x.reshape(5, 6))


def test_acting_does_not_change_the_network() -> None:
    body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3))
    policy = Policy(body, 3)
    for _ in range(3):
        policy.greedy(observations(4, 3))
    assert int(body[1].num_batches_tracked) == 0
