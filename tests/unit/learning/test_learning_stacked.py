"""A stack of learners against the same learners one by one; and the faults that would tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.learning.test_learning_mlp_gradient import batch, mlp
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning import stacked
from tuitrain.learning.adam import AdamStack
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.dqn import DQN
from tuitrain.learning.flatten import FlatModule, layout_of
from tuitrain.learning.stack_memory import StackMemory
from tuitrain.learning.stacked import Stack

P, B, UPDATES = 3, 8, 12


def learners(
    changes: dict[str, Any], options: dict[str, Any], memory: StackMemory | None = None
) -> list[DQN]:
    config = LearnerConfig.model_validate(
        {"lr": 1e-2, "target_update_every_updates": 5, "max_grad_norm": 0.5} | changes
    )
    return [
        DQN(
            mlp(10 + p, **options),
            mlp(20 + p, **options),
            config,
            options.get("n_actions", 3),
            "cpu",
            40,
            row=None if memory is None else memory.row(p),
        )
        for p in range(P)
    ]


def stack_of(changes: dict[str, Any], options: dict[str, Any]) -> Stack:
    memory = StackMemory(layout_of(mlp(0, **options)), P)
    return Stack(learners(changes, options, memory), memory)


def data(update: int, changes: dict[str, Any], options: dict[str, Any]) -> list[list[TensorBatch]]:
    """Per policy, the batches of one update."""
    dtype = str(options.get("dtype", "float32"))
    found = []
    for p in range(P):
        made = []
        for k in range(changes.get("grad_accumulation", 1)):
            seed = 1000 * p + 10 * update + k
            one = batch(seed, B, options.get("n_actions", 3), dtype, p % 2 == 0, False, True)
            if one.weights is None:
                one = one._replace(weights=torch.ones(B))
            if options.get("masked"):
                legal = torch.rand(B, 3, generator=torch.Generator().manual_seed(seed)) < 0.5
                legal[:, 1] |= ~legal.any(1)
                one = one._replace(next_legal=legal)
            made.append(one)
        found.append(made)
    return found


def stacked_data(given: list[list[TensorBatch]]) -> list[TensorBatch]:
    """Per batch of the update, the policies' as one."""
    return [stacked.stack_batches(batches)[0] for batches in zip(*given, strict=True)]


def flat(learner: DQN, which: str = "online") -> Tensor:
    module = getattr(learner, which)
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()]).clone()


def compare(
    changes: dict[str, Any],
    options: dict[str, Any],
    spoil: Callable[[Stack], None] = lambda stack: None,
) -> None:
    """Make the same updates both ways; some of single learners in between."""
    options = dict(options)
    masked = options.pop("masked", False)
    alone, stack = learners(changes, options), stack_of(changes, options)
    spoil(stack)
    for update in range(UPDATES):
        given = data(update, changes, options | {"masked": masked})
        only = update % 4 == 2  # due counts differ: the second learner alone
        errors = None
        if only:
            stack.learners[1].update(given[1])
        else:
            errors = stack.update(stacked_data(given))
        for p, learner in enumerate(alone):
            if only and p != 1:
                continue
            stats = learner.update(given[p])
            if errors is not None:
                torch.testing.assert_close(errors[p], stats.td_error(), rtol=2e-3, atol=2e-4)
    for mine, theirs in zip(stack.learners, alone, strict=True):
        assert (mine.updates, mine.target_updates) == (theirs.updates, theirs.target_updates)
        for which in ("online", "target"):
            torch.testing.assert_close(flat(mine, which), flat(theirs, which), rtol=1e-3, atol=1e-4)
        states = mine.state_dict()["optimizer"], theirs.state_dict()["optimizer"]
        for one, two in zip(*(s.values() for s in states), strict=True):
            assert one["step"] == two["step"]
            torch.testing.assert_close(one["exp_avg"], two["exp_avg"], rtol=1e-3, atol=1e-4)
        told = mine.stats(), theirs.stats()
        assert told[0].keys() == told[1].keys()
        for name, value in told[0].items():
            assert value == pytest.approx(told[1][name], rel=1e-2, abs=1e-3), name


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"double": False, "loss": "mse"}, {"dueling": True, "dtype": "uint8"}),
    ({"grad_accumulation": 2, "tau": 0.1, "target_update_every_updates": None}, {"hidden": [7]}),
    ({"lr_schedule": "linear", "max_grad_norm": 0.0}, {"hidden": []}),
    ({"target_update_every_updates": 1}, {"dueling": True, "masked": True}),
    ({"double": False}, {"masked": True}),
]


