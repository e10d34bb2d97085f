"""What is not finite is refused before anybody can read it, and said whose it is.

Environments of all kinds return good observations for a while; that they do is part of each test,
for a look at the first ones would not do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import TurnTags
from tests.envs.aec import Moves
from tests.unit.workers.one_actor import CHUNK_STEPS, one_actor
from tuitrain.envs.spaces import EnvError
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.policy_lanes import PolicyLanes

pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
"""They are acted on before the chunk is over."""

CHUNKS = 60
"""More rows than the ring has: it has wrapped."""


class Late(gymnasium.Env[Any, Any]):
    """One number of an observation is `wrong` after `good` steps."""

    def __init__(self, good: int, wrong: float):
        self.observation_space = spaces.Box(-np.inf, np.inf, (2, 3), np.float32)
        self.action_space = spaces.Discrete(2)
        self.good, self.wrong = good, wrong

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros((2, 3), np.float32), {}

    def step(self, action: Any) -> Any:
        seen = np.full((2, 3), np.finfo(np.float32).max)
        self.good -= 1
        if self.good < 0:
            seen[1, 2] = self.wrong
        return seen, 0.0, self.good % 7 == 0, False, {}


class LateMoves(Moves):
    """What agent `b` sees is NaN after `good` looks."""

    def __init__(self, good: int):
        super().__init__(p_leave=0.1)
        self.good = good

    def observe(self, agent: str) -> Any:
        self.good -= 1
        seen = super().observe(agent)
        return seen * np.float32("nan") if agent == "b" and self.good < 0 else seen


class LateTurns(TurnTags):
    """The same, of an environment whose agents take turns."""

    def __init__(self, good: int):
        super().__init__()
        self.good = good

    def pov(self, agent: str) -> Any:
        self.good -= 1
        seen = super().pov(agent)
        return seen * np.float32("nan") if agent == "b" and self.good < 0 else seen


def played(folder: Path, name: str, **kwargs: Any) -> int:
    """Act until it is refused. Rows that can be read: all of them are finite."""
    env = {"id": f"{__file__}:{name}", "kwargs": kwargs}
    with one_actor(folder, env=env, replay={"capacity": 100}) as run:
        actor = build_actor(*run, 0)
        replays = run[1].replays.values()
        try:
            for number in range(CHUNKS):
                actor.begin(Ticket(0, (number,) * len(replays)), CHUNK_STEPS)
                actor.rollout(CHUNK_STEPS, lambda: None)
                actor.commit()
        finally:
            heads = {part.writer.head for part in actor.parts.values()}
            tails = [part.writer.tail for part in actor.parts.values()]
            actor.close()
            (head,) = heads
            for replay, tail in zip(replays, tails, strict=True):
                slots = [row % replay.layout.ring_rows for row in range(tail, head)]
                assert np.isfinite(replay.columns.observation[0, slots]).all()
            folder.joinpath("rows").write_text(str(head))
    return head


@pytest.mark.parametrize(
    ("good", "wrong"),
    [(5, np.inf), (150, -np.inf), *((good, np.nan) for good in (23, 24, 25, 26, 150))],
)
def test_late_in_a_run(good: int, wrong: float, tmp_path: Path) -> None:
    with pytest.raises(
        EnvError,
        match=rf"Late', policy 'default', agent 'default', lane 0: observation\[1, 2\] is {wrong}",
    ):
        played(tmp_path, "Late", good=good, wrong=wrong)
    assert int((tmp_path / "rows").read_text()) >= good - 2 * CHUNK_STEPS


@pytest.mark.parametrize("name", ["LateMoves", "LateTurns"])
@pytest.mark.parametrize("good", [41, 43, 400])
def test_of_one_agent_of_several(name: str, good: int, tmp_path: Path) -> None:
    with pytest.raises(
        EnvError, match=rf"{name}', policy 'b', agent 'b', lane \d: observation\[0\]"
    ):
        played(tmp_path, name, good=good)
    assert int((tmp_path / "rows").read_text()) >= good // 10


def test_large_numbers_are_finite(tmp_path: Path) -> None:
    head = played(tmp_path, "Late", good=0, wrong=-float(np.finfo(np.float32).max))
    assert head == CHUNKS * CHUNK_STEPS


def test_a_successor_is_not_blamed_for_what_was_never_committed(tmp_path: Path) -> None:
    """Where agents take turns the pending row still holds what the one before it left there."""
    env = {"id": f"{__file__}:LateTurns", "kwargs": {"good": 10**9}}
    with one_actor(tmp_path, env=env, replay={"capacity": 100}) as run:
        for replay in run[1].replays.values():
            replay.columns.observation.fill(np.nan)
        actor = build_actor(*run, 0)
        for _ in range(3):
            actor.begin(Ticket(0, (0,) * 3), CHUNK_STEPS)
            actor.rollout(CHUNK_STEPS, lambda: None)
            actor.commit()
        actor.close()


def test_without_the_look_it_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PolicyLanes, "check_finite", lambda *_: None)
    with pytest.raises(AssertionError):
        played(tmp_path, "Late", good=23, wrong=float("nan"))
