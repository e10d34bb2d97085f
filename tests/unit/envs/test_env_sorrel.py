"""The guide's world, taken out of the guide: its own turns and those of the lanes are the same."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.guide import FOLDER, write_files
from tuitrain.config.load import load_config, parse_config
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes, empty_row
from tuitrain.envs.make import inspect, make_lanes
from tuitrain.envs.sorrel import SorrelWorld
from tuitrain.envs.spaces import EnvError
from tuitrain.loading import load_object

PAGE = "from-sorrel.md"
MODULES = ("foraging", "train_foraging")


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    written = write_files(PAGE, tmp_path)
    assert written == ["foraging.py", "train_foraging.py", "foraging.toml"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    was = random.getstate(), np.random.get_state()
    load_object("train_foraging.py:make")
    yield sys.modules["foraging"]
    random.setstate(was[0])
    np.random.set_state(was[1])
    for name in MODULES:
        sys.modules.pop(name, None)


Told = list[tuple[list[float], float]]
"""What an agent saw and what it was paid, move by move."""


def its_own_way(module: Any, epochs: int, turns: int) -> Told:
    """Epochs by `take_turn`, with agents that choose by a random stream of their own."""
    rng, told = np.random.default_rng(1), []
    random.seed(3)
    environment = module.Foraging()
    views: list[Any] = []
    for agent in environment.agents:
        act = agent.act

        def choose(state: Any) -> int:
            views.append(state.astype(float).ravel().tolist())
            return int(rng.integers(4))

        def pay(world: Any, action: int, act: Any = act) -> float:
            reward = act(world, action)
            told.append((views[-1], reward))
            return reward

        agent.get_action, agent.act = choose, pay
    for _ in range(epochs):
        environment.reset()
        while environment.turn < turns:
            environment.take_turn()
    return told


def by_lanes(epochs: int, turns: int) -> tuple[Told, list[bool]]:
    """The same through lanes; and which turns ended an epoch."""
    rng, told, ends = np.random.default_rng(1), [], []
    random.seed(3)
    lanes = make_lanes(EnvConfig(id="train_foraging.py:make", kwargs={"max_turns": turns}), 1)
    assert isinstance(lanes, TurnLanes)
    rows = {name: empty_row(policy, 1) for name, policy in lanes.spec.policies.items()}
    over = False
    lanes.reset([0])
    for _ in range(epochs * (turns + 1) - 1):
        lanes.turn(
            lambda policy, place: np.array([0 if over else rng.integers(4)]),  # noqa: B023  # called in this turn alone
            rows,
        )
        if not over:
            told += [(row.observation[0].tolist(), float(row.reward[0])) for row in rows.values()]
        over = bool(rows["agent_0"].truncated[0])
        ends.append(over)
        assert not rows["agent_0"].terminated[0]
    return told, ends


def test_the_guides_world_plays_as_it_does_by_itself(guide: ModuleType) -> None:
    mine, ends = by_lanes(3, 40)
    theirs = its_own_way(guide, 3, 40)
    assert len(theirs) == 3 * 40 * 2
    assert [view for view, _ in mine] == [view for view, _ in theirs]
    assert [paid for _, paid in mine] == pytest.approx([paid for _, paid in theirs])
    assert sum(paid for _, paid in mine if paid > 0) > 10, "nobody has found anything"
    assert [turn for turn, over in enumerate(ends) if over] == [39, 80, 121]


def test_the_guides_config_is_sound(guide: ModuleType) -> None:
    config = load_config(Path("foraging.toml"), ())
    spec = inspect(config.env)
    assert list(spec.policies) == ["agent_0", "agent_1"]
    assert spec.policies["agent_1"].observation_shape == (18,)
    text = (FOLDER / PAGE).read_text()
    for table in re.findall(r"```toml\n(\[policies.*?)```", text, re.DOTALL):
        shared = parse_config(table).policies.map
        assert inspect(config.env, shared).policies["foragers"].agents == ("agent_0", "agent_1")


def test_an_agent_that_is_done_leaves_and_the_epoch_ends_with_the_last(guide: Any) -> None:
    environment = guide.Foraging()
    world = SorrelWorld(environment, max_turns=5, n_actions=4)
    first, second = environment.agents
    ends = []
    for done in ((), (second,), (first, second)):
        for agent in done:
            agent.is_done = lambda world: True
        world.begin_turn()
        ends.append((*world.end_turn(), world.present("agent_0"), world.present("agent_1")))
    assert ends == [
        (False, False, True, True),
        (False, False, True, False),
        (True, False, False, False),
    ]


def test_agents_may_say_what_is_legal(guide: Any) -> None:
    assert not hasattr(SorrelWorld(guide.Foraging(), n_actions=4, max_turns=5), "legal")
    environment = guide.Foraging()
    environment.agents[1].legal = lambda world: [True, False, world is environment.world, False]
    world: Any = SorrelWorld(environment, n_actions=4, max_turns=5)
    assert world.legal("agent_0").tolist() == [True] * 4
    assert world.legal("agent_1").tolist() == [True, False, True, False]


def test_what_sorrel_itself_says_is_read_from_it(guide: Any) -> None:
    class Named:
        def __init__(self, **names: Any) -> None:
            self.__dict__ |= names

    environment = guide.Foraging()
    environment.config = Named(experiment=Named(max_turns=2))
    environment.world.total_reward = 0.0
    for agent in environment.agents:
        agent.action_spec = Named(n_actions=3)
    world = SorrelWorld(environment)
    assert world.action_space("agent_1").n == 3
    rewards = 0.0
    ends = []
    for _ in range(2):
        world.begin_turn()
        rewards += sum(world.act(name, 1) for name in world.possible_agents)
        ends.append(world.end_turn())
    assert ends == [(False, False), (False, True)]
    assert environment.world.total_reward == pytest.approx(rewards)
    environment.agents = []
    with pytest.raises(EnvError, match="a Foraging without agents"):
        SorrelWorld(environment)


@pytest.mark.parametrize(
    ("shape", "flatten", "kept"),
    [
        ((3, 5, 5), False, (3, 5, 5)),
        ((5, 4), False, (5, 4)),
        ((18,), False, (18,)),
        ((1, 18), False, (18,)),
        ((), False, (1,)),
        ((1, 5, 5), False, (1, 5, 5)),
        ((3, 5, 5), True, (75,)),
        ((2, 3, 5, 5), True, (150,)),
    ],
)
def test_a_picture_keeps_its_shape(
    guide: Any, shape: tuple[int, ...], flatten: bool, kept: tuple[int, ...]
) -> None:
    environment = guide.Foraging()
    numbers = np.arange(np.prod(shape, dtype=int), dtype=np.int64)
    for agent in environment.agents:
        agent.pov = lambda world: numbers.reshape(shape)
    world = SorrelWorld(environment, max_turns=5, n_actions=4, flatten=flatten)
    assert world.observation_space("agent_0").shape == kept
    view = world.pov("agent_0")
    assert (view.shape, view.dtype) == (kept, np.float32)
    np.testing.assert_array_equal(view.reshape(-1), numbers)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (
            [np.zeros((5, 5, 1, 1)), None],
            r"agent_1 \(Forager\): pov\(\) returned .* shape \(5, 5, 1, 1\), but .*flatten=True",
        ),
        (
            [np.zeros(25), np.zeros(20)],
            r"agent_1 \(Forager\): pov\(\) returned 20 numbers now, 25 numbers before; it must "
            "always be of one size",
        ),
        (
            [np.zeros((3, 5, 5)), np.zeros((3, 4, 5))],
            r"an array of shape \(3, 4, 5\) now, an array of shape \(3, 5, 5\) before",
        ),
        ([np.zeros(3), None], r"agent_1 \(Forager\): pov\(\) must return an array of numbers"),
        ([np.zeros(3), "walls"], r"pov\(\) must return an array of numbers"),
        ([np.zeros(3), [[1, 2], [3]]], r"pov\(\) must return an array of numbers"),
    ],
)
def test_views_that_cannot_be_used(guide: Any, views: list[Any], message: str) -> None:
    environment = guide.Foraging()
    environment.agents[1].pov = lambda world: views.pop(0)
    world = SorrelWorld(environment, max_turns=5, n_actions=4)
    with pytest.raises(EnvError, match=message):
        [world.pov("agent_1") for _ in range(2)]


def test_what_is_not_said_is_asked_for(guide: Any) -> None:
    missing = r"Foraging has no config\.experiment\.max_turns: say it in .*max_turns="
    with pytest.raises(EnvError, match=missing):
        SorrelWorld(guide.Foraging(), n_actions=4)
    missing = r"agent_0 \(Forager\) has no action_spec\.n_actions: say it in .*n_actions="
    with pytest.raises(EnvError, match=missing):
        SorrelWorld(guide.Foraging(), max_turns=5)
    environment = guide.Foraging()
    environment.agents[0].act = lambda world, action: None
    world = SorrelWorld(environment, max_turns=5, n_actions=4)
    with pytest.raises(EnvError, match=r"act\(\) returned None, not a number; it must return the"):
        world.act("agent_0", 1)


def test_an_environment_without_the_adapter_is_told_of_it(guide: Any) -> None:
    wrap = r"is of type Foraging; .*wrap it in tuitrain\.envs\.sorrel\.SorrelWorld\("
    with pytest.raises(EnvError, match=wrap):
        inspect(EnvConfig(id="foraging.py:Foraging"))


def test_what_the_adapter_asks_for_is_told_without_the_names_of_errors(guide: Any) -> None:
    with pytest.raises(EnvError, match=r"cannot be built with .*: Foraging has no config\."):
        inspect(EnvConfig(id="train_foraging.py:make", kwargs={"max_turns": None}))
