"""A look at an environment: the time it tells is the environment's, and its moves are legal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuitrain.config.schema import EnvConfig
from tuitrain.workers.asides import look as module
from tuitrain.workers.asides.look import _Watch, look


def test_only_what_is_inside_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    watch = _Watch()

    def takes(seconds: float) -> None:
        now[0] += seconds

    acts = watch.outside(takes)

    def steps() -> None:
        takes(1.0)
        acts(10.0)
        takes(2.0)

    for _ in range(2):
        acts(100.0)
        watch.inside(steps)()
        takes(1000.0)
    assert watch.total_s == 6.0


@pytest.mark.parametrize("game", ["TicTacToe", "Moves"])
def test_a_game_is_played_by_its_rules(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both refuse illegal moves."""
    monkeypatch.setattr(module, "MAX_STEPS", 300)
    kwargs = {"masked": True} if game == "Moves" else {}
    seen = look(EnvConfig(id=f"tests.envs.aec:{game}", kwargs=kwargs))
    assert all(policy["episodes"] > 5 for policy in seen["policies"].values())
    assert not any(policy["absent"] for policy in seen["policies"].values())
    assert seen["step_s"] > 0
    assert all(policy["rewarded"] for policy in seen["policies"].values()), (
        "though they add up to 0"
    )


def test_that_no_step_is_ever_paid_is_seen() -> None:
    hopeless = Path(__file__).parents[2] / "e2e" / "hopeless.py"
    (policy,) = look(EnvConfig(id=f"{hopeless}:NoReward"))["policies"].values()
    assert policy["episodes"] > 0
    assert not policy["rewarded"]
