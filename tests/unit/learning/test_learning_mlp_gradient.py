"""The gradient written by hand against autograd's, in every combination of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning import mlp_gradient
from tuitrain.learning.adam import Adam
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.bodies import HeadForm, Mlp
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.dqn import DQN
from tuitrain.learning.gradient import AutogradGradient, Gradient, Seen
from tuitrain.learning.mlp_gradient import MlpGradient, fits
from tuitrain.learning.networks import build_network
from tuitrain.learning.objectives import TdObjective

TOLERANCE = 1e-6
"""Largest difference of an element, in gradient norms: float32 and another order of additions.

Where the rows' gradients cancel, in sums of their norms: that is what rounding is relative to.
"""

SHAPE = (2, 3)


def mlp(seed: int = 0, **options: Any) -> QNetwork:
    given: dict[str, Any] = {"n_actions": 3, "dueling": False, "hidden": [7, 5], "dtype": "float32"}
    given |= options
    return build_network(
        "mlp",
        SHAPE,
        given["dtype"],
        given["n_actions"],
        given["dueling"],
        {"hidden": given["hidden"]},
        seed,
    )


def batch(
    seed: int,
    rows: int,
    n_actions: int,
    dtype: str,
    weighted: bool,
    stop: bool,
    overlap: bool,
    masked: bool = False,
) -> TensorBatch:
    """Random transitions; with `overlap` states and next states are windows of one array."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(rows, SHAPE[0] + 1, *SHAPE[1:])).astype(np.float32)
    if dtype == "uint8":
        frames = rng.integers(0, 256, frames.shape, np.uint8)
    state, following = frames[:, :-1], frames[:, 1:]
    if not overlap:
        state, following = state.copy(), following.copy()
    discount = np.zeros(rows, np.float32) if stop else rng.choice([0, 0.9], rows)
    legal = torch.from_numpy(rng.random((2, rows, n_actions)) < 0.5)
    legal[:, torch.arange(rows), torch.from_numpy(rng.integers(0, n_actions, rows))] = True
    return TensorBatch(
        torch.from_numpy(state),
        torch.from_numpy(following),
        torch.from_numpy(rng.integers(0, n_actions, rows)),
        torch.from_numpy(rng.normal(size=rows).astype(np.float32) * 3),
        torch.from_numpy(discount.astype(np.float32)),
        torch.from_numpy(rng.random(rows, np.float32)) if weighted else None,
        *(legal if masked else ()),
    )


def both(
    config: LearnerConfig, online: QNetwork, target: QNetwork, batches: list[TensorBatch]
) -> list[tuple[list[Tensor], list[Seen]]]:
    """Gradients and what was seen: by autograd, and by hand."""
    results = []
    for by_hand in (False, True):
        adam = Adam(list(online.parameters()), 1e-8)
        adam.settle()
        gradient: Gradient
        if by_hand:
            gradient = MlpGradient(online, target, config, adam)
        else:
            objective = TdObjective(online, target, config, AlgorithmConfig())
            gradient = AutogradGradient(objective, adam)
        gradient(batches[::-1])  # what was there before must not matter
        seen = gradient(batches)
        results.append(([g.clone() for g in adam.gradients], seen))
    return results


