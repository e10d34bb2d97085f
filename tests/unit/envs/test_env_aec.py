"""Games by the AEC API as lanes: who is told what, in which row, and what they see in the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.envs.aec import Aec, Moves, MoveTag, TicTacToe
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.aec import AecLanes
from tuitrain.envs.lanes.cycles import CycleLanes, CycleStep, empty_cycle
from tuitrain.envs.lanes.turns import TurnLanes, empty_row
from tuitrain.envs.make import EnvError, inspect, make_lanes

Fault = Callable[[dict[str, CycleStep]], None]
Act = Callable[[Any, Any], Any]

SEEDS = [7, 8, 9]
TEAM = {"a": "team", "c": "team"}


def lanes_of(factory: Callable[[], Any], n_envs: int, policies: Any = "each", **k: Any) -> AecLanes:
    return AecLanes([factory] * n_envs, "x", k.get("n_frames", 1), policies)


class Rows:
    """Every row of every lane, as an actor keeps them: a wait moves what it waits for on."""

    def __init__(self, lanes: AecLanes, act: Act | None = None, wrong: Fault | None = None):
        self.lanes, self.wrong = lanes, wrong
        self.act = act or self.at_random
        first = lanes.reset(SEEDS[: lanes.n_envs])
        assert all(step.absent is not None and step.absent.all() for step in first.values())
        self.rows = {n: [self._row(n)] for n in lanes.spec.policies}
        self.batches: list[list[int]] = []
        self._rng = np.random.default_rng(0)

    def at_random(self, lanes: Any, legal: Any) -> Any:
        if legal is None:
            return self._rng.integers(5, size=len(lanes))
        return np.array([self._rng.choice(np.flatnonzero(legal[lane])) for lane in lanes])

    def _row(self, name: str) -> dict[str, Any]:
        step = empty_cycle(self.lanes.spec.policies[name], self.lanes.n_envs)
        count = len(step.reward)
        row = {"observation": step.observation, "legal": step.legal, "absent": step.absent}
        return row | {"action": np.full(count, -1), "boundary": np.zeros(count, np.bool_)}

    def cycle(self) -> None:
        spec, after, into = self.lanes.spec, {}, {}
        for name, policy in spec.policies.items():
            step = empty_cycle(policy, self.lanes.n_envs)
            for name_of, array in step._asdict().items():
                if array is not None:
                    array.fill(name_of != "legal")  # what a slot of the ring held before
            into[name], after[name] = step, self._row(name)

        def choose(policy: str, lanes: Any) -> Any:
            self.batches.append(lanes.tolist())
            actions = self.act(lanes, into[policy].legal)
            after[policy]["action"][lanes] = actions
            return actions

        self.lanes.cycle(choose, into)
        if self.wrong is not None:
            self.wrong(into)
        for name, step in into.items():
            row, new, waits = self.rows[name][-1], after[name], step.waits
            over = step.terminated | step.truncated
            new |= {"observation": step.observation, "legal": step.legal, "absent": step.absent}
            new["boundary"] = over
            for key in ("observation", "action"):
                new[key][waits] = row[key][waits]
            row |= {"reward": step.reward, "waits": waits}
            row |= {"terminated": step.terminated, "truncated": step.truncated}
            self.rows[name].append(new)

    def play(self, cycles: int) -> Rows:
        for _ in range(cycles):
            self.cycle()
        return self

    def moves(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], int]]:
        """Policy, row, the row after and lane of every transition."""
        for name, rows in self.rows.items():
            for row, after in pairwise(rows):
                idle = row["absent"] | row["boundary"] | row["waits"]
                for lane in np.flatnonzero(~idle).tolist():
                    yield name, row, after, lane


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


def compare(rows: Rows) -> dict[str, int]:
    """Every transition with what happened; what was wrong, how often."""
    wrong = dict.fromkeys(("view", "action", "paid", "end", "next", "lost", "strange", "ghost"), 0)
    seen: dict[tuple[int, int, str], int] = {}
    for policy, row, after, lane in rows.moves():
        agents = rows.lanes.spec.policies[policy].agents
        agent = agents[lane % len(agents)]
        tag = MoveTag(*map(int, row["observation"][lane]))
        past = Moves.log.get((tag.instance, tag.game, agent))
        if past is None or tag.own >= len(past.actions):
            wrong["strange"] += 1
            continue
        seen[tag.instance, tag.game, agent] = seen.get((tag.instance, tag.game, agent), 0) + 1
        last = tag.own == len(past.actions) - 1
        ends = (past.terminated, past.truncated) if last else (False, False)
        told = MoveTag(*map(int, after["observation"][lane]))
        wrong["view"] += tag != past.views[tag.own]
        wrong["action"] += row["action"][lane] != past.actions[tag.own]
        wrong["paid"] += row["reward"][lane] != past.paid[tag.own]
        wrong["end"] += (row["terminated"][lane], row["truncated"][lane]) != ends
        wrong["next"] += told != past.views[tag.own + 1]
        if row["legal"] is not None:
            wrong["action"] += not row["legal"][lane][row["action"][lane]]
    for row in (row for of in rows.rows.values() for row in of):
        wrong["ghost"] += int(np.count_nonzero(row["observation"][row["absent"]]))
    for (instance, game, agent), past in Moves.log.items():
        if (instance, game + 1, agent) in Moves.log:  # of the last one rows may be to come
            wrong["lost"] += len(past.actions) != seen.get((instance, game, agent), 0)
    return wrong


def played(game: dict[str, Any], policies: Any, cycles: int = 200, **k: Any) -> Rows:
    Moves.log.clear()
    return Rows(lanes_of(lambda: Moves(**game), 3, policies), **k).play(cycles)


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


class Scripted(Aec):
    """`moves` is who moves and what; the game is over after the last one, and its agent has won."""

    def __init__(self, moves: str):
        self.moves = moves.split()
        self.possible_agents = tuple(sorted({move[0] for move in self.moves}))

    def observation_space(self, agent: str) -> Any:
        return spaces.Box(0.0, 100.0, (1,), np.float32)

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(10)

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self.made = 0
        self.begin()

    def next_mover(self) -> str:
        self.turn += 1
        if self.turn < len(self.moves):
            return self.moves[self.turn][0]
        return self.possible_agents[(self.turn - len(self.moves)) % len(self.possible_agents)]

    def observe(self, agent: str) -> Any:
        return np.array([self.made], np.float32)

    def move(self, agent: str, action: int) -> None:
        self.made += 1
        if self.made == len(self.moves):
            for other in self.agents:
                self.pay(other, 1.0 if other == agent else -1.0)
                self.terminations[other] = True


def script(moves: str, cycles: int) -> dict[str, list[str]]:
    """Each agent's rows: "absent", "wait", or what it saw, then did and was paid, * for an end."""
    lanes = lanes_of(lambda: Scripted(moves), 1)
    (game,) = lanes._envs
    rows = Rows(lanes, lambda *_: np.array([int(game.moves[game.made][1])])).play(cycles)
    return {name: [written(row) for row in of[:-1]] for name, of in rows.rows.items()}


