"""Chance at the other seats: legal, in turn, and gone from what the lanes see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.envs.aec import Moves, TicTacToe
from tests.unit.envs.aec_rows import Rows
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.aec import AecLanes
from tuitrain.envs.make import EnvError, make_lanes
from tuitrain.envs.opponents import AgainstChance


def lanes(opponents: str, game: str = "TicTacToe", n_envs: int = 3, **settings: Any) -> AecLanes:
    kwargs = {"game": f"tests.envs.aec:{game}", "opponents": opponents} | settings
    made = make_lanes(EnvConfig(id="tuitrain.envs.opponents:make", kwargs=kwargs), n_envs, "shared")
    assert isinstance(made, AecLanes)
    return made


def test_one_agent_plays_in_every_game_and_each_of_them_in_some() -> None:
    rows = Rows(lanes("chance"), first_legal).play(200).rows["shared"]
    there = ~np.array([row["absent"] for row in rows[1:]]).reshape(200, 3, 2)
    assert (there.sum(2) <= 1).all()
    assert there.any(2).mean() > 0.9
    assert (there.sum((0, 1)) > 100).all()
    paid = np.array([row["reward"] for row in rows[:-1]])
    # the first free field against chance, from either seat: much is won, some is lost
    assert (paid == 1).sum() > (paid == -1).sum() > 0


def first_legal(at: Any, legal: Any) -> Any:
    """The action of every lane."""
    return legal[at].argmax(1)


def test_the_game_itself_has_the_same_spec_and_everybody_in_it() -> None:
    alone, together = lanes("chance"), lanes("self")
    assert alone.spec == together.spec
    row = Rows(together, first_legal).play(1).rows["shared"][-1]
    assert not row["absent"].any()


@pytest.mark.parametrize("masked", [False, True])
def test_the_one_is_told_what_happened_between_its_turns(masked: bool) -> None:
    """`Moves` refuses illegal moves, and moves of who has left."""
    Moves.log.clear()
    rows = Rows(lanes("chance", "Moves", masked=masked, p_leave=0.05, turns="random")).play(300)
    moves = 0
    for _, row, after, lane in rows.moves():
        tag, told = row["observation"][lane].astype(int), after["observation"][lane].astype(int)
        past = Moves.log[int(tag[0]), int(tag[1]), "abc"[lane % 3]]
        assert row["reward"][lane] == past.paid[tag[3]]
        assert tuple(told) == past.views[tag[3] + 1]
        moves += 1
    assert moves > 500


def test_seeds_decide_seats_and_moves() -> None:
    played = []
    for seed in (1, 1, 2):
        env = AgainstChance(TicTacToe())
        env.reset(seed=seed)
        boards = []
        for _ in range(30):
            boards.append(env.board.tobytes())
            if not env.agents:
                env.reset()
            gone = env.terminations[env.agent_selection]
            env.step(None if gone else int(np.argmin(env.board != 0)))
        played.append(boards)
    assert played[0] == played[1] != played[2]


def test_others_are_refused() -> None:
    with pytest.raises(EnvError, match='opponents must be "self" or "chance", not \'best\''):
        lanes("best")