def difference(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference of an element over the norm of all."""
    a, b = (torch.cat([t.reshape(-1) for t in tensors]).double() for tensors in (mine, theirs))
    return float((a - b).abs().max() / max(float(b.norm()), 1e-12))


def terms(
    config: LearnerConfig, online: QNetwork, target: QNetwork, batches: list[TensorBatch]
) -> float:
    """Sum of the norms of each row's share of the gradient; the gradient's own if none cancels."""
    adam = Adam(list(online.parameters()), 1e-8)
    adam.settle()
    gradient = AutogradGradient(TdObjective(online, target, config, AlgorithmConfig()), adam)
    norms = []
    for rows in batches:
        for row in range(len(rows.state)):
            alone = (None if column is None else column[row : row + 1] for column in rows)
            gradient([TensorBatch(*alone)])
            norm = torch.cat([g.reshape(-1) for g in adam.gradients]).double().norm()
            norms.append(float(norm) / len(rows.state) / len(batches))
    return sum(norms)


def compare(options: dict[str, Any], changes: dict[str, Any], **of_batch: Any) -> float:
    """Difference of the two gradients for one choice; asserts that they saw the same."""
    config = LearnerConfig.model_validate({"loss": "huber", **changes})
    online, target = mlp(1, **options), mlp(2, **options)
    batches = [
        batch(seed, **of_batch, n_actions=options.get("n_actions", 3), dtype=online_dtype(options))
        for seed in range(config.grad_accumulation)
    ]
    (theirs, seen), (mine, looked) = both(config, online, target, batches)
    for a, b in zip(seen, looked, strict=True):
        for name, x, y in zip(Seen._fields[:4], a[:4], b[:4], strict=True):
            torch.testing.assert_close(y, x, rtol=1e-5, atol=1e-5, msg=name)
    found = difference(mine, theirs)
    if found >= TOLERANCE:
        norm = float(torch.cat([g.reshape(-1) for g in theirs]).double().norm())
        found *= norm / terms(config, online, target, batches)
    return found


def online_dtype(options: dict[str, Any]) -> str:
    return str(options.get("dtype", "float32"))


@settings(max_examples=150, deadline=None)
@given(
    options=st.fixed_dictionaries(
        {
            "n_actions": st.integers(1, 4),
            "dueling": st.booleans(),
            "hidden": st.lists(st.integers(1, 12), max_size=3),
            "dtype": st.sampled_from(["float32", "uint8"]),
        }
    ),
    changes=st.fixed_dictionaries(
        {
            "double": st.booleans(),
            "loss": st.sampled_from(["huber", "mse"]),
            "huber_delta": st.sampled_from([0.1, 1.0, 5.0]),
            "grad_accumulation": st.integers(1, 3),
        }
    ),
    rows=st.integers(1, 20),
    weighted=st.booleans(),
    stop=st.booleans(),
    overlap=st.booleans(),
    masked=st.booleans(),
)
def test_equals_autograd(
    options: dict[str, Any],
    changes: dict[str, Any],
    rows: int,
    weighted: bool,
    stop: bool,
    overlap: bool,
    masked: bool,
) -> None:
    found = compare(
        options,
        changes,
        rows=rows,
        weighted=weighted,
        stop=stop,
        overlap=overlap,
        masked=masked,
    )
    assert found < TOLERANCE


def test_equals_autograd_where_the_rows_nearly_cancel() -> None:
    """The sum is a hundredth of its terms, and so is what it is exact to."""
    options = {"n_actions": 1, "dueling": False, "hidden": [1, 2], "dtype": "uint8"}
    changes = {"double": False, "huber_delta": 0.1, "grad_accumulation": 3}
    rows = {"rows": 11, "weighted": False, "stop": True, "overlap": False}
    assert compare(options, changes, **rows) < TOLERANCE


USUAL: dict[str, Any] = {"rows": 32, "weighted": True, "stop": False, "overlap": False}


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("hidden", [[120, 84], [256, 256]])
def test_equals_autograd_at_the_usual_sizes(dueling: bool, hidden: list[int]) -> None:
    assert compare({"hidden": hidden, "dueling": dueling}, {}, **USUAL) < TOLERANCE


def no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp_gradient, "threshold_backward", lambda *a, **k: None)


def weights_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = mlp_gradient._loss
    monkeypatch.setattr(mlp_gradient, "_loss", lambda q, t, d, w: honest(q, t, d, None))


def never_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = mlp_gradient._product
    monkeypatch.setattr(mlp_gradient, "_product", lambda a, b, out, add: honest(a, b, out, False))


def always_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = mlp_gradient._product
    monkeypatch.setattr(mlp_gradient, "_product", lambda a, b, out, add: honest(a, b, out, True))


def share_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = MlpGradient._add
    monkeypatch.setattr(MlpGradient, "_add", lambda self, b, share, add: honest(self, b, 1.0, add))


def taken_of_the_next_row(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = mlp_gradient._Network.backward

    def backward(self: Any, x: Tensor, taken: Tensor, slope: Tensor, add: bool) -> None:
        honest(self, x, taken.roll(1), slope, add)

    monkeypatch.setattr(mlp_gradient._Network, "backward", backward)


@pytest.mark.parametrize(
    "fault",
    [
        no_mask,
        weights_ignored,
        never_adds,
        always_adds,
        share_forgotten,
        taken_of_the_next_row,
    ],
)
def test_a_fault_is_noticed(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, changes = {"dueling": True}, {"grad_accumulation": 2}
    assert compare(options, changes, **USUAL) < TOLERANCE
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        assert compare(options, changes, **USUAL) < TOLERANCE


def test_what_was_seen_stays() -> None:
    """Statistics are read after later updates; they must not lie in memory that is used again."""
    online, target = mlp(1), mlp(2)
    adam = Adam(list(online.parameters()), 1e-8)
    gradient = MlpGradient(online, target, LearnerConfig(), adam)
    batches = [batch(s, 8, 3, "float32", True, False, False) for s in range(2)]
    seen = gradient(batches[:1])
    before = [[t.clone() for t in one[:4]] for one in seen]
    gradient(batches[1:])
    for one, kept in zip(seen, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:4], kept, strict=True))


def test_non_finite_values_reach_the_gradient() -> None:
    online, target = mlp(1), mlp(2)
    adam = Adam(list(online.parameters()), 1e-8)
    gradient = MlpGradient(online, target, LearnerConfig(), adam)
    good = batch(0, 8, 3, "float32", False, False, False)
    gradient([good._replace(returns=torch.full((8,), float("nan")))])
    assert adam.clip(1.0).isnan()
    gradient([good])
    assert adam.clip(0.0).isfinite(), "NaN of the batch before stayed in some memory"


# ---- which path: a function of the network -----------------------------------------------------


class OwnMlp(Mlp):
    """A user's variation of the built-in network."""


def test_only_the_plain_network_is_done_by_hand() -> None:
    assert fits(mlp())
    assert fits(mlp(dueling=True, dtype="uint8", hidden=[]))
    frozen = mlp()
    frozen.body.trunk.requires_grad_(False)
    assert not fits(frozen)
    hooked = mlp()
    hooked.body.register_forward_hook(lambda *_: None)
    assert not fits(hooked)
    assert not fits(mlp().double())
    assert not fits(QNetwork(OwnMlp(SHAPE, HeadForm(3)), 1.0))
    assert not fits(mlp().body)
    assert not fits(nn.Linear(2, 2))


def test_the_path_is_told() -> None:
    def learner(make: Callable[[], nn.Module]) -> DQN:
        return DQN(make(), make(), LearnerConfig(), 3, "cpu", 10)

    assert learner(mlp).gradient == "by hand"
    assert learner(lambda: QNetwork(OwnMlp(SHAPE, HeadForm(3)), 1.0)).gradient == "by autograd"