def written(row: dict[str, Any]) -> str:
    view = f"{row['observation'][0, 0]:g}"
    if row["absent"][0]:
        return "absent"
    if row["boundary"][0]:
        return f"{view} over"
    if row["waits"][0]:
        return f"{view} waits"
    end = "*" if row["terminated"][0] else ""
    return f"{view} does {row['action'][0]}: {row['reward'][0]:g}{end}"


def test_the_loser_is_told_when_it_comes_to_its_turn_and_the_winner_in_the_cycle_after() -> None:
    assert script("x0 o3 x1 o4 x2", 6) == {
        "x": ["absent", "0 does 0: 0", "2 does 1: 0", "4 does 2: 1*", "5 over", "0 does 0: 0"],
        "o": ["absent", "1 does 3: 0", "3 does 4: -1*", "5 over", "absent", "1 does 3: 0"],
    }


def test_where_the_second_wins_both_are_told_in_the_same_cycle() -> None:
    assert script("x0 o3 x1 o4", 5) == {
        "x": ["absent", "0 does 0: 0", "2 does 1: -1*", "4 over", "0 does 0: 0"],
        "o": ["absent", "1 does 3: 0", "3 does 4: 1*", "4 over", "1 does 3: 0"],
    }


def test_who_has_no_turn_in_a_cycle_waits_with_what_it_has_done() -> None:
    assert script("a1 b2 a3 a4 a5 b6 a7", 6) == {
        "a": ["absent", "0 does 1: 0", "2 does 3: 0", "3 does 4: 0", "4 does 5: 0", "6 does 7: 1*"],
        "b": ["absent", "1 waits", "1 waits", "1 does 2: 0", "5 does 6: -1*", "7 over"],
    }


def test_who_comes_later_is_absent_until_then() -> None:
    assert script("a1 a2 b3 a4", 5) == {
        "a": ["absent", "0 does 1: 0", "1 does 2: 0", "3 does 4: 1*", "4 over"],
        "b": ["absent", "absent", "2 does 3: -1*", "4 over", "absent"],
    }


