"""▣ A run that is interrupted and goes on is the run that was never interrupted, byte for byte.

"Train 2N rounds" and "train N, save, be killed, go on, train N" end with the same weights, target
networks, shard columns, counts and records. What must be in a checkpoint for that is shown by
leaving out one thing at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parity.cases import config
from tests.parity.resumption import Left, every_record, session
from tuitrain.config.schema import Config
from tuitrain.learning.stream import GlobalStream
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.reader import ReplayReader
from tuitrain.seeding import GlobalRandom
from tuitrain.workers.acting.ahead_lanes import AheadLanes
from tuitrain.workers.acting.episodes import Episodes
from tuitrain.workers.acting.policy_lanes import PolicyLanes
from tuitrain.workers.learners.policy_learner import PolicyLearner

__all__ = ["every_record"]

pytestmark = pytest.mark.usefixtures("every_record")

N = 8
"""Rounds on either side: the ring has wrapped, and the target been copied, on both."""

RICH: dict[str, Any] = {
    "n_step": 3,
    "n_frames": 2,
    "replay": {"prioritized": True},
    "algorithm": {"noisy": True},
}
"""Something of every kind that could be forgotten."""

CASES: dict[str, Config] = {
    "one frame": config("cartpole", "sequential"),
    "images, four frames": config("image", "sequential", n_frames=4),
    "prioritized, noisy, three steps": config("cartpole", "sequential", **RICH),
    "global random numbers": config("global-random", "sequential"),
    "two policies": config("two-policies", "sequential"),
    "agents in turns, three frames": config(
        "cartpole",
        "sequential",
        n_step=3,
        env={"id": "tests.envs:TurnTags", "n_frames": 3},
        policies={"map": {"a": "team", "c": "team"}},
        replay={"capacity": 480},
    ),
    "one agent at a time": config(
        "cartpole",
        "sequential",
        env={"id": "tests.envs.aec:TicTacToe"},
        learner={"replay_ratio": 0.2},
    ),
}


def straight(case: Config, folder: Path, rounds: int = 2 * N) -> Left:
    """Never interrupted."""
    with session(case, folder / "straight") as run:
        run.go(rounds)
        return run.left()


def interrupted(case: Config, folder: Path, meanwhile: int = 2) -> Left:
    """Saved after N rounds, and dropped some rounds later, which are made anew."""
    with session(case, folder / "interrupted") as run:
        run.go(N)
        run.save()
        before = list(run.link.records)
        run.go(meanwhile)
    with session(case, folder / "interrupted") as run:
        assert run.blueprint.base.exact
        run.go(N)
        left = run.left()
    left.records = before + left.records
    return left


@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert interrupted(case, tmp_path) == straight(case, tmp_path)


def test_going_on_twice_is_going_on(tmp_path: Path) -> None:
    case = CASES["prioritized, noisy, three steps"]
    records = []
    for request in range(4):
        with session(case, tmp_path / "often") as run:
            run.go(N // 2)
            run.save(request)
            left = run.left()
            records += left.records
    left.records = records
    assert left == straight(case, tmp_path)


# ---- what would be noticed if it were forgotten --------------------------------------------------


def nothing(*_: Any, **__: Any) -> None:
    """Instead of what restores something."""


def _without(name: str) -> Callable[[Any, Any], None]:
    original = Episodes.restore

    def restore(self: Any, state: Any) -> None:
        kept = getattr(self, name)
        original(self, state)
        setattr(self, name, kept)

    return restore


def _fewer(module: Any, method: str, key: str, empty: Any) -> Callable[..., Any]:
    original = getattr(module, method)

    def mutant(self: Any, state: Any, **more: Any) -> Any:
        return original(self, {**state, key: empty}, **more)

    return mutant


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "the environments": lambda m: m.setattr("tuitrain.envs.lanes.vector.restore_envs", nothing),
    "the actor's generator": lambda m: m.setattr(PolicyLanes, "restore", _keeping_generator()),
    "the actor's global random numbers": lambda m: m.setattr(GlobalRandom, "restore", nothing),
    "returns so far": lambda m: m.setattr(Episodes, "restore", _without("_return")),
    "ages": lambda m: m.setattr(Episodes, "restore", _without("_age")),
    "the pending row": lambda m: m.setattr(PolicyLanes, "take_rows", _forgetting_pending()),
    "the learner's generator": lambda m: m.setattr(PolicyLearner, "restore", _learner("rng")),
    "torch's generators": lambda m: m.setattr(GlobalStream, "restore", nothing),
    "priorities": lambda m: m.setattr(ReplayReader, "restore_priorities", nothing),
    "the greatest priority": lambda m: m.setattr(
        ReplayReader,
        "restore_priorities",
        _fewer(ReplayReader, "restore_priorities", "greatest", 1.0),
    ),
    "actions chosen ahead": lambda m: m.setattr(AheadLanes, "restore", PolicyLanes.restore),
    "which updates versions had": lambda m: m.setattr(
        "tuitrain.learning.weights.WeightStore.restore_history", nothing
    ),
    "counts of the limiter": lambda m: m.setattr(Limiter, "set_counts", nothing),
    "the optimizer": lambda m: m.setattr("tuitrain.learning.adam.Adam.load_state", nothing),
    "the target network": lambda m: m.setattr(
        "tuitrain.learning.dqn.DQN.load_state_dict", _without_target()
    ),
}


def _keeping_generator() -> Callable[[Any, Any], None]:
    original = PolicyLanes.restore

    def restore(self: PolicyLanes, state: Any) -> None:
        kept = self._rng.bit_generator.state
        original(self, state)
        self._rng.bit_generator.state = kept

    return restore


def _forgetting_pending() -> Callable[[Any, Any, Any], None]:
    original = PolicyLanes.take_rows

    def take_rows(self: PolicyLanes, state: Any, fill: Any) -> None:
        original(self, state, fill)
        pending = state["head"] % self.writer.ring.rows
        self.writer.columns.observation[self.writer.shard, pending] = 0

    return take_rows


def _learner(attribute: str) -> Callable[..., None]:
    original = PolicyLearner.restore

    def restore(self: PolicyLearner, state: Any, *, exact: bool) -> None:
        kept = getattr(self, attribute).bit_generator.state
        original(self, state, exact=exact)
        getattr(self, attribute).bit_generator.state = kept

    return restore


def _without_target() -> Callable[[Any, Any], None]:
    from tuitrain.learning.dqn import DQN

    original = DQN.load_state_dict

    def load(self: DQN, state: Any) -> None:
        original(self, state)
        self._pairs.copy()

    return load


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The run that mutants are compared with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuitrain.schedules.rounds.RECORD_EVERY_S", 0.0)
        return straight(CASES["prioritized, noisy, three steps"], tmp_path_factory.mktemp("rich"))


@pytest.mark.parametrize("forgotten", MUTANTS)
def test_whatever_is_forgotten_shows(
    forgotten: str, rich: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "prioritized, noisy, three steps"
    whole = rich
    for word, other in (("global", "global random numbers"), ("ahead", "one agent at a time")):
        if word in forgotten:
            name, whole = other, straight(CASES[other], tmp_path)
    MUTANTS[forgotten](monkeypatch)
    assert interrupted(CASES[name], tmp_path) != whole
