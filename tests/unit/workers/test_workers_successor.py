"""An actor that takes over from one that was killed between the commits of two policies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.envs import decode, sequence_reward
from tests.unit.workers.one_actor import CHUNK_STEPS, N_FRAMES, Run, one_actor
from tuitrain.replay.layout import CUT
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.shard import ShardWriter
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor

N_STEP, GAMMA = 3, 0.5


class Killed(Exception):
    """In the place of a SIGKILL: nothing after it is done."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    settings: dict[str, Any] = {
        "n_frames": N_FRAMES,
        "n_step": N_STEP,
        "env": {"id": "tests.envs:SequenceAgents", "n_frames": N_FRAMES},
        "learner": {"gamma": GAMMA},
    }
    with one_actor(tmp_path, **settings) as run:
        yield run


def chunk(actor: Actor, number: int) -> None:
    actor.pull()
    actor.begin(Ticket(0, (number * 10,) * len(actor.parts)), CHUNK_STEPS)
    actor.rollout(CHUNK_STEPS, lambda: None)
    actor.commit()


def killed_between_commits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chunks, and a third of which only the first policy's rows can be read."""
    actor = build_actor(*run, 0)
    for number in range(2):
        chunk(actor, number)
    honest, done = ShardWriter.commit, list[int]()

    def commit(writer: ShardWriter, head: int) -> None:
        if done:
            raise Killed
        done.append(head)
        honest(writer, head)

    with monkeypatch.context() as patched:
        patched.setattr(ShardWriter, "commit", commit)
        with pytest.raises(Killed):
            chunk(actor, 2)
    actor.close()


def check_all(run: Run, began: dict[str, int]) -> None:
    """Every transition that can be drawn lies within one episode of one environment."""
    for agent, (name, replay) in enumerate(run[1].replays.items()):
        head = began[name]
        reader = replay.reader(0, gamma=GAMMA)
        batch = reader.sample(reader.pin(), 800, np.random.default_rng(0))
        reader.unpin()
        assert (batch.rows < head).any()
        assert (batch.rows >= head).any()
        for i, row in enumerate(batch.rows):
            frames = [decode(frame) for frame in batch.state[i]]
            instance, episode, step = frames[-1]
            assert {int(frame[3]) for frame in batch.state[i]} == {agent}
            assert frames == [
                (instance, episode, max(0, step - back)) for back in reversed(range(N_FRAMES))
            ]
            after = [decode(frame) for frame in batch.next_state[i]]
            taken = after[-1][2] - step
            assert 1 <= taken <= N_STEP
            assert after[-1][:2] == (instance, episode)
            known = sum(GAMMA**k * sequence_reward(episode, step + k, 0) for k in range(taken))
            unknown = batch.returns[i] - known - int(batch.action[i])
            assert 0 <= unknown <= sum(GAMMA**k * 4 for k in range(1, taken))
            assert batch.discount[i] in (0.0, GAMMA**taken)
            if row == head:
                assert {frame[1:] for frame in frames} == {(0, 0)}


def test_no_window_crosses_the_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_commits(run, monkeypatch)
    began = {n: replay.writer(0).head for n, replay in run[1].replays.items()}
    assert list(began.values()) == [3 * CHUNK_STEPS, 2 * CHUNK_STEPS, 2 * CHUNK_STEPS]
    successor = build_actor(*run, 0, 1)
    for number in range(2, 5):
        chunk(successor, number)
    for name, part in successor.parts.items():
        assert part.writer.head == began[name] + 3 * CHUNK_STEPS
    successor.close()
    check_all(run, began)
    for name, replay in run[1].replays.items():
        assert (replay.columns.flags[0, began[name]] & CUT).all()
        assert (replay.columns.age[0, began[name]] == 0).all()


def test_without_the_cut_a_window_would_cross(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_commits(run, monkeypatch)
    began = {n: replay.writer(0).head for n, replay in run[1].replays.items()}
    successor = build_actor(*run, 0, 1)
    for part in successor.parts.values():
        part.writer._cut_at = -1
    for number in range(2, 5):
        chunk(successor, number)
    successor.close()
    with pytest.raises(AssertionError):
        check_all(run, began)


def test_a_successor_does_not_repeat_its_predecessor(run: Run) -> None:
    """Environments and actions come from streams of its own."""

    def seen(incarnation: int) -> set[int]:
        actor = build_actor(*run, 0, incarnation)
        heads = [part.writer.head for part in actor.parts.values()]
        chunk(actor, 0)
        actor.close()
        replay = next(iter(run[1].replays.values()))
        rows = replay.columns.observation[0, heads[0] : heads[0] + CHUNK_STEPS]
        return {int(instance) for instance in rows[:, :, 0].reshape(-1)}

    first, again, second = seen(0), seen(0), seen(1)
    assert first == again
    assert not first & second
