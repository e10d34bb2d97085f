"""An actor whose environments do not take their state back begins new episodes behind a cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.one_actor import CHUNK_STEPS, N_FRAMES, Run, one_actor
from tests.unit.workers.test_workers_successor import GAMMA, N_STEP, check_all, chunk
from tuitrain.envs.saving.rebuild import put
from tuitrain.replay.layout import CUT
from tuitrain.schedules.acting import build_actor, tell_begun_anew
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.beginning.state_files import MAX_REASON, save_actor
from tuitrain.workers.blueprint import Base

CHUNKS = 2
SETTINGS: dict[str, Any] = {
    "n_frames": N_FRAMES,
    "n_step": N_STEP,
    "env": {"id": "tests.envs:SequenceAgents", "n_frames": N_FRAMES},
    "learner": {"gamma": GAMMA},
}


def saved(folder: Path) -> tuple[Base, set[int]]:
    """From where another session goes on exactly, and which instances its environments were."""
    folder.mkdir()
    (folder / "checkpoints").mkdir()
    with one_actor(folder, **SETTINGS) as run:
        actor = build_actor(*run, 0)
        for number in range(CHUNKS):
            chunk(actor, number)
        fields = save_actor(run[0], actor, 1, "round 2", lambda: None, pytest.fail)
        seen = instances(run, 0, CHUNKS * CHUNK_STEPS)
        actor.close()
    states = {"a0": str(folder / "checkpoints" / fields["file"])}
    return Base(session=1, states=states, exact=True, stream=0), seen


def instances(run: Run, first: int, last: int) -> set[int]:
    rows = next(iter(run[1].replays.values())).columns.observation[0, first:last]
    return {int(instance) for instance in rows[:, :, 0].reshape(-1)}


def resumed(run: Run, base: Base) -> Actor:
    actor = build_actor(replace(run[0], base=base), run[1], 0)
    for number in range(CHUNKS, CHUNKS + 3):
        chunk(actor, number)
    return actor


def test_it_begins_anew_and_no_window_crosses_the_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, before = saved(tmp_path / "before")
    asked: list[Any] = []

    def fails(env: Any, nodes: Any, called: str) -> None:
        asked.append(env)
        put(env, nodes, called)
        if len(asked) == 2:  # one of them is where it was, and is not to go on there either
            raise RuntimeError("é" * 2 * MAX_REASON)

    monkeypatch.setattr("tuitrain.envs.saving.state.put", fails)
    (tmp_path / "after").mkdir()
    with one_actor(tmp_path / "after", **SETTINGS) as run:
        actor = resumed(run, base)
        head = CHUNKS * CHUNK_STEPS
        assert all(part.writer.head == head + 3 * CHUNK_STEPS for part in actor.parts.values())
        check_all(run, dict.fromkeys(run[1].replays, head))
        for replay in run[1].replays.values():
            assert (replay.columns.flags[0, head] & CUT).all()
            assert (replay.columns.age[0, head] == 0).all()
        assert not before & instances(run, head, head + CHUNK_STEPS), "it repeats its past"
        told: list[tuple[str, str]] = []
        link: Any = SimpleNamespace(notice=lambda text, level: told.append((text, level)))
        assert tell_begun_anew(link, [actor]) == {"begun_anew": ["a0"]}
        ((text, level),) = told
        assert level == "warning"
        assert text.startswith("the environments of a0 could not be restored")
        assert "not reproducible from its seed any more: RuntimeError: ééé" in text
        assert len(text) < MAX_REASON + 300, "it must fit a message"
        actor.close()


def test_who_takes_its_state_back_goes_on(tmp_path: Path) -> None:
    """What the test above would see if nothing had failed."""
    base, before = saved(tmp_path / "before")
    (tmp_path / "after").mkdir()
    with one_actor(tmp_path / "after", **SETTINGS) as run:
        actor = resumed(run, base)
        head = CHUNKS * CHUNK_STEPS
        for replay in run[1].replays.values():
            assert not (replay.columns.flags[0, head] & CUT).any()
        assert before == instances(run, head, head + CHUNK_STEPS)
        assert tell_begun_anew(SimpleNamespace(), [actor]) == {"begun_anew": []}
        actor.close()


def test_the_environment_that_cannot_be_restored_is_named() -> None:
    from tuitrain.envs.saving.state import CannotRestore, env_state, restore_envs

    class Stubborn:
        def __init__(self, *, fails: bool = False) -> None:
            self.fails = fails

        def state_dict(self) -> dict[str, Any]:
            return {"at": np.arange(2)}

        def load_state_dict(self, state: Any) -> None:
            if self.fails:
                raise OSError("no such level")

    envs = [Stubborn(), Stubborn(fails=True)]
    state = {"kind": "gym", "envs": [env_state(env) for env in envs]}
    with pytest.raises(CannotRestore, match="env 1: OSError: no such level"):
        restore_envs(envs, state, "gym")
