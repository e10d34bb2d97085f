"""Games by the AEC API as lanes: every move is one transition of what really happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.envs.aec import Moves
from tests.unit.envs.aec_rows import SEEDS, TEAM, Fault, Rows, compare, lanes_of, played
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.cycles import CycleLanes, CycleStep
from tuitrain.envs.lanes.turns import TurnLanes, empty_row
from tuitrain.envs.make import inspect, make_lanes

GAMES: list[dict[str, Any]] = [
    {},
    {"p_leave": 0.1, "p_over": 0.02},
    {"p_leave": 0.1, "p_over": 0.02, "leavers_first": True},
    {"turns": "skips"},
    {"turns": "twice"},
    {"turns": "random", "p_leave": 0.05},
    {"turns": "random", "p_leave": 0.05, "leavers_first": True},
    {"turns": "skips", "masked": True, "p_leave": 0.05},
]


def ids(game: dict[str, Any]) -> str:
    return "-".join(map(str, game.values())) or "cycle"


@pytest.mark.parametrize("policies", ["each", TEAM], ids=["own", "shared"])
@pytest.mark.parametrize("game", GAMES, ids=ids)
def test_every_move_becomes_one_transition_of_what_really_happened(
    game: dict[str, Any], policies: Any
) -> None:
    rows = played(game, policies)
    wrong = compare(rows)
    assert not any(wrong.values()), wrong
    ended = [past for past in Moves.log.values() if past.terminated or past.truncated]
    assert sum(past.terminated for past in ended) > 20
    assert sum(past.truncated for past in ended) > 20
    assert sum(len(past.actions) for past in Moves.log.values()) > 600


@pytest.mark.parametrize("game", GAMES[:3], ids=ids)
def test_nobody_waits_where_turns_are_in_order(game: dict[str, Any]) -> None:
    rows = played(game, "each")
    assert not any(row["waits"].any() for of in rows.rows.values() for row in of[:-1])


def test_games_that_are_in_step_choose_together() -> None:
    for policies in ("each", "shared", TEAM):
        batches = played({"p_over": 0.0}, policies, 50).batches
        assert [len(lanes) for lanes in batches] == [3] * 150


def test_different_agents_under_one_policy_choose_together_too() -> None:
    batches = played({"turns": "random", "p_over": 0.0}, "shared", 50).batches
    assert sum(len({lane % 3 for lane in lanes}) > 1 for lanes in batches) > 20


def test_treasure_hunt_by_this_api_is_the_turn_taking_world_row_by_row() -> None:
    """Two implementations of the same thing: the reward of a move is known at once there."""
    hunt = pytest.importorskip("tuitrain.envs.treasurehunt.apis").TurnsHunt
    settings: dict[str, Any] = {"side": 6, "agents": 3, "turns": 7, "gem_chance": 0.2}
    moves = np.random.default_rng(0).integers(4, size=(60, 3))
    rows = Rows(
        lanes_of(lambda: hunt(**settings), 1, "shared"),
        lambda lanes, _: moves[len(rows.rows["shared"]) - 1][lanes],
    )
    rows.play(60)

    env = EnvConfig(id="tuitrain.envs.treasurehunt:make", kwargs=settings)
    world = make_lanes(env, 1, "shared")
    assert isinstance(world, TurnLanes)
    world.reset(SEEDS[:1])
    rewards = 0.0
    for number, row in enumerate(rows.rows["shared"][1:-1]):
        turn = empty_row(world.spec.policies["shared"], 1)
        chosen = moves[number]
        world.turn(lambda _, place, chosen=chosen: chosen[place : place + 1], {"shared": turn})
        assert (row["observation"] == turn.observation).all(), number
        for key in ("reward", "truncated", "terminated"):
            assert (row[key] == getattr(turn, key)).all(), number
        rewards += turn.reward.sum()
    assert rewards > 100
    assert sum(row["boundary"].all() for row in rows.rows["shared"]) == 7


@pytest.mark.parametrize("game", ["classic/tictactoe-v3", "classic/connect_four-v3"])
def test_pettingzoos_own_games(game: str) -> None:
    pettingzoo = pytest.importorskip("pettingzoo")
    pytest.importorskip("pygame")  # which they draw with
    rows = Rows(lanes_of(lambda: pettingzoo.make("aec", game), 3, "shared")).play(150)
    policy = rows.lanes.spec.policies["shared"]
    assert (policy.observation_dtype, policy.masked) == ("int8", True)
    moves = paid = ends = 0
    for _, row, after, lane in rows.moves():
        # an illegal move would have ended the game with a reward for nobody else
        marks = row["observation"][lane].sum()
        assert marks < row["observation"][lane].size // 2
        moves += 1
        ends += bool(row["terminated"][lane])
        paid += row["reward"][lane]
        if not row["terminated"][lane]:
            assert after["observation"][lane].sum() == marks + 2, "one's own move and the answer"
            assert row["reward"][lane] == 0
    assert moves > 400
    assert ends > 20
    assert abs(paid) <= 3, "what one wins the other loses, but for games that are under way"
    rows.lanes.close()


def test_the_same_seeds_give_the_same_games_and_reset_forgets() -> None:
    lanes = lanes_of(lambda: Moves("random", p_leave=0.05), 3)
    told: list[list[bytes]] = []
    for cycles in (31, 60, 60):
        rows = Rows(lanes).play(cycles)
        told.append([row["observation"].tobytes() for of in rows.rows.values() for row in of])
    assert told[1] == told[2]


def test_a_reference_to_a_game_is_enough() -> None:
    config = EnvConfig(id="tests.envs.aec:Moves", kwargs={"masked": True})
    spec = inspect(config, TEAM)
    assert spec.policies["team"].agents == ("a", "c")
    assert spec.policies["team"].masked
    assert spec.policies["team"].absences
    lanes = make_lanes(config, 2, TEAM, told=spec)
    assert isinstance(lanes, CycleLanes)
    assert lanes.spec == spec
    lanes.close()


def test_closing_closes_every_game_and_twice_is_allowed() -> None:
    lanes = lanes_of(Moves, 2)
    lanes.reset(SEEDS[:2])
    envs = list(lanes._envs)
    lanes.close()
    lanes.close()
    assert [env.closed for env in envs] == [True, True]


def told_a_cycle_late() -> Fault:
    kept: dict[str, Any] = {}

    def fault(into: dict[str, CycleStep]) -> None:
        for name, step in into.items():
            now = step.reward.copy()
            step.reward[:] = kept.get(name, 0.0)
            kept[name] = now

    return fault


def the_losers_pay_is_lost() -> Fault:
    def fault(into: dict[str, CycleStep]) -> None:
        for step in into.values():
            step.reward[step.terminated] = 0.0

    return fault


def nobody_waits() -> Fault:
    def fault(into: dict[str, CycleStep]) -> None:
        for step in into.values():
            step.waits.fill(False)

    return fault


def anothers_view() -> Fault:
    def fault(into: dict[str, CycleStep]) -> None:
        for step in into.values():
            step.observation[:] = np.roll(step.observation, 1, axis=0)

    return fault


@pytest.mark.parametrize(
    ("fault", "game", "shows"),
    [
        (told_a_cycle_late, {}, "paid"),
        (the_losers_pay_is_lost, {}, "paid"),
        (nobody_waits, {"turns": "skips"}, "next"),
        (anothers_view, {}, "strange"),
    ],
)
def test_a_fault_shows(fault: Callable[[], Fault], game: dict[str, Any], shows: str) -> None:
    wrong = compare(played(game, "each", wrong=fault()))
    assert wrong[shows] > 20, wrong
