"""Games by the AEC API: which moves are legal, however a game says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.envs.aec import Moves, TicTacToe
from tests.unit.envs.aec_rows import Rows, compare, lanes_of
from tuitrain.envs.make import EnvError


def test_a_mask_belongs_to_the_row_that_was_seen_with_it() -> None:
    rows = Rows(lanes_of(TicTacToe, 2)).play(60)
    moves = 0
    for _, row, _, lane in rows.moves():
        marks = row["observation"][lane].reshape(2, 9).any(0)
        assert (row["legal"][lane] == ~marks).all()
        moves += 1
    assert moves > 100
    assert all(row["legal"].any(1).all() for of in rows.rows.values() for row in of)


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
