"""The update: one step by hand, one target rule, one unit to save."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.dqn import DQN, RestoreError, TensorBatch, to_device
from tuitrain.learning.flatten import FlatModule
from tuitrain.learning.lr import lr_at
from tuitrain.learning.networks import build_network
from tuitrain.learning.target_rule import expected_target_updates
from tuitrain.learning.weights_layout import sha256


def config(**changes: Any) -> LearnerConfig:
    return LearnerConfig.model_validate(changes)


def batch(size: int = 32, seed: int = 0, n_actions: int = 2) -> TensorBatch:
    rng = np.random.default_rng(seed)
    arrays = SimpleNamespace(
        state=rng.random((size, 1, 4), np.float32),
        next_state=rng.random((size, 1, 4), np.float32),
        action=rng.integers(0, n_actions, size),
        returns=rng.normal(size=size).astype(np.float32) * 3,
        discount=rng.choice(np.array([0.0, 0.99], np.float32), size),
        legal=None,
        next_legal=None,
    )
    return to_device(arrays, "cpu")


def learner(changes: dict[str, Any] | None = None, seed: int = 1, total: int = 1000) -> DQN:
    networks = [build_network("mlp", (1, 4), "float32", 2, seed=seed + i) for i in range(2)]
    return DQN(networks[0], networks[1], config(**(changes or {})), 2, "cpu", total)


def bytes_of(module: nn.Module) -> str:
    flat = FlatModule(module)
    out = np.empty(flat.layout.nbytes, np.uint8)
    flat.to_bytes(out)
    return sha256(out)


# ---- the step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize("limit", [0.0, 0.5])
def test_updates_equal_a_plain_loop(double: bool, loss: str, limit: float) -> None:
    """Twenty updates against a loop written with torch's own Adam, clipping and losses."""
    dqn = learner({"double": double, "loss": loss, "max_grad_norm": limit, "lr": 1e-2})
    online, target = (build_network("mlp", (1, 4), "float32", 2, seed=1) for _ in range(2))
    adam = torch.optim.Adam(online.parameters(), lr=1e-2)
    norms = []
    for i in range(20):
        b = batch(seed=i)
        stats = dqn.update([b])
        with torch.no_grad():
            next_q = target(b.next_state)
            best = (online(b.next_state) if double else next_q).argmax(1, keepdim=True)
            goal = b.returns + b.discount * next_q.gather(1, best)[:, 0]
        q = online(b.state)[torch.arange(32), b.action]
        each = (
            nn.functional.huber_loss(q, goal)
            if loss == "huber"
            else 0.5 * nn.functional.mse_loss(q, goal)
        )
        adam.zero_grad()
        each.backward()
        norm = nn.utils.clip_grad_norm_(online.parameters(), limit or 1e9)
        norms.append(norm.item())
        adam.step()
        assert stats.loss[0].item() == pytest.approx(each.item(), rel=1e-4)
        assert stats.grad_norm.item() == pytest.approx(norm.item(), rel=1e-4)
    assert max(norms) > 0.5 > 0, "clipping was never exercised"
    for mine, plain in zip(dqn.online.parameters(), online.parameters(), strict=True):
        assert torch.allclose(mine, plain, atol=2e-5)


def test_same_inputs_same_bytes_and_nothing_drawn() -> None:
    before = torch.get_rng_state()
    hashes = set()
    for _ in range(2):
        dqn = learner()
        for i in range(15):
            dqn.update([batch(seed=i)])
        hashes.add(bytes_of(dqn.online))
    assert len(hashes) == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_parameter_without_a_gradient_stays() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x.flatten(1))

    dqn = DQN(Partly(), Partly(), config(), 2, "cpu", 10)
    idle, used = bytes_of(dqn.online.idle), bytes_of(dqn.online.used)
    for _ in range(3):
        dqn.update([batch()])
    assert bytes_of(dqn.online.idle) == idle
    assert bytes_of(dqn.online.used) != used


def test_importance_weights_scale_the_gradient() -> None:
    plain, zero = learner({"max_grad_norm": 0.0}), learner({"max_grad_norm": 0.0})
    plain.update([batch()._replace(weights=torch.ones(32))])
    assert plain.stats()["grad_norm"] > 0
    zero.update([batch()._replace(weights=torch.zeros(32))])
    assert zero.stats()["grad_norm"] == 0


def test_batch_normalisation_counts_training_forwards_only() -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2))

    dqn = DQN(network(), network(), config(double=True, tau=0.5), 2, "cpu", 10)
    for _ in range(3):
        dqn.update([batch()])
    assert int(dqn.online[1].num_batches_tracked) == 3, "choosing next actions was counted too"
    assert int(dqn.target[1].num_batches_tracked) == 3
    assert torch.equal(dqn.target[1].running_mean, dqn.online[1].running_mean)
    assert dqn.online.training
    assert not dqn.target.training


