"""A checkpoint without the environments, though they can be saved, is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.workers.one_actor import one_actor
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.beginning.state_files import save_actor


def test_environments_that_cannot_be_saved_this_time_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Actor.state

    def fails(actor: Actor, *, environments: bool) -> object:
        if environments:
            raise RuntimeError("a socket is open just now")
        return state(actor, environments=False)

    told: list[str] = []
    with one_actor(tmp_path) as run:
        actor = build_actor(*run, 0)
        save_actor(run[0], actor, 1, "round 1", lambda: None, told.append)
        assert told == []
        monkeypatch.setattr(Actor, "state", fails)
        save_actor(run[0], actor, 2, "round 2", lambda: None, told.append)
        actor.close()
    (words,) = told
    assert "a0 could not be saved this time: RuntimeError: a socket is open just now" in words
