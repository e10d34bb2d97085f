"""Environments of the extras: missed by name, registered when asked for, Atari's lives and scores.

The packages are not needed here: stand-ins show what this code does with them. Where they are
installed the real games are stepped too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tuitrain.config.load import load_config
from tuitrain.config.schema import EnvConfig
from tuitrain.envs import atari, minatar
from tuitrain.envs.make import EnvError, inspect, make_lanes

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(
    ("env_id", "kwargs", "module", "line"),
    [
        ("MinAtar/Breakout-v1", {}, "minatar.gym", "pip install 'tuitrain[minatar]'"),
        ("ALE/Pong-v5", {}, "ale_py", "pip install 'tuitrain[atari]'"),
        ("tuitrain.envs.atari:make", {"game": "Pong"}, "ale_py", "pip install 'tuitrain[atari]'"),
        ("LunarLander-v3", {}, "Box2D", "pip install 'tuitrain[box2d]'"),
    ],
)
def test_a_missing_package_comes_with_the_line_that_gets_it(
    env_id: str, kwargs: dict[str, Any], module: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # an import of it fails
    monkeypatch.delitem(sys.modules, "gymnasium.envs.box2d", raising=False)
    monkeypatch.delitem(sys.modules, "gymnasium.envs.box2d.lunar_lander", raising=False)
    registry = {k: v for k, v in gymnasium.registry.items() if not k.startswith("MinAtar/")}
    monkeypatch.setattr(gymnasium, "registry", registry)
    with pytest.raises(EnvError) as error:
        make_lanes(EnvConfig(id=env_id, kwargs=kwargs), 1)
    assert str(error.value).endswith(f"Get it with: {line}")


def test_minatar_is_registered_when_asked_for_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def register_envs() -> None:
        calls.append(1)
        for game in minatar.GAMES:
            gymnasium.register(f"MinAtar/{game}-v1", "tests.unit.envs.test_env_extras:Bits")

    stand_in: Any = ModuleType("minatar.gym")
    stand_in.register_envs = register_envs
    monkeypatch.setitem(sys.modules, "minatar", ModuleType("minatar"))
    monkeypatch.setitem(sys.modules, "minatar.gym", stand_in)
    known = dict(gymnasium.registry)
    for name in known:
        if name.startswith("MinAtar/"):  # the real ones, registered by another test
            del gymnasium.registry[name]
    try:
        for game in minatar.GAMES:
            spec = inspect(EnvConfig(id=f"MinAtar/{game}-v1")).policies["default"]
            assert (spec.observation_dtype, spec.dtype) == ("bool", np.uint8)
        assert calls == [1]
    finally:
        gymnasium.registry.clear()
        gymnasium.registry.update(known)


class Bits(gymnasium.Env):
    """bool[10, 10, 4], as MinAtar's."""

    observation_space = spaces.Box(0, 1, (10, 10, 4), np.bool_)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        return np.zeros((10, 10, 4), np.bool_), {}


class Ale(gymnasium.Env):
    """A game of `lives` lives: action 1 loses one, every step pays `pay`. Observes its steps."""

    def __init__(self, lives: int = 2, pay: float = 7.0):
        self.observation_space = spaces.Box(0, 255, (1,), np.uint8)
        self.action_space = spaces.Discrete(2)
        self.ale = self
        self.games = 0
        self._all, self._pay = lives, pay

    def lives(self) -> int:
        return self._left

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self._left, self._steps = self._all, 0
        self.games += 1
        return np.array([0], np.uint8), {}

    def step(self, action: int):
        self._left -= action
        self._steps += 1
        return np.array([self._steps], np.uint8), self._pay, self._left == 0, False, {}


def test_a_lost_life_ends_the_episode_and_the_game_goes_on() -> None:
    raw = Ale()
    game = atari.Game(raw, life_loss=True, clip_rewards=True)
    game.reset(seed=3)
    assert game.step(0)[1:] == (1.0, False, False, {})
    assert game.step(1)[1:] == (1.0, True, False, {})
    observation, _ = game.reset()
    assert (int(observation[0]), raw.games) == (3, 1)  # one idle step of the same game
    *_, terminated, truncated, info = game.step(1)
    assert (terminated, truncated, info) == (True, False, {"metrics": {"score": 28.0}})
    observation, _ = game.reset()
    assert (int(observation[0]), raw.games) == (0, 2)
    game.step(1)
    game.reset(seed=4)
    assert raw.games == 3, "a seed begins a new game whatever is left of this one"
    assert game.step(0)[2] is False


def test_a_game_that_ends_in_the_idle_step_begins_anew() -> None:
    raw = Ale(lives=3)
    game = atari.Game(raw, life_loss=True, clip_rewards=False)
    game.reset(seed=1)
    assert game.step(1)[1:3] == (7.0, True)
    raw._left, raw._all = 0, 1  # the idle step finds the game lost
    observation, _ = game.reset()
    assert (int(observation[0]), raw.games) == (0, 2)
    assert game.step(1)[4] == {"metrics": {"score": 7.0}}


def test_without_life_loss_only_the_game_ends_and_rewards_are_as_they_are() -> None:
    game = atari.Game(Ale(pay=-2.0), life_loss=False, clip_rewards=False)
    game.reset()
    assert game.step(1)[1:] == (-2.0, False, False, {})
    assert game.step(1)[1:] == (-2.0, True, False, {"metrics": {"score": -4.0}})
    assert atari.Game(Ale(pay=-2.0), life_loss=False, clip_rewards=True).reset()[1] == {}


def test_the_real_games_where_they_are_installed() -> None:
    pytest.importorskip("minatar")
    lanes = make_lanes(EnvConfig(id="MinAtar/Breakout-v1"), 2)
    first = {name: step.observation.copy() for name, step in lanes.reset([1, 2]).items()}
    assert first["default"].shape == (2, 10, 10, 4)
    assert set(np.unique(first["default"])) == {0, 1}
    lanes.close()


def test_real_atari_where_it_is_installed() -> None:
    pytest.importorskip("ale_py")
    lanes = make_lanes(EnvConfig(id="tuitrain.envs.atari:make", kwargs={"game": "Pong"}), 1)
    lanes.reset([1])
    spec = lanes.spec.policies["default"]
    assert (spec.observation_shape, spec.observation_dtype, spec.n_actions) == (
        (84, 84),
        "uint8",
        6,
    )
    lanes.step({"default": np.zeros(1, np.int64)})
    lanes.close()
    with pytest.raises(EnvError, match="no Atari game 'Pung'"):
        make_lanes(EnvConfig(id="tuitrain.envs.atari:make", kwargs={"game": "Pung"}), 1)


def test_evaluations_report_the_games_own_score_of_whole_games() -> None:
    """As the shipped config says it, on a stand-in of 2 lives that pays 7 a step."""
    shipped = load_config(CONFIGS / "atari-pong.toml", ["env.kwargs.life_loss=true"]).env
    said = {}
    for name, env in (("training", shipped), ("evaluation", shipped.of_evaluations)):
        options = {key: env.kwargs[key] for key in ("life_loss", "clip_rewards")}
        game = atari.Game(Ale(), **options)
        game.reset(seed=1)
        total, over = 0.0, False
        while not over:
            _, reward, over, _, _ = game.step(1)
            total += float(reward)
        said[name] = total
    assert said == {"training": 1.0, "evaluation": 14.0}