# ---- target network ------------------------------------------------------------------------------


def test_target_starts_as_a_copy() -> None:
    dqn = learner()
    assert bytes_of(dqn.target) == bytes_of(dqn.online)
    assert dqn.target_updates == 0


def test_hard_target_changes_exactly_at_its_updates() -> None:
    dqn = learner({"target_update_every_updates": 4})
    changes = []
    for update in range(1, 14):
        before = bytes_of(dqn.target)
        dqn.update([batch(seed=update)])
        if bytes_of(dqn.target) != before:
            changes.append(update)
            assert bytes_of(dqn.target) == bytes_of(dqn.online)
    assert changes == [4, 8, 12]
    assert (dqn.updates, dqn.target_updates) == (13, 3)


def test_soft_target_by_hand() -> None:
    dqn = learner({"tau": 0.25})
    for update in range(1, 4):
        before = [t.clone() for t in dqn.target.parameters()]
        dqn.update([batch(seed=update)])
        for old, new, on in zip(
            before, dqn.target.parameters(), dqn.online.parameters(), strict=True
        ):
            assert torch.allclose(new, old + 0.25 * (on - old), atol=1e-7)
    assert dqn.target_updates == 3


@pytest.mark.parametrize("rule", [{"tau": 0.1}, {"target_update_every_updates": 3}])
def test_a_target_updated_twice_shows_in_the_counter(rule: dict[str, Any]) -> None:
    class Twice(DQN):
        def _update_target(self) -> None:
            super()._update_target()
            super()._update_target()

    right = learner(rule)
    wrong = Twice(
        *(build_network("mlp", (1, 4), "float32", 2) for _ in range(2)), config(**rule), 2, "cpu", 9
    )
    for dqn in (right, wrong):
        for i in range(7):
            dqn.update([batch(seed=i)])
    expected = expected_target_updates(7, right.config)
    assert expected > 0
    assert right.target_updates == expected
    assert wrong.target_updates == 2 * expected


def test_no_gradient_reaches_the_target() -> None:
    dqn = learner()
    dqn.update([batch()])
    assert all(p.grad is None and not p.requires_grad for p in dqn.target.parameters())


def test_networks_that_differ_or_cannot_learn_are_refused() -> None:
    with pytest.raises(ValueError, match="different parameters"):
        DQN(nn.Linear(4, 2), nn.Linear(4, 3), config(), 2, "cpu", 1)
    with pytest.raises(ValueError, match="no trainable parameters"):
        DQN(nn.Flatten(), nn.Flatten(), config(), 2, "cpu", 1)
    with pytest.raises(ValueError, match=r"learner\.tau are both set"):
        DQN(
            nn.Linear(4, 2),
            nn.Linear(4, 2),
            config(tau=0.1, target_update_every_updates=2),
            2,
            "cpu",
            1,
        )


# ---- learning rate and statistics ----------------------------------------------------------------


def test_lr_of_every_update_is_the_schedules() -> None:
    dqn = learner({"lr": 1e-2, "lr_end": 1e-3, "lr_schedule": "linear"}, total=10)
    used = [dqn.update([batch(seed=i)]).lr for i in range(12)]
    assert used == [lr_at(i, dqn.config, 10) for i in range(12)]
    assert (used[0], used[-1]) == (1e-2, 1e-3)


def test_lr_is_really_applied() -> None:
    """With the rate at zero from update 3 on, the weights stand still."""
    options = {"lr": 1e-2, "lr_end": 0.0, "lr_schedule": "linear", "lr_schedule_updates": 3}
    dqn = learner(options)
    hashes = [bytes_of(dqn.online)]
    for i in range(6):
        dqn.update([batch(seed=i)])
        hashes.append(bytes_of(dqn.online))
    assert len(set(hashes[:4])) == 4
    assert len(set(hashes[3:])) == 1


def test_stats_by_hand() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([2.0, -5.0]))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :2] * 0 + self.bias

    dqn = DQN(Fixed(), Fixed(), config(loss="mse", max_grad_norm=1e-3), 2, "cpu", 1)
    assert dqn.stats() == {}
    zeros = torch.zeros(2, 1, 4)
    goal = torch.tensor([3.0, -1.0])
    b = TensorBatch(zeros, zeros, torch.tensor([0, 1]), goal, torch.zeros(2))
    assert dqn.update([b]).td_error().tolist() == [1.0, 4.0]
    stats = dqn.stats()
    assert stats["loss"] == pytest.approx((1 + 16) / 2 / 2)
    assert stats["q_mean"] == pytest.approx(-1.5)
    assert stats["q_max_abs"] == 5.0
    assert stats["td_abs_mean"] == 2.5
    assert stats["td_p95"] == pytest.approx(1 + 0.95 * 3)
    assert stats["grad_norm"] == pytest.approx((0.5**2 + 2.0**2) ** 0.5)  # before clipping
    assert stats["lr"] == dqn.config.lr
    assert dqn.stats() == {}


