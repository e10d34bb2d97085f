"""The treasure hunt's rules, against facts and a plain loop over one world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuitrain.envs.treasurehunt.world import (
    AGENT,
    EMPTY,
    GEM,
    N_ACTIONS,
    WALL,
    TreasureHunt,
)

UP, DOWN, LEFT, RIGHT = range(4)


def placed(
    *places: tuple[int, int], gems: tuple[tuple[int, int], ...] = (), **more: Any
) -> TreasureHunt:
    """One world with agents and gems where they are said to be."""
    hunt = TreasureHunt(1, agents=len(places), **more)
    hunt.reset([0])
    state = hunt.state()
    state.cells[state.cells == AGENT] = EMPTY
    for agent, place in enumerate(places):
        state.places[0, agent] = place
        state.cells[0, place[0], place[1]] = AGENT
    for place in gems:
        state.cells[0, place[0], place[1]] = GEM
    hunt.load(state)
    return hunt


def test_a_new_world_is_walled_and_its_agents_stand_apart() -> None:
    hunt = TreasureHunt(50)
    for world in range(50):
        hunt.seed(world, world)
    hunt.reset(range(50))
    state = hunt.state()
    border = np.ones((10, 10), bool)
    border[1:-1, 1:-1] = False
    assert (state.cells[:, border] == WALL).all()
    assert ((state.cells == AGENT).sum((1, 2)) == 5).all()
    assert ((state.cells == EMPTY).sum((1, 2)) == 59).all()
    seen = {tuple(place) for world in state.places for place in world}
    assert len(seen) == 64, "every cell of the interior is taken at some time"


@pytest.mark.parametrize(
    ("action", "place"), [(UP, (3, 4)), (DOWN, (5, 4)), (LEFT, (4, 3)), (RIGHT, (4, 5))]
)
def test_moves(action: int, place: tuple[int, int]) -> None:
    hunt = placed((4, 4))
    assert hunt.move(0, np.array([action])) == [0.0]
    state = hunt.state()
    assert tuple(state.places[0, 0]) == place
    assert state.cells[0, 4, 4] == EMPTY
    assert state.cells[0][place] == AGENT


def test_a_gem_is_taken_a_wall_costs_and_an_agent_is_in_the_way() -> None:
    hunt = placed((1, 1), (1, 3), gems=((1, 2),))
    assert hunt.move(0, np.array([UP])) == [-1.0]
    assert tuple(hunt.state().places[0, 0]) == (1, 1)
    assert hunt.move(0, np.array([RIGHT])) == [10.0]
    assert (hunt.state().cells != GEM).all()
    assert hunt.move(0, np.array([RIGHT])) == [0.0]
    assert tuple(hunt.state().places[0, 0]) == (1, 2), "another agent stands there"
    assert hunt.move(1, np.array([LEFT])) == [0.0]
    assert tuple(hunt.state().places[0, 1]) == (1, 3)


def test_later_agents_see_what_earlier_ones_did() -> None:
    hunt = placed((2, 2), (2, 5), gems=((2, 3),))
    before = hunt.look(1)[0]
    assert before[3].sum() == 1
    hunt.move(0, np.array([RIGHT]))
    after = hunt.look(1)[0]
    assert after[3].sum() == 0, "the gem is gone"
    assert after[4].sum() == before[4].sum() + 1, "and its finder has come into view"


def test_what_is_seen_by_hand() -> None:
    """In the corner: three rows and columns of the window are walls, two of them outside."""
    hunt = placed((1, 1), (1, 2), gems=((3, 3),))
    empty, wall, sand, gem, agent = hunt.look(0)[0].tolist()
    assert empty == [[0] * 5] * 5
    assert wall == [[1] * 5, [1, 2, 2, 2, 2], [1, 2, 0, 0, 0], [1, 2, 0, 0, 0], [1, 2, 0, 0, 0]]
    assert sand == [[0] * 5, [0] * 5, *[[0, 0, 1, 1, 1]] * 3]
    assert gem == [[0] * 5] * 4 + [[0, 0, 0, 0, 1]]
    assert agent == [[0] * 5, [0] * 5, [0, 0, 1, 1, 0], [0] * 5, [0] * 5]


def test_gems_appear_on_empty_cells_as_often_as_said_and_stay() -> None:
    hunt = TreasureHunt(400)
    for world in range(400):
        hunt.seed(world, world)
    hunt.reset(range(400))
    hunt.begin_turn()
    gems = hunt.state().cells == GEM
    assert gems.sum() == pytest.approx(400 * 59 * 0.02, rel=0.15)
    hunt.begin_turn()
    later = hunt.state().cells == GEM
    assert (later >= gems).all()
    assert later.sum() > gems.sum()
    assert ((hunt.state().cells == AGENT).sum((1, 2)) == 5).all()


def test_an_epoch_has_so_many_turns() -> None:
    hunt = TreasureHunt(2, turns=3)
    hunt.reset([0, 1])
    assert [hunt.end_turn().tolist() for _ in range(2)] == [[False] * 2] * 2
    assert hunt.end_turn(np.array([True, False])).tolist() == [True, False]
    hunt.reset([0])
    assert hunt.turn.tolist() == [0, 2]


def play(hunt: TreasureHunt, turns: int, seed: int) -> list[Any]:
    """Random moves, the same in every world that has the same number."""
    streams = [np.random.default_rng([seed, world]) for world in range(hunt.worlds)]
    told: list[Any] = []
    for _ in range(turns):
        hunt.begin_turn()
        for agent in range(hunt.agents):
            told.append(hunt.look(agent).copy())
            actions = np.array([rng.integers(N_ACTIONS) for rng in streams])
            told.append(hunt.move(agent, actions))
        over = hunt.end_turn()
        hunt.reset(np.flatnonzero(over).tolist())
    return told


def test_a_world_does_not_depend_on_the_others() -> None:
    many, one = TreasureHunt(7, turns=9), TreasureHunt(1, turns=9)
    for hunt in (many, one):
        for world in range(hunt.worlds):
            hunt.seed(world, 11 + world)
        hunt.reset(range(hunt.worlds))
    for a, b in zip(play(many, 40, 3), play(one, 40, 3), strict=True):
        assert (a[:1] == b).all()


def test_a_saved_state_goes_on_as_it_was() -> None:
    hunt, other = TreasureHunt(3, turns=9), TreasureHunt(3, turns=9)
    hunt.reset(range(3))
    play(hunt, 13, 0)
    other.load(hunt.state())
    for a, b in zip(play(hunt, 30, 1), play(other, 30, 1), strict=True):
        assert (a == b).all()
    with pytest.raises(ValueError, match="places"):
        TreasureHunt(3, agents=4).load(hunt.state())


def test_the_rules_of_one_world_in_a_plain_loop() -> None:
    """The vectorised move against the rules as one would tell them."""
    hunt = TreasureHunt(1)
    hunt.seed(0, 5)
    hunt.reset([0])
    rng = np.random.default_rng(2)
    for _ in range(300):
        hunt.begin_turn()
        for agent in range(5):
            state = hunt.state()
            cells, (row, column) = state.cells[0].copy(), state.places[0, agent]
            action = int(rng.integers(4))
            to = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)][
                action
            ]
            wanted = {EMPTY: 0.0, WALL: -1.0, GEM: 10.0, AGENT: 0.0}[int(cells[to])]
            if cells[to] in (EMPTY, GEM):
                cells[row, column], cells[to] = EMPTY, AGENT
            assert hunt.move(agent, np.array([action])) == [wanted]
            assert (hunt.state().cells[0] == cells).all()


@pytest.mark.parametrize(
    "bad", [{"side": 2}, {"agents": 65}, {"agents": 0}, {"gem_chance": 1.5}, {"turns": 0}]
)
def test_impossible_worlds_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"do not fit|out of range"):
        TreasureHunt(1, **bad)
