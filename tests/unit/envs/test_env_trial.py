"""The trial finds what the walk over attributes cannot see, and never fails itself."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuitrain.config.schema import EnvConfig
from tuitrain.envs import plays
from tuitrain.envs.lanes.vector import GymLanes
from tuitrain.envs.make import make_lanes
from tuitrain.envs.plays import Play
from tuitrain.envs.saving import trial
from tuitrain.envs.saving.trial import why_not

ENVS = Path(__file__).with_name("state_envs.py")


def reason(env_id: str, clock: Callable[[], float] | None = None, **kwargs: Any) -> str:
    config = EnvConfig(id=env_id, kwargs=kwargs)
    # time that stands still: how far it gets does not depend on the machine
    return why_not(config, clock=clock or (lambda: 0.0))


@pytest.mark.parametrize(
    "env_id",
    [
        "CartPole-v1",
        "tests.envs:GlobalRandomEnv",
        "tests.envs:TwoPolicies",
        "tests.envs:Relay",
        "tests.envs.aec:TicTacToe",
        "tuitrain.envs.treasurehunt:make",
        f"{ENVS}:Everything",
        f"{ENVS}:Explicit",
        f"{ENVS}:Scored",
    ],
)
def test_what_can_be_saved_has_no_reason(env_id: str) -> None:
    assert reason(env_id) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Closure", "after restoring it behaved differently (step 1: observation"),
        ("InModule", "after restoring it behaved differently (step 1: observation"),
        ("Sharing", "after restoring it behaved differently (step 1: observation"),
        ("Counting", "attribute env.tools['numbers'] is a itertools.count"),
        ("Locked", "attribute env.gate is a _thread.lock"),
        ("Failing", "trying it failed: ValueError: no third step"),
        ("Nowhere", "cannot be loaded"),
    ],
)
def test_what_cannot_be_saved_has_one(name: str, why: str) -> None:
    assert why in reason(f"{ENVS}:{name}")


def test_an_agents_past_in_its_class_is_found_out() -> None:
    """``Moves`` says in what it sees how often an agent has moved, and keeps that in its class."""
    assert ": observation" in reason("tests.envs.aec:Moves")


@pytest.mark.filterwarnings("ignore")  # the package's own
def test_a_window_is_named() -> None:
    pytest.importorskip("pygame")
    pytest.importorskip("pettingzoo")
    said = reason("pettingzoo.classic.rps_v2:env")
    assert said == "attribute env.unwrapped.screen is a pygame.surface.Surface"


@pytest.mark.filterwarnings("ignore")  # the package's own
def test_an_atari_console_that_repeats_actions_by_itself_is_refused() -> None:
    pytest.importorskip("ale_py")
    assert "sticky actions, which does not tell" in reason("ALE/Pong-v5", obs_type="grayscale")


def test_nothing_is_played_that_could_not_be_saved_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: object) -> None:
        raise AssertionError("played")

    monkeypatch.setattr(Play, "step", never)
    assert "env.gate" in reason(f"{ENVS}:Locked")


def test_what_takes_long_to_build_is_not_built_twice() -> None:
    built: list[int] = []

    def clock() -> float:
        built.append(1)
        return len(built) * 1.5 * trial.COPIES * trial.MAX_BUILD_S

    assert reason("CartPole-v1", clock) == (
        "building it takes 3.0 s, too long to try it out at every start"
    )
    assert len(built) == 2


def test_a_slow_environment_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(0, trial.COMPARE_S)
    steps: list[int] = []
    step = Play.step
    monkeypatch.setattr(Play, "step", lambda play: [steps.append(1), step(play)][1])
    assert reason("CartPole-v1", lambda: next(seconds)) == ""
    assert len(steps) <= 2 + 2 * trial.MIN_COMPARISONS * trial.MIN_STEPS


def test_both_pairs_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(GymLanes, "close", lambda lanes: closed.append(lanes))
    assert "ValueError" in reason(f"{ENVS}:Failing")
    assert len(closed) == 2


def test_lanes_that_save_nothing_are_told_of() -> None:
    assert reason(f"{ENVS}:Many") == "its lanes have no methods state() and restore(state)"


# ---- what lanes forget ------------------------------------------------------------------------


def forgets(*names: str) -> Callable[[Any, dict[str, Any]], None]:
    """A ``restore`` that leaves these attributes of lanes as they are."""

    def restore(lanes: Any, state: dict[str, Any]) -> None:
        kept = {name: getattr(lanes, name) for name in names}
        type(lanes).whole_restore(lanes, state)
        for name, value in kept.items():
            setattr(lanes, name, value)

    return restore


@pytest.mark.parametrize(
    ("env_id", "forgotten"),
    [
        ("tests.envs:Catch", ["_over"]),
        ("tests.envs:SequenceAgents", ["_alive"]),
        ("tests.envs:TurnTags", ["_over"]),
        ("tests.envs:TurnTags", ["_role"]),
        ("tuitrain.envs.treasurehunt:make", ["_over"]),
        (f"{ENVS}:Scored", ["metrics"]),
    ],
)
def test_lanes_that_forget_something_are_found_out(
    env_id: str, forgotten: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Any = type(make_lanes(EnvConfig(id=env_id), 1))
    if "metrics" in forgotten:
        monkeypatch.setattr("tuitrain.envs.metrics.EnvMetrics.restore", lambda *given: None)
    else:
        monkeypatch.setattr(kind, "whole_restore", kind.restore, raising=False)
        monkeypatch.setattr(kind, "restore", forgets(*forgotten))
    assert reason(env_id)


def test_games_that_forget_who_has_moved_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.envs.lanes.aec_game.Game.restore", lambda *given: None)
    assert "after restoring it behaved" in reason("tests.envs.aec:TicTacToe")


def test_global_streams_are_part_of_what_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that draws from them is not refused; without the fence it would be."""
    monkeypatch.setattr(plays.copy, "copy", lambda fence: sys.modules["copy"].deepcopy(FENCE))
    assert "after restoring it behaved" in reason("tests.envs:GlobalRandomEnv")


FENCE = plays.GlobalRandom(np.random.SeedSequence(99))
