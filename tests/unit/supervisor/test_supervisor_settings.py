"""What can be changed, and what schedules have made of it."""

from __future__ import annotations

from typing import Any

import pytest

from tuitrain.config.schema import Config
from tuitrain.protocol import PolicyView, ProcessView
from tuitrain.supervisor.settings import rescheduled, settings_of

CONFIG = Config.model_validate({"learner": {"lr": 5e-4}, "exploration": {"epsilon_end": 0.05}})


def now(rates: list[float | None], epsilons: list[float | None]) -> dict[str, str]:
    """By key what is said to be in use."""
    policies = [PolicyView(name=f"p{i}", lr=lr) for i, lr in enumerate(rates)]
    crew: list[Any] = [ProcessView(name="eval", role="evaluator", epsilon=0.0)]
    crew += [ProcessView(name=f"a{i}", role="actor", epsilon=e) for i, e in enumerate(epsilons)]
    found = settings_of(CONFIG, CONFIG, policies, crew)
    return {setting.key: setting.now for setting in found if setting.now}


@pytest.mark.parametrize(
    ("rates", "epsilons", "said"),
    [
        ([], [], {}),
        ([None], [None], {}),
        ([5e-4], [0.05], {}),
        ([5e-4 + 1e-12], [0.05], {}),
        ([2.3e-4], [0.05], {"learner.lr": "lr 0.00023"}),
        ([2.3e-4, 5e-4], [], {"learner.lr": "lr 0.00023 to 0.0005"}),
        ([], [0.42, None, 0.1], {"exploration.epsilon_end": "ε 0.1 to 0.42"}),
    ],
)
def test_what_a_schedule_has_come_to(
    rates: list[float | None], epsilons: list[float | None], said: dict[str, str]
) -> None:
    assert now(rates, epsilons) == said


def lr(first: float, last: float = 0.0, schedule: str = "linear") -> Config:
    return Config.model_validate(
        {"learner": {"lr": first, "lr_end": last, "lr_schedule": schedule}}
    )


@pytest.mark.parametrize(
    ("before", "after", "rates", "said"),
    [
        (lr(1e-3), lr(5e-4), [6e-4], "lr 0.0003"),
        (lr(1e-3), lr(5e-4), [6e-4, None, 2e-4], "lr 0.0001 to 0.0003"),
        (lr(1e-3, 1e-4), lr(1e-3, 5e-4), [5.5e-4], "lr 0.00075"),
        (lr(1e-3, 0.0, "cosine"), lr(1e-4, 0.0, "cosine"), [2.5e-4], "lr 2.5e-05"),
        (lr(1e-3, 1e-3), lr(2e-3, 1e-3), [1e-3], ""),
        (lr(1e-3, 0.0, "constant"), lr(5e-4, 0.0, "constant"), [1e-3], ""),
        (lr(1e-3), lr(5e-4), [None], ""),
    ],
)
def test_what_a_change_makes_of_the_rate_in_use(
    before: Config, after: Config, rates: list[float | None], said: str
) -> None:
    policies = [PolicyView(name=f"p{i}", lr=rate) for i, rate in enumerate(rates)]
    assert rescheduled(before, after, policies) == said


def test_what_differs_from_the_config() -> None:
    other = CONFIG.model_copy(update={"learner": CONFIG.learner.model_copy(update={"lr": 1e-3})})
    (changed,) = [s for s in settings_of(other, CONFIG, [], []) if s.value != s.given]
    assert (changed.key, changed.value, changed.given) == ("learner.lr", 1e-3, 5e-4)
