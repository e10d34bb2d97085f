"""A learner that takes over from one that died: its weights go back, its data and counts do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.one_actor import CHUNK_STEPS, Run, one_actor
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.learners.learner import Learner

SETTINGS: dict[str, Any] = {
    "env": {"id": "tests.envs:Chain"},
    "replay": {"capacity": 400, "prioritized": True},
    "learner": {"replay_ratio": 0.5},
}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with one_actor(tmp_path, **SETTINGS) as run:
        yield run


@pytest.fixture
def actor(run: Run) -> Iterator[Actor]:
    actor = build_actor(*run, 0)
    yield actor
    actor.close()


def act(run: Run, actor: Actor, chunks: int) -> None:
    for _ in range(chunks):
        totals = run[1].limiter.totals()
        actor.pull()
        actor.begin(Ticket(totals.steps, totals.inserts), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        committed = actor.commit()
        run[1].limiter.commit(0, committed.inserts, committed.steps)


def learn(run: Run, learner: Learner, updates: int) -> None:
    for _ in range(updates):
        learner.step("default")
        run[1].limiter.add_updates(0, 1)
        learner.publish(run[1].limiter.totals().steps)


def lags(learner: Learner) -> Any:
    """Policy lag in updates of every row that can be drawn and whose weights are known."""
    part = learner.policies["default"]
    window = part.pin(0)
    versions = part.reader._index.version[: int(window.head[0])]
    part.reader.unpin()
    acted = part.store.updates_at_version(versions)
    return part.dqn.updates - acted[acted >= 0]


def test_saved_within_a_burst_it_has_lost_nothing(run: Run, actor: Actor) -> None:
    first = Learner(*run)
    act(run, actor, 6)
    for _ in range(3):
        first.step("default")
        first.uncounted["default"] += 1
    first.save()
    assert run[1].limiter.totals().updates == (3,)
    second = Learner(*run, 0, 1)
    assert second.taken_over is not None
    assert second.taken_over.lost_updates == {"default": 0}
    assert second.policies["default"].dqn.updates == 3


def test_it_goes_on_at_the_newest_checkpoint_of_the_session(run: Run, actor: Actor) -> None:
    first = Learner(*run)
    act(run, actor, 6)
    learn(run, first, 10)
    saved = first.save()["path"]
    weights = first.policies["default"].online_hash()
    learn(run, first, 7)
    act(run, actor, 2)
    version = first.policies["default"].store.version()

    second = Learner(*run, 0, 1)
    part = second.policies["default"]
    assert second.taken_over is not None
    assert second.taken_over.start == saved
    assert second.taken_over.updates == {"default": 10}
    assert second.taken_over.lost_updates == {"default": 7}
    assert part.dqn.updates == 10
    assert part.online_hash() == weights
    totals = run[1].limiter.totals()
    assert totals.updates == (17,), "what was made is not made again"
    counters = second.counters()
    assert (counters["updates/default"], counters["updates_made/default"]) == (10, 17)
    second.publish(totals.steps)
    assert part.store.version() == version + 1

    window = part.pin(0)
    assert window.sampleable > 100, "the rows live on"
    priorities = part.reader._priorities
    assert priorities is not None
    leaves = priorities._tree.get(np.arange(len(part.reader._index.row)))
    assert set(leaves.tolist()) == {0.0, priorities.greatest}
    part.reader.unpin()
    learn(run, second, 5)
    assert part.dqn.updates == 15


def test_policy_lag_is_never_negative(run: Run, actor: Actor) -> None:
    """Rows acted with weights that were lost have none."""
    first = Learner(*run)
    act(run, actor, 6)
    first.save()
    for _ in range(8):
        learn(run, first, 3)
        act(run, actor, 1)
    second = Learner(*run, 0, 1)
    assert second.policies["default"].dqn.updates == 0
    left = lags(second)
    assert len(left)
    assert (left >= 0).all()
    learn(run, second, 1)
    measured = second.policies["default"].measure(run[1].limiter.totals().inserts[0])
    assert measured.get("lag_updates_p50", 0) >= 0


def test_without_forgetting_it_would_be_negative(
    run: Run, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuitrain.learning.weights import WeightStore

    monkeypatch.setattr(WeightStore, "forget_after", lambda *_: None)
    with pytest.raises(AssertionError):
        test_policy_lag_is_never_negative(run, actor)


def test_without_a_checkpoint_it_begins_as_the_session_did(run: Run, actor: Actor) -> None:
    first = Learner(*run)
    weights = first.policies["default"].online_hash()
    act(run, actor, 6)
    learn(run, first, 9)
    second = Learner(*run, 0, 1)
    assert second.taken_over is not None
    assert second.taken_over.start == ""
    assert second.taken_over.lost_updates == {"default": 9}
    assert second.policies["default"].online_hash() == weights


def test_losses_add_up(run: Run, actor: Actor) -> None:
    first = Learner(*run)
    act(run, actor, 6)
    learn(run, first, 10)
    first.save()
    learn(run, first, 4)
    second = Learner(*run, 0, 1)
    learn(run, second, 3)
    second.save()
    learn(run, second, 2)
    third = Learner(*run, 0, 2)
    assert third.policies["default"].dqn.updates == 13
    assert second.taken_over is not None
    assert third.taken_over is not None
    assert second.taken_over.lost_updates == {"default": 4}
    assert third.taken_over.lost_updates == {"default": 2}


@pytest.mark.parametrize("harm", ["damaged", "another session's"])
def test_what_is_not_a_sound_checkpoint_of_the_session_is_passed_over(
    run: Run, actor: Actor, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Learner(*run)
    act(run, actor, 6)
    learn(run, first, 4)
    sound = first.save()["path"]
    learn(run, first, 4)
    if harm == "damaged":
        path = Path(first.save()["path"])
        path.write_bytes(path.read_bytes()[:-100])
    else:  # it has been passed over when this session began, and is still there
        payload = first._payload() | {"session": 7}
        monkeypatch.setattr(first, "_payload", lambda: payload)
        first.save()
    second = Learner(*run, 0, 1)
    assert second.taken_over is not None
    assert second.taken_over.start == sound


def test_pins_of_the_dead_are_waited_for_and_let_go(run: Run, actor: Actor) -> None:
    """An actor whose ring is full of pinned rows goes on when the successor is there."""
    first = Learner(*run)
    act(run, actor, 4)
    first.open_windows([0])  # and dies while it learns
    asked: list[str] = []

    def wait(ready: Any, reason: str) -> None:
        asked.append(reason)
        assert not ready()
        Learner(*run, 0, 1)
        assert ready()

    while not asked:
        actor.begin(Ticket(0, (0,)), CHUNK_STEPS, wait)
        actor.rollout(CHUNK_STEPS, lambda: None)
        actor.commit()
    assert "the reader of shard 0 to release row" in asked[0]
    assert not np.any(run[1].replays["default"].columns.pins >= 0)
