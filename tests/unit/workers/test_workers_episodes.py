"""Episodes followed many rows at once against the same told lane by lane and step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.unit.workers.one_actor import CHUNK_STEPS, SEQUENCES, one_actor
from tuitrain.replay.layout import ABSENT, BOUNDARY
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.episodes import Episodes

LANES = 3


@dataclass
class Lane:
    """What one lane is to know, in words of one step."""

    age: int = 0
    over: bool = False
    absent: bool = False
    rewards: list[float] = field(default_factory=list)
    ended: list[tuple[float, int, bool]] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether the row at hand is no transition."""
        return self.over or self.absent

    def step(self, reward: float, end: bool, leaves: bool = False, cut: bool = False) -> None:
        if self.idle:  # whoever is there in the next row begins
            self.age, self.over, self.rewards, self.absent = 0, False, [], leaves
            return
        self.age += 1
        self.rewards.append(reward)
        self.over = end
        if end:
            self.ended.append((sum(self.rewards), self.age, cut))


def outcomes(rows: int, chance: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards and ends as lanes give them: nothing in the row after an end."""
    rng = np.random.default_rng(seed)
    reward = rng.integers(-8, 9, (rows, LANES)).astype(np.float32) / 4
    terminated, truncated = (rng.random((rows, LANES)) < chance for _ in range(2))
    for row in range(1, rows):
        before = terminated[row - 1] | truncated[row - 1]
        reward[row][before] = 0.0
        terminated[row][before] = truncated[row][before] = False
    return reward, terminated, truncated


@pytest.mark.parametrize("rows_at_once", [[1], [16], [1, 16, 2, 7], [200]])
@pytest.mark.parametrize("chance", [0.0, 0.03, 0.4, 1.0])
def test_any_number_of_rows_at_once_is_the_same(rows_at_once: list[int], chance: float) -> None:
    reward, terminated, truncated = outcomes(200, chance, seed=len(rows_at_once))
    episodes, lanes = Episodes(LANES), [Lane() for _ in range(LANES)]
    at, turn = 0, 0
    while at < 200:
        rows = slice(at, at + rows_at_once[turn % len(rows_at_once)])
        after = episodes.follow(reward[rows], terminated[rows], truncated[rows])
        transitions = 0
        for k, row in enumerate(range(200)[rows]):
            transitions += sum(not lane.over for lane in lanes)
            for i, lane in enumerate(lanes):
                ends = bool(terminated[row, i]), bool(truncated[row, i])
                lane.step(float(reward[row, i]), any(ends), cut=ends == (False, True))
            assert after.age[k].tolist() == [lane.age for lane in lanes]
            assert after.flags[k].tolist() == [BOUNDARY * lane.over for lane in lanes]
        assert after.transitions == transitions
        at, turn = rows.stop, turn + 1
    ended = [end for lane in lanes for end in lane.ended]
    assert (chance > 0) == bool(ended)
    if ended:
        returns, lengths, cuts = zip(*ended, strict=True)
        cut = [length for length, how in zip(lengths, cuts, strict=True) if how]
        of_cut = {"truncated_length_min": min(cut), "truncated_length_max": max(cut)} if cut else {}
        assert bool(cut) == (chance < 1), "who is terminated too is not truncated"
        assert episodes.stats.take() == {  # quarters add up exactly
            "episodes": len(ended),
            "return_mean": sum(returns) / len(ended),
            "return_min": min(returns),
            "return_max": max(returns),
            "length_mean": sum(lengths) / len(ended),
            "length_min": min(lengths),
            "length_max": max(lengths),
            "truncated": len(cut),
            "longest_terminated": lengths.count(max(lengths)) - cut.count(max(lengths)),
            "at_once": lengths.count(1),
            "over_soon": lengths.count(2) + lengths.count(3),
            "cut_at_once": cut.count(1),
            "chance_episodes": 0,
            **of_cut,
        }
        assert episodes.stats.episodes == 0


def test_those_played_by_chance_are_told_apart() -> None:
    episodes, ends = Episodes(1), np.ones((1, 1), np.bool_)
    for reward, by_chance in ((2.0, True), (5.0, True), (90.0, False)):
        outcome = np.full((1, 1), reward, np.float32), ends, ~ends
        episodes.follow(*outcome, by_chance=by_chance)
        episodes.follow(np.zeros((1, 1), np.float32), ~ends, ~ends, by_chance=by_chance)
    told = episodes.stats.take()
    assert {k: v for k, v in told.items() if k.startswith("chance_")} == {
        "chance_episodes": 2,
        "chance_return_mean": 3.5,
        "chance_return_min": 2.0,
        "chance_return_max": 5.0,
    }
    assert episodes.stats.chance_episodes == 0


@pytest.mark.parametrize("rows_at_once", [[1], [16], [1, 16, 2, 7], [300]])
@pytest.mark.parametrize("all_there", [True, False])
def test_agents_come_and_go(rows_at_once: list[int], all_there: bool) -> None:
    """After an end, and its boundary row, an agent may be away for a while, as it may at first."""
    rng = np.random.default_rng(8)
    shape = (300, LANES)
    reward = rng.integers(-8, 9, shape).astype(np.float32) / 4
    terminated, absent = rng.random(shape) < 0.2, np.zeros(shape, bool)
    first = np.array([not all_there, False, not all_there])
    lanes = [Lane(absent=bool(away)) for away in first]
    wanted = []
    for row in range(300):
        live = [not lane.idle for lane in lanes]
        for i, lane in enumerate(lanes):
            reward[row, i] *= live[i]
            terminated[row, i] &= live[i]
            absent[row, i] = not live[i] and rng.random() < 0.7
            lane.step(float(reward[row, i]), bool(terminated[row, i]), bool(absent[row, i]))
        flags = [BOUNDARY * lane.over + ABSENT * lane.absent for lane in lanes]
        wanted.append((live, [lane.age for lane in lanes], flags))
    assert absent.sum() > 100
    episodes = Episodes(LANES)
    episodes.begin(None if all_there else first)
    at, turn = 0, 0
    while at < 300:
        rows = slice(at, at + rows_at_once[turn % len(rows_at_once)])
        no = np.zeros_like(terminated[rows])
        after = episodes.follow(reward[rows], terminated[rows], no, absent[rows])
        for k, (live, ages, flags) in enumerate(wanted[rows]):
            assert after.idle[k].tolist() == [not there for there in live]
            assert after.age[k].tolist() == ages
            assert after.flags[k].tolist() == flags
        assert after.transitions == sum(sum(live) for live, _, _ in wanted[rows])
        at, turn = rows.stop, turn + 1
    ended = [end for lane in lanes for end in lane.ended]
    told = episodes.stats.take()
    assert told["episodes"] == len(ended)
    assert told["return_mean"] == sum(total for total, _, _ in ended) / len(ended)
    assert told["length_mean"] == sum(length for _, length, _ in ended) / len(ended)


def test_long_episodes_have_their_length_and_lose_nothing_of_their_return() -> None:
    """The replay's ages end at 65,535; float32 sums would be off in the third digit."""
    episodes = Episodes(1)
    reward = np.full((40_000, 1), 0.1, np.float32)
    no = np.zeros_like(reward, bool)
    for _ in range(2):
        episodes.follow(reward, no, no)
    assert episodes.follow(reward[:1], ~no[:1], no[:1]).age.tolist() == [[80_001]]
    told = episodes.stats.take()
    assert told["truncated"] == 0
    assert "truncated_length_min" not in told
    assert told["length_mean"] == told["length_min"] == told["length_max"] == 80_001
    assert told["return_mean"] == pytest.approx(80_001 * float(np.float32(0.1)), rel=1e-9)


def test_a_state_of_before_there_were_lengths_is_taken_back() -> None:
    episodes = Episodes(LANES)
    over = np.ones((1, LANES), bool)
    episodes.follow(np.ones((1, LANES), np.float32), over, ~over)
    saved = episodes.state()
    for name in ("length_min", "length_max", "truncated", "truncated_length_min"):
        del saved["stats"][name]
    other = Episodes(LANES)
    other.restore(saved)
    other.follow(np.zeros((1, LANES), np.float32), ~over, ~over)
    other.follow(np.zeros((2, LANES), np.float32), ~over[[0, 0]], np.array([[0], [1]]) > ~over)
    told = other.stats.take()
    assert (told["episodes"], told["truncated"]) == (2 * LANES, LANES)
    assert (told["length_min"], told["length_max"]) == (2, 2), "of those that ended since"
    assert told["length_mean"] == 1.5


def test_an_actor_tells_what_ended_while_epsilon_was_nearly_one(tmp_path: Path) -> None:
    """▣ In one record: of 400 steps at epsilon 1 and 400 at the end of the decay the first ones."""
    exploration = {"epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_decay_steps": 10_000}
    with one_actor(tmp_path, **SEQUENCES, exploration=exploration) as (blueprint, shared):
        actor = build_actor(blueprint, shared, 0)
        ended = []
        for steps in (0, 20_000):
            for _ in range(80):
                actor.begin(Ticket(steps, (0,) * len(actor.parts)), CHUNK_STEPS)
                actor.rollout(CHUNK_STEPS, lambda: None)
                actor.commit()
            (part,) = actor.parts.values()
            ended.append(part.stats.episodes)
        told = part.take_figures()
        actor.close()
    assert 0 < told["chance_episodes"] == ended[0] < ended[1] == told["episodes"]
