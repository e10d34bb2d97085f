"""Games that break the AEC API's rules are refused; those that only bend them are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.envs.aec import Moves
from tests.unit.envs.aec_rows import Rows, compare, lanes_of
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.cycles import empty_cycle
from tuitrain.envs.make import EnvError, inspect


class Bad(Moves):
    """Breaks one rule."""

    def __init__(self, how: str, **kwargs: Any):
        super().__init__(p_over=0.3, **kwargs)
        self.how = how
        self.games = 0
        if how == "two of a name":
            self.possible_agents = ("a", "b", "b")

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        super().reset(seed)
        self.games += 1
        if self.how == "empty":
            self.agents.clear()
        if self.how == "stranger there":
            self.agents.append("q")
        if self.how == "over" and self.games > 2:
            self.terminations = dict.fromkeys(self.agents, True)

    def observe(self, agent: str) -> Any:
        view = super().observe(agent)
        if self.how == "shape":
            return view[None]
        if self.how == "mask":
            return {"observation": view["observation"]}
        return view

    def last(self) -> Any:
        told = super().last()
        if self.how == "tuple":
            return told[:4]
        if self.how in FLAGS:
            return (*told[:3], FLAGS[self.how], told[4])
        return (told[0], float("nan"), *told[2:]) if self.how == "nan" else told

    def step(self, action: int | None) -> None:
        if action is None and self.how == "stays":
            return
        super().step(action)
        if self.how == "vanish" and any(map(self.gone, self.agents)):
            self.agents.clear()
        if self.how in MOVERS:
            self.agent_selection = MOVERS[self.how]
        if self.how == "no entry":
            self.truncations.clear()


FLAGS = {"flag none": None, "flag text": "no", "flag nan": float("nan"), "flag list": [False] * 2}
MOVERS: dict[str, Any] = {"nobody": None, "stranger": "q", "list": ["a"]}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "over",
            r"environment 'x': it was over at reset\(\), 32 times in a row.*Does reset\(\) clear",
        ),
        ("nobody", r"environment 'x': its agent_selection is None.*its agents: 'a', 'b', 'c'"),
        ("stranger", r"environment 'x': its agent_selection is 'q', which is none of its agents"),
        ("list", r"its agent_selection is \['a'\], which is none of its agents"),
        ("no entry", r"agent_selection is '.', but truncations has no entry for it"),
        ("stranger there", r"after reset\(\) its `agents` has 'q', which is none of its possible"),
        ("two of a name", r"environment 'x': 'b' is in its possible_agents more than once"),
        ("flag none", r"agent 'a', last\(\): truncated is None, neither True nor False"),
        ("flag text", r"agent 'a', last\(\): truncated is 'no', neither"),
        ("flag nan", r"agent 'a', last\(\): truncated is nan, neither"),
        ("flag list", r"agent 'a', last\(\): truncated is \[False, False\], neither"),
        ("empty", r"after reset\(\) its `agents` is empty"),
        ("shape", r"agent 'a', last\(\): an observation has shape \(1, 5\)"),
        ("tuple", r"last\(\) must return \(observation, reward"),
        ("nan", r"agent 'a', last\(\): the reward is nan"),
        ("stays", r"agent '.' has terminated or been truncated, but comes to its turn again"),
        ("vanish", r"the game is over, but agent 'a' has not come to its turn once more"),
    ],
)
def test_a_game_that_breaks_a_rule_is_refused(how: str, message: str) -> None:
    with pytest.raises(EnvError, match=message):
        played_bad(how)


def test_a_game_that_forgets_its_mask_is_refused() -> None:
    with pytest.raises(EnvError, match=r"agent 'a', last\(\): there is no 'action_mask'"):
        played_bad("mask", masked=True)


def played_bad(how: str, **kwargs: Any) -> None:
    Rows(lanes_of(lambda: Bad(how, **kwargs), 1)).play(100)


def test_games_that_are_over_at_reset_now_and_then_are_no_fault() -> None:
    class Often(Moves):
        games = 0

        def reset(self, seed: int | None = None, options: Any = None) -> None:
            super().reset(seed)
            self.games += 1
            if self.games % 8:
                self.terminations = dict.fromkeys(self.agents, True)

    rows = Rows(lanes_of(Often, 2)).play(1000)
    assert sum(1 for _ in rows.moves()) > 200


@pytest.mark.parametrize("kind", [np.bool_, int, np.float32, lambda end: np.array([end])])
def test_ends_need_not_be_plain_booleans(kind: Callable[[bool], Any]) -> None:
    class Told(Moves):
        def last(self) -> Any:
            told = super().last()
            return (*told[:2], *map(kind, told[2:4]), told[4])

    Moves.log.clear()
    wrong = compare(Rows(lanes_of(Told, 3)).play(100))
    assert not any(wrong.values()), wrong


def test_frames_are_refused_where_somebody_must_wait() -> None:
    lanes = lanes_of(lambda: Moves("skips"), 1, n_frames=2)
    rows = Rows(lanes)
    with pytest.raises(EnvError, match=r"agent '.' has had no turn while another has had two"):
        rows.play(50)


def test_frames_are_no_problem_where_turns_are_in_order() -> None:
    Rows(lanes_of(lambda: Moves(p_leave=0.1), 2, n_frames=2)).play(100)


def test_actions_that_are_none_are_refused() -> None:
    lanes = lanes_of(Moves, 1)
    lanes.reset([7])
    into = {name: empty_cycle(policy, 1) for name, policy in lanes.spec.policies.items()}
    with pytest.raises(ValueError, match="actions of policy 'a' must lie in 0 … 4"):
        lanes.cycle(lambda policy, at: np.array([5]), into)


def test_the_probe_sees_what_a_game_shows() -> None:
    with pytest.raises(EnvError, match=r"last\(\): an observation has shape \(1, 5\)"):
        inspect(EnvConfig(id=f"{__file__}:Bad", kwargs={"how": "shape"}))
