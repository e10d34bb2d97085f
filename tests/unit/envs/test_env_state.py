"""Lanes of every kind that save their state: what comes after it is the same, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.guide import write_files
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.make import make_lanes
from tuitrain.envs.plays import Play, different
from tuitrain.envs.saving.leaves import plain_copy
from tuitrain.envs.saving.state import CannotRestore, SavesState

HUNT = "tuitrain.envs.treasurehunt"
ENVS = Path(__file__).with_name("state_envs.py")

WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "cartpole": ("CartPole-v1", {}),
    "acrobot": ("Acrobot-v1", {}),
    "mountain car": ("MountainCar-v0", {}),
    "lake": ("FrozenLake-v1", {}),
    "catch": ("tests.envs:Catch", {}),
    "chain": ("tests.envs:Chain", {}),
    "sequence": ("tests.envs:SequenceEnv", {"image": True}),
    "global streams": ("tests.envs:GlobalRandomEnv", {}),
    "two policies": ("tests.envs:TwoPolicies", {"p_terminate": 0.1}),
    "parallel": ("tests.envs:SequenceAgents", {}),
    "turns": ("tests.envs:TurnTags", {}),
    "relay": ("tests.envs:Relay", {}),
    "aec": ("tests.envs.aec:TicTacToe", {}),
    "hunt": (f"{HUNT}:make", {"turns": 9}),
    "hunt, together": (f"{HUNT}:make", {"turns": 9, "simultaneous_moves": True}),
}


def play_of(name: str, seed: int, envs: int = 3, kwargs: dict[str, Any] | None = None) -> Play:
    config = EnvConfig(id=name, kwargs=kwargs or {})
    play = Play(lambda: make_lanes(config, envs), seed)
    play.start(seed)
    return play


def same_from_here(first: Play, second: Play, steps: int = 200) -> str:
    """What is different after `second` has taken over from `first`; "" if nothing is."""
    second.follow(first)
    for _ in range(steps):
        if difference := different(first.step(), second.step()):
            return difference
    return ""


def also(name: str) -> tuple[str, dict[str, Any]]:
    """Environments whose packages are extras."""
    games: dict[str, tuple[str, str, dict[str, Any]]] = {
        "minatar": ("minatar", "MinAtar/Breakout-v1", {}),
        "seaquest": ("minatar", "MinAtar/Seaquest-v1", {}),
        "atari": ("ale_py", "tuitrain.envs.atari:make", {"game": "Pong"}),
        "lives": ("ale_py", "tuitrain.envs.atari:make", {"game": "Breakout", "life_loss": True}),
        "hunt, alone": ("pettingzoo", f"{HUNT}.apis:LoneHunt", {"turns": 9}),
        "hunt, parallel": ("pettingzoo", f"{HUNT}.apis:TogetherHunt", {"turns": 9}),
        "hunt, aec": ("pettingzoo", f"{HUNT}.apis:TurnsHunt", {"turns": 9}),
        "connect four": ("pettingzoo", "pettingzoo.classic.connect_four_v3:env", {}),
        "against chance": (
            "pettingzoo",
            "tuitrain.envs.opponents:make",
            {"game": "pettingzoo.classic.tictactoe_v3:env", "opponents": "chance"},
        ),
    }
    package, env_id, kwargs = games[name]
    pytest.importorskip(package)
    if "pettingzoo.classic" in f"{env_id} {kwargs}":
        pytest.importorskip("pygame")  # which they draw with
    return env_id, kwargs


@pytest.mark.parametrize(
    "before", [0, 17, *(pytest.param(steps, marks=pytest.mark.long) for steps in (1, 60))]
)
@pytest.mark.parametrize("name", WORLDS)
def test_what_follows_a_restored_state_is_the_same(name: str, before: int) -> None:
    env_id, kwargs = WORLDS[name]
    first, second = (play_of(env_id, seed, kwargs=kwargs) for seed in (1, 100))
    for _ in range(before):
        first.step()
    assert not same_from_here(first, second)
    assert first.metrics() == second.metrics()


@pytest.mark.parametrize(
    "name",
    [
        "minatar",
        "seaquest",
        "atari",
        "lives",
        "hunt, alone",
        "hunt, parallel",
        "hunt, aec",
        "connect four",
        "against chance",
    ],
)
@pytest.mark.filterwarnings("ignore")  # the packages' own
def test_games_of_other_packages_go_on_as_they_would_have(name: str) -> None:
    env_id, kwargs = also(name)
    first, second = (play_of(env_id, seed, 2, kwargs) for seed in (1, 100))
    for _ in range(57):
        first.step()
    assert not same_from_here(first, second)


@pytest.mark.parametrize(
    ("page", "world"),
    [
        ("environments.md", "courier.py:Courier"),
        ("environments.md", "wolves.py:Wolves"),
        ("from-sorrel.md", "train_foraging.py:make"),
    ],
)
def test_the_worlds_of_the_guide_go_on_too(
    page: str, world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_files(page, tmp_path)
    kwargs = {"max_turns": 9} if "make" in world else {}
    first, second = (play_of(f"{tmp_path}/{world}", seed, 2, kwargs) for seed in (1, 100))
    for _ in range(57):
        first.step()
    assert not same_from_here(first, second)


@pytest.mark.parametrize("name", ["cartpole", "two policies", "relay", "aec", "hunt"])
def test_a_state_is_text_but_for_its_arrays(name: str) -> None:
    env_id, kwargs = WORLDS[name]
    play = play_of(env_id, 1, kwargs=kwargs)
    for _ in range(5):
        play.step()
    with play.random:
        state = play.lanes.state()
    assert isinstance(play.lanes, SavesState)
    arrays: list[np.ndarray] = []

    def aside(value: Any) -> Any:
        assert type(value) is np.ndarray, f"a {type(value)}"
        assert value.dtype.kind in "biuf"
        arrays.append(value)
        return len(arrays)

    json.dumps(plain_copy(state), default=aside)


def test_a_state_is_a_copy() -> None:
    """Of what was, even where the environment goes on in the same memory."""
    first, second = play_of(f"{HUNT}:make", 1), play_of(f"{HUNT}:make", 2)
    state = first.lanes.state()
    cells = state["cells"].copy()
    for _ in range(9):
        first.step()
    assert np.array_equal(state["cells"], cells)
    second.lanes.restore(state)
    second.step()
    assert np.array_equal(state["cells"], cells)


def test_metrics_not_asked_for_are_part_of_it() -> None:
    first, second = (play_of(f"{ENVS}:Scored", seed, 1) for seed in (1, 2))
    for _ in range(7):
        first.step()
    second.follow(first)
    told = first.metrics()
    assert told["default"]["score"].count == 7
    assert told == second.metrics()


def test_a_state_of_other_lanes_is_refused() -> None:
    two, three = (play_of("CartPole-v1", 0, envs).lanes for envs in (2, 3))
    with pytest.raises(CannotRestore, match="the state is of 2 environments, here are 3"):
        three.restore(two.state())
    with pytest.raises(CannotRestore, match="cartpole"):
        play_of("Acrobot-v1", 0, 2).lanes.restore(two.state())
    with pytest.raises(CannotRestore, match="'gym' lanes cannot be put into 'turns' lanes"):
        play_of("tests.envs:Relay", 0, 2).lanes.restore(two.state())


@pytest.mark.parametrize(
    ("name", "what", "wrong"),
    [
        ("cartpole", "over", [False]),
        ("cartpole", "over", [0.5, 0, 0]),
        ("parallel", "alive", [[True]]),
        ("turns", "role", np.zeros((3, 2), np.int8)),
        ("hunt", "cells", np.zeros((3, 4, 4), np.uint8)),
        ("hunt", "turn", np.zeros(3, np.float64)),
    ],
)
def test_what_lanes_know_must_have_its_form(name: str, what: str, wrong: Any) -> None:
    env_id, kwargs = WORLDS[name]
    lanes = play_of(env_id, 1, kwargs=kwargs).lanes
    state = lanes.state()
    state[what] = wrong
    with pytest.raises(CannotRestore, match=f"'{what}' of the state"):
        lanes.restore(state)