@pytest.mark.parametrize(("changes", "options"), CASES)
def test_a_stack_is_its_learners_one_by_one(
    changes: dict[str, Any], options: dict[str, Any]
) -> None:
    compare(changes, options)


# ---- faults --------------------------------------------------------------------------------------


def neighbours_batch(stack: Stack) -> None:
    honest = stack._gradient.__call__

    def rolled(batch: TensorBatch, share: float, add: bool) -> Any:
        return honest(TensorBatch(*(c if c is None else c.roll(1, 0) for c in batch)), share, add)

    stack._gradient = rolled


def neighbours_target(stack: Stack) -> None:
    memory = stack._memory

    def wrong() -> None:
        for learner in stack.learners:
            learner.target_updates += learner.target_is_due()
        if stack.learners[0].target_is_due():
            memory.target.copy_(memory.online.roll(1, 0))

    stack._update_targets = wrong


def one_step_count(stack: Stack) -> None:
    """Adam counts one for all: who was updated alone in between is counted for nobody."""
    first = stack.learners[0]._adam
    for learner in stack.learners[1:]:
        adam = learner._adam
        adam._steps[:] = first._steps
        adam._lists = [(*row[:4], [first._steps[0]]) for row in adam._lists]
    stack._adams = AdamStack([one._adam for one in stack.learners], stack._memory.steps)


def one_norm(stack: Stack) -> None:
    """Clipped by the norm of all gradients together."""
    honest = stack._clip
    stack._clip = lambda norms: honest(norms.norm().expand(P))


def one_target_rule(stack: Stack) -> None:
    def wrong() -> None:
        if stack.learners[0].target_is_due():
            for learner in stack.learners:
                learner._update_target()

    stack._update_targets = wrong


def mask_ignored(stack: Stack) -> None:
    honest = stack._gradient.__call__

    def blind(batch: TensorBatch, share: float, add: bool) -> Any:
        return honest(batch._replace(next_legal=None), share, add)

    stack._gradient = blind


@pytest.mark.parametrize(
    ("fault", "case"),
    [
        (neighbours_batch, 0),
        (neighbours_target, 0),
        (one_step_count, 0),
        (one_norm, 0),
        (one_target_rule, 0),
        (mask_ignored, 4),
        (mask_ignored, 5),
    ],
)
def test_faults_are_seen(fault: Callable[[Stack], None], case: int) -> None:
    with pytest.raises(AssertionError):
        compare(*CASES[case], spoil=fault)


# ---- what a learner of a stack still is ----------------------------------------------------------


def test_a_learner_of_a_stack_is_saved_published_and_restored_alone() -> None:
    stack = stack_of({}, {})
    module = FlatModule(stack.learners[1].online)
    before = module.read().copy()
    stack.update(stacked_data(data(0, {}, {})))
    assert (module.read() != before).any()
    saved = stack.learners[1].state_dict()
    others = [flat(stack.learners[p]) for p in (0, 2)]
    (fresh,) = learners({}, {})[:1]
    fresh.load_state_dict(saved)
    assert torch.equal(flat(fresh), flat(stack.learners[1]))
    stack.update(stacked_data(data(1, {}, {})))
    stack.learners[1].load_state_dict(saved)
    assert torch.equal(flat(fresh), flat(stack.learners[1]))
    assert not torch.equal(flat(stack.learners[0]), others[0])


def test_equal_updates_give_equal_bytes() -> None:
    prints = []
    for _ in range(2):
        stack = stack_of({}, {})
        for update in range(5):
            stack.update(stacked_data(data(update, {}, {})))
        prints.append([flat(learner) for learner in stack.learners])
    assert all(torch.equal(a, b) for a, b in zip(*prints, strict=True))


def test_what_cannot_be_stacked_is_refused() -> None:
    memory = StackMemory(layout_of(mlp(0)), P)
    with pytest.raises(ValueError, match="does not live in the memory"):
        Stack(learners({}, {}), memory)
    found = learners({}, {}, memory)
    with pytest.raises(ValueError, match="cannot be stacked"):
        Stack(found[:2], memory)
    (other,) = learners({"lr": 1e-3}, {}, StackMemory(memory.layout, P))[:1]
    with pytest.raises(ValueError, match="cannot be stacked"):
        Stack([*found[:2], other], memory)
