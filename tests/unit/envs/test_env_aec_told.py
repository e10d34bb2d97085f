"""Games by the AEC API: who is told what in which row, move by move."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from tests.envs.aec import Aec
from tests.unit.envs.aec_rows import Rows, lanes_of


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