def test_who_is_gone_before_its_first_move_was_never_there() -> None:
    class Two(Scripted):
        def __init__(self, moves: str):
            super().__init__(moves)
            self.possible_agents = ("a", "b")

    lanes = lanes_of(lambda: Two("a1 a2"), 1)
    rows = Rows(lanes).play(9)
    assert all(row["absent"][0] for row in rows.rows["b"])
    assert sum(row["reward"].sum() for row in rows.rows["a"][:-1]) >= 2.0


def test_who_comes_back_in_the_same_game_begins_anew() -> None:
    class Revives(Scripted):
        def move(self, agent: str, action: int) -> None:
            super().move(agent, action)
            if action == 9:
                self.terminations["b"] = True

        def step(self, action: int | None) -> None:
            super().step(action)
            if action is None and self.made < len(self.moves):
                self.agents.append("b")
                self.terminations["b"] = self.truncations["b"] = False
                self._earned["b"] = 0.0
                self.agent_selection = "b"

    lanes = lanes_of(lambda: Revives("a1 b2 a9 b3 b4 a5 b6"), 1)
    (game,) = lanes._envs
    rows = Rows(lanes, lambda *_: np.array([int(game.moves[game.made][1])])).play(7)
    told = {name: [written(row) for row in of[:-1]] for name, of in rows.rows.items()}
    assert told["b"][:4] == ["absent", "1 does 2: 0*", "3 over", "3 does 3: 0"]


def test_what_is_paid_before_the_first_move_is_told_in_the_row_before() -> None:
    class Blinds(Scripted):
        def begin(self) -> None:
            super().begin()
            self._earned["b"] = -5.0

    rows = Rows(lanes_of(lambda: Blinds("a1 b2 a3"), 1)).play(3)
    assert [row["reward"][0] for row in rows.rows["b"][:3]] == [-5.0, -1.0, 0.0]
    assert [row["absent"][0] for row in rows.rows["b"][:3]] == [True, False, False]


def test_a_mask_belongs_to_the_row_that_was_seen_with_it() -> None:
    rows = Rows(lanes_of(TicTacToe, 2)).play(60)
    moves = 0
    for _, row, _, lane in rows.moves():
        marks = row["observation"][lane].reshape(2, 9).any(0)
        assert (row["legal"][lane] == ~marks).all()
        moves += 1
    assert moves > 100
    assert all(row["legal"].any(1).all() for of in rows.rows.values() for row in of)


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


class InInfos(Moves):
    """Says what is legal in its infos instead."""

    def __init__(self, always: bool = True):
        super().__init__(masked=True)
        self.always = always

    def legal(self, agent: str) -> list[bool]:
        return super().legal(agent) if self.always else [True] * 5

    def observation_space(self, agent: str) -> Any:
        return super().observation_space(agent)["observation"]

    def observe(self, agent: str) -> Any:
        view = super().observe(agent)
        if self.always or self.moves > 5:
            self.infos[agent] = {"action_mask": view["action_mask"]}
        return view["observation"]

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        super().reset(seed)
        for agent in self.agents:
            self.observe(agent)


def test_masks_may_come_in_infos() -> None:
    Moves.log.clear()
    rows = Rows(lanes_of(InInfos, 3)).play(100)  # who did what is not legal would have failed
    assert all(policy.masked for policy in rows.lanes.spec.policies.values())
    wrong = compare(rows)
    assert not any(wrong.values()), wrong


class OfTheMover(InInfos):
    """The infos of all but who is to move are empty, and `c` has no masks."""

    def last(self) -> Any:
        self.observe(self.agent_selection)
        told = super().last()
        if self.agent_selection == "c":
            self.infos["c"] = {}
            return (*told[:4], {})
        return told

    def legal(self, agent: str) -> list[bool]:
        return super().legal(agent) if agent != "c" else [True] * 5

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        super().reset(seed)
        self.infos |= {agent: {} for agent in self.agents if agent != self.agent_selection}


def test_masks_may_come_with_the_turn() -> None:
    """Those who have not moved yet have been told nothing."""
    rows = Rows(lanes_of(OfTheMover, 2)).play(50)
    masked = {name: policy.masked for name, policy in rows.lanes.spec.policies.items()}
    assert masked == {"a": True, "b": True, "c": False}


def test_masks_that_come_late_are_refused() -> None:
    with pytest.raises(EnvError, match="after the first reset nothing did"):
        Rows(lanes_of(lambda: InInfos(always=False), 1)).play(20)


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


def test_the_probe_sees_what_a_game_shows() -> None:
    with pytest.raises(EnvError, match=r"last\(\): an observation has shape \(1, 5\)"):
        inspect(EnvConfig(id=f"{__file__}:Bad", kwargs={"how": "shape"}))


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
