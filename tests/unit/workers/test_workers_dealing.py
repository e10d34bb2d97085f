"""Which policies learn where, and which as one: settled by architecture and size alone."""

from __future__ import annotations

from typing import Any

import pytest

from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.learning.weights_layout import WeightsLayout
from tuitrain.workers.dealing import MOST_STACKED_WORK, bundles, dealt, settled

BATCH = 32
ODD = "c"


def spec(names: str = "abcde") -> EnvSpec:
    """Policies that are alike but for one."""
    policies = {
        name: PolicySpec((5 if name == ODD else 4,), "float32", 2, (f"agent {name}",))
        for name in names
    }
    return EnvSpec("five", 1, policies)


def settle(names: str = "abcde", parameters: int = 1000, **learner: Any) -> tuple[Config, EnvSpec]:
    tables: dict[str, Any] = {"learner": {"device": "cpu", "batch_size": BATCH} | learner}
    seen = spec(names)
    layouts = dict.fromkeys(names, WeightsLayout((("w", "float32", (parameters,)),)))
    return settled(Config.model_validate(tables), seen, layouts), seen


def test_policies_are_dealt_in_turn() -> None:
    assert dealt(tuple("abcde"), 2) == [("a", "c", "e"), ("b", "d")]
    assert dealt(tuple("ab"), 2) == [("a",), ("b",)]


def test_only_networks_of_one_form_in_one_process_are_stacked() -> None:
    config, seen = settle()
    assert config.learner.stacked is True
    assert bundles(config, seen) == [("a", "b", "d", "e"), ("c",)]
    assert bundles(settle(processes=2)[0], seen) == [("a", "e"), ("c",), ("b", "d")]
    config, _ = settle(processes="per-policy")
    assert (config.learner.processes, config.learner.stacked) == (5, False)
    assert bundles(settle(stacked=False)[0], seen) == [(name,) for name in "abcde"]


@pytest.mark.parametrize("schedule", ["sequential", "lockstep", "async"])
def test_every_schedule_stacks_the_same(schedule: str) -> None:
    config, seen = settle(processes=2)
    run = config.run.model_copy(update={"schedule": schedule})
    assert bundles(config.model_copy(update={"run": run}), seen) == bundles(config, seen)


def test_auto_looks_at_the_size_of_the_work() -> None:
    most = MOST_STACKED_WORK // BATCH
    assert settle(parameters=most)[0].learner.stacked is True
    assert settle(parameters=most + 1)[0].learner.stacked is False
    assert settle(parameters=most + 1, stacked=True)[0].learner.stacked is True


def test_settling_again_changes_nothing() -> None:
    config, seen = settle(processes="per-policy")
    layouts = dict.fromkeys("abcde", WeightsLayout((("w", "float32", (1000,)),)))
    assert settled(config, seen, layouts) == config


@pytest.mark.parametrize(
    "other", [{"network": "minatar"}, {"device": "cuda"}, {"network": "a.b:c"}]
)
def test_auto_leaves_other_networks_alone(other: dict[str, Any]) -> None:
    assert settle(**other)[0].learner.stacked is False