def test_reading_stats_does_not_change_training() -> None:
    watched, alone = learner(), learner()
    for i in range(25):
        for dqn in (watched, alone):
            dqn.update([batch(seed=i)])
        watched.stats()
    assert bytes_of(watched.online) == bytes_of(alone.online)


def test_non_finite_values_are_shown() -> None:
    dqn = learner()
    dqn.update([batch()._replace(returns=torch.full((32,), float("nan")))])
    assert np.isnan(dqn.stats()["grad_norm"])


def test_cpu_batches_are_not_copied() -> None:
    arrays = SimpleNamespace(
        state=np.zeros((2, 1, 4), np.float32),
        next_state=np.zeros((2, 1, 4), np.float32),
        action=np.zeros(2, np.int64),
        returns=np.zeros(2, np.float32),
        discount=np.zeros(2, np.float32),
        legal=None,
        next_legal=None,
    )
    moved = to_device(arrays, "cpu", np.ones(2, np.float32))
    arrays.state[0] = 7
    assert (moved.state[0] == 7).all()
    assert moved.weights is not None


# ---- one unit to save ----------------------------------------------------------------------------


def test_restored_learner_goes_on_bit_for_bit() -> None:
    options = {"lr_schedule": "cosine", "target_update_every_updates": 5}
    whole, first = learner(options), learner(options)
    for i in range(7):
        whole.update([batch(seed=i)])
        first.update([batch(seed=i)])
    saved = first.state_dict()
    first.update([batch(seed=99)])  # a snapshot is not touched by what comes after
    second = learner(options, seed=77)
    second.update([batch(seed=50)])
    second.load_state_dict(saved)
    assert (second.updates, second.target_updates) == (7, 1)
    for i in range(7, 16):
        assert whole.update([batch(seed=i)]).lr == second.update([batch(seed=i)]).lr
    assert bytes_of(second.online) == bytes_of(whole.online)
    assert bytes_of(second.target) == bytes_of(whole.target)
    assert second.target_updates == whole.target_updates == 3


def test_fresh_learner_saves_and_restores() -> None:
    fresh, other = learner(), learner(seed=9)
    other.load_state_dict(fresh.state_dict())
    for dqn in (fresh, other):
        dqn.update([batch()])
    assert bytes_of(fresh.online) == bytes_of(other.online)


def test_learning_rate_and_adam_options_come_from_the_config_after_a_restore() -> None:
    old, new = learner({"lr": 1e-2}), learner({"lr": 1e-4})
    old.update([batch()])
    new.load_state_dict(old.state_dict())
    before = [p.detach().clone() for p in new.online.parameters()]
    assert new.update([batch(seed=1)]).lr == 1e-4
    moved = [(p - b).abs().max() for p, b in zip(new.online.parameters(), before, strict=True)]
    assert 0 < max(moved) < 1e-3


@pytest.mark.parametrize("part", ["online", "target", "optimizer", "updates", "target_updates"])
def test_parts_of_different_checkpoints_are_refused(part: str) -> None:
    dqn = learner({"target_update_every_updates": 2})
    dqn.update([batch()])
    early = dqn.state_dict()
    for i in range(3):
        dqn.update([batch(seed=i)])
    late = dqn.state_dict()
    fresh = learner()
    before = bytes_of(fresh.online)
    with pytest.raises(RestoreError, match="not saved together"):
        fresh.load_state_dict(late | {part: early[part]})
    with pytest.raises(RestoreError, match=f"lacks {part}"):
        fresh.load_state_dict({k: v for k, v in late.items() if k != part})
    assert (bytes_of(fresh.online), fresh.updates) == (before, 0)
    fresh.load_state_dict(late)


def test_another_architecture_is_refused_with_the_difference() -> None:
    networks = [
        build_network("mlp", (1, 4), "float32", 2, kwargs={"hidden": [120, 80]}) for _ in range(2)
    ]
    other = DQN(networks[0], networks[1], config(), 2, "cpu", 1)
    with pytest.raises(RestoreError, match=r"\[84, 120\] here, float32\[80, 120\] saved"):
        learner().load_state_dict(other.state_dict())
