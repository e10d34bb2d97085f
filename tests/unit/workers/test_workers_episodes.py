"""Episodes followed many rows at once against the same told lane by lane and step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from tuitrain.workers.episodes import Episodes

LANES = 3


@dataclass
class Lane:
    """What one lane is to know, in words of one step."""

    age: int = 0
    over: bool = False
    rewards: list[float] = field(default_factory=list)
    ended: list[tuple[float, int]] = field(default_factory=list)

    def step(self, reward: float, end: bool) -> None:
        if self.over:  # the environment was reset: that was a boundary row
            self.age, self.over, self.rewards = 0, False, []
            return
        self.age += 1
        self.rewards.append(reward)
        self.over = end
        if end:
            self.ended.append((sum(self.rewards), self.age))


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
                lane.step(float(reward[row, i]), bool(terminated[row, i] or truncated[row, i]))
            assert after.age[k].tolist() == [lane.age for lane in lanes]
            assert after.over[k].tolist() == [lane.over for lane in lanes]
        assert after.transitions == transitions
        at, turn = rows.stop, turn + 1
    ended = [end for lane in lanes for end in lane.ended]
    assert (chance > 0) == bool(ended)
    if ended:
        returns, lengths = zip(*ended, strict=True)
        assert episodes.stats.take() == {  # quarters add up exactly
            "episodes": len(ended),
            "return_mean": sum(returns) / len(ended),
            "return_min": min(returns),
            "return_max": max(returns),
            "length_mean": sum(lengths) / len(ended),
        }
        assert episodes.stats.episodes == 0


def test_long_episodes_have_their_length_and_lose_nothing_of_their_return() -> None:
    """The replay's ages end at 65,535; float32 sums would be off in the third digit."""
    episodes = Episodes(1)
    reward = np.full((40_000, 1), 0.1, np.float32)
    no = np.zeros_like(reward, bool)
    for _ in range(2):
        episodes.follow(reward, no, no)
    assert episodes.follow(reward[:1], ~no[:1], no[:1]).age.tolist() == [[80_001]]
    told = episodes.stats.take()
    assert told["length_mean"] == 80_001
    assert told["return_mean"] == pytest.approx(80_001 * float(np.float32(0.1)), rel=1e-9)
