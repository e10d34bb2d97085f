"""Where a run cannot go on exactly it goes on with its replay; where that does not fit, anew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity.cases import config
from tests.parity.resumption import Session, every_record, session
from tuitrain.checkpoint.payload import load
from tuitrain.config.differences import is_reproducible
from tuitrain.config.resolve import resolve
from tuitrain.envs.lanes.vector import GymLanes
from tuitrain.replay.layout import CUT
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner

__all__ = ["every_record"]

pytestmark = pytest.mark.usefixtures("every_record")

CASE = config("cartpole", "sequential", replay={"prioritized": True})
N = 8
CHANGED = "goes on exactly where it was saved, but for what has been changed since: "
OTHER = f"replay.capacity = 500 (was {CASE.replay.capacity}); "


def saved(folder: Path) -> Session:
    """A run that was saved after N rounds."""
    with session(CASE, folder) as run:
        run.go(N)
        run.save()
    return run


def told(folder: Path, **tables: Any) -> str:
    """What the probe says of going on with another config."""
    case = resolve(config("cartpole", "sequential", **tables), cores=2)
    return str(probe(case, folder)["resumes"])


def test_an_environment_that_cannot_be_saved_begins_anew_behind_a_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> Any:
        raise RuntimeError("it has a window")

    monkeypatch.setattr("tuitrain.envs.lanes.vector.env_state", refuse)
    before = saved(tmp_path)
    with session(CASE, tmp_path) as run:
        base = run.blueprint.base
        assert (base.exact, base.session, base.stream) == (False, 1, 1)
        assert "RuntimeError: it has a window" in told(tmp_path, replay={"prioritized": True})
        replay = run.trainer.stores.replays["default"]
        heads = [actor.parts["default"].writer.head for actor in run.trainer.actors]
        rows = [int(head) for head in heads]
        assert all(rows)
        updates = run.trainer.learner.policies["default"].dqn.updates
        assert updates > 0
        run.go(1)
        # no warm-up: what is due is learned in the first round
        assert run.trainer.learner.policies["default"].dqn.updates > updates
        for shard, head in enumerate(rows):
            flags = replay.columns.flags[shard, head % replay.layout.ring_rows]
            assert (flags & CUT).all()
            stamps = replay.columns.stamp[shard]
            slots = np.arange(replay.columns.header[shard, 0], head + 5) % len(stamps)
            assert (np.diff(stamps[slots]) >= 0).all()
    assert before.link.records != run.link.records


def test_environments_that_do_not_take_their_state_back_begin_anew_behind_a_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ Those of one actor; the others go on, and no later session is called reproducible."""
    saved(tmp_path)
    honest, asked = GymLanes.restore, list[GymLanes]()

    def fails_once(lanes: GymLanes, state: Any) -> None:
        asked.append(lanes)
        if len(asked) == 1:
            raise RuntimeError("the simulator is another one")
        honest(lanes, state)

    with monkeypatch.context() as patched:
        patched.setattr(GymLanes, "restore", fails_once)
        with session(CASE, tmp_path) as run:
            assert run.blueprint.base.exact
            reasons = [actor.begun_anew for actor in run.trainer.actors]
            assert reasons == ["RuntimeError: the simulator is another one", ""]
            heads = [int(actor.parts["default"].writer.head) for actor in run.trainer.actors]
            assert all(heads)
            run.go(1)
            replay = run.trainer.stores.replays["default"]
            flags = [
                replay.columns.flags[shard, head % replay.layout.ring_rows] & CUT
                for shard, head in enumerate(heads)
            ]
            assert flags[0].all()
            assert not flags[1].any()
            run.save()
    with session(CASE, tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, False)
        run.go(1)
        run.save()
    with session(CASE, tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, False)


def test_rows_of_another_form_are_not_taken_over(tmp_path: Path) -> None:
    saved(tmp_path)
    text = told(tmp_path, replay={"prioritized": True, "capacity": 500})
    assert text.startswith("the replay is not taken over: capacity of default was")
    assert "it is filled anew" in text
    other = config("cartpole", "sequential", replay={"prioritized": True, "capacity": 500})
    with session(other, tmp_path) as run:
        assert run.blueprint.base.states == {}
        assert all(actor.parts["default"].writer.head == 0 for actor in run.trainer.actors)
        counts = run.trainer.stores.limiter.counts()
        assert (counts.steps, counts.inserts, counts.updates) == (0, (0,), (0,))
        assert run.trainer.stores.limiter.totals().steps == run.blueprint.base.steps > 0


def test_only_one_moment_is_gone_on_from_exactly(tmp_path: Path) -> None:
    saved(tmp_path)
    assert told(tmp_path, replay={"prioritized": True}).startswith("goes on exactly")
    case = resolve(config("cartpole", "async", replay={"prioritized": True}), cores=2)
    report = probe(case, tmp_path)
    assert "in async nothing is repeatable" in report["resumes"]
    assert report["base"]["states"].keys() == {"a0", "a1"}


def test_a_changed_config_is_named_and_the_run_not_called_reproducible(tmp_path: Path) -> None:
    saved(tmp_path)
    same = config("cartpole", "lockstep", replay={"prioritized": True}, run={"name": "other"})
    with session(same, tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, True)
    assert "as if it had not been interrupted" in told(tmp_path, replay={"prioritized": True})
    other: dict[str, Any] = {"replay": {"prioritized": True}, "learner": {"batch_size": 16}}
    assert told(tmp_path, **other) == (
        "goes on exactly where it was saved, but for what has been changed since: "
        "learner.batch_size = 16 (was 8)"
    )
    with session(config("cartpole", "sequential", **other), tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, False)
        run.go(1)
        run.save()
    # it has been changed on its way, and stays so however often it is resumed unchanged
    with session(config("cartpole", "sequential", **other), tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, False)


def test_edited_sources_are_named_and_the_run_not_called_reproducible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = tmp_path / "world.py"
    world.write_text("speed = 1\n")
    monkeypatch.setattr("tuitrain.config.loaded.files", lambda _: [world])
    saved(tmp_path)
    world.write_text("speed = 2\n")
    with session(CASE, tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, False)
    changed = f"{world} (imported) has changed"
    assert told(tmp_path, replay={"prioritized": True}) == f"{CHANGED}{changed}"
    other = told(tmp_path, replay={"prioritized": True, "capacity": 500})
    assert other.endswith(f"before the next update. Changed since it was saved: {OTHER}{changed}")


def test_other_versions_are_named_and_the_run_not_called_reproducible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"torch": "2.0", "numpy": "2.4", "python": "3.11.7", "onlythere": "1"}
    monkeypatch.setattr("tuitrain.config.loaded.versions", lambda _: there)
    saved(tmp_path)
    assert "as if it had not been interrupted" in told(tmp_path, replay={"prioritized": True})
    here = {"torch": "2.1", "numpy": "2.4", "python": "3.11.9", "onlyhere": "1"}
    monkeypatch.setattr("tuitrain.config.loaded.versions", lambda _: here)
    with session(CASE, tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, False)
    assert told(tmp_path, replay={"prioritized": True}) == (
        f"{CHANGED}python 3.11.9 (was 3.11.7); torch 2.1 (was 2.0)"
    )


def test_a_checkpoint_of_an_earlier_version_says_that_it_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Learner._payload
    since = {"config", "software", "sources"}
    monkeypatch.setattr(
        Learner, "_payload", lambda self: {k: v for k, v in whole(self).items() if k not in since}
    )
    saved(tmp_path)
    world = tmp_path / "world.py"
    recorded = {"env.id": {str(world): hashlib.sha256(b"speed = 0\n").hexdigest()}}
    (tmp_path / "provenance.json").write_text(json.dumps({"sources": recorded}))
    with session(CASE, tmp_path) as run:
        assert (run.blueprint.base.exact, run.blueprint.base.reproducible) == (True, False)
    unsaid = "perhaps: the checkpoint does not say what it was made with"
    assert told(tmp_path, replay={"prioritized": True}) == (
        f"{CHANGED}the config, {unsaid}; versions of torch and other packages, {unsaid}; "
        f"{world} (env.id) is gone or no longer imported"
    )


def test_a_checkpoint_without_state_says_what_it_was_made_with(tmp_path: Path) -> None:
    with session(CASE, tmp_path) as run:
        path = Path(run.trainer.learner.save()["path"])
        payload = load(path)
        assert payload["config"] == run.blueprint.config.model_dump_json()
    assert payload["software"].keys() >= {"python", "torch", "numpy", "gymnasium", "tuitrain"}
    assert payload["stream"] == 0
    assert payload["since_updates"] == {"default": 0}


@pytest.mark.parametrize(
    ("exact", "before", "changes", "holds"),
    [
        (True, True, [], True),
        (False, True, [], False),
        (True, False, [], False),
        (True, True, ["learner.lr = 0.1 (was 0.2)"], False),
    ],
)
def test_a_run_is_reproducible_only_if_every_start_of_it_is(
    exact: bool, before: bool, changes: list[str], holds: bool
) -> None:
    assert is_reproducible(exact=exact, before=before, changes=changes) is holds


def test_not_even_at_its_first_step_is_a_run_repeated_that_goes_on_from_less(
    tmp_path: Path,
) -> None:
    case = config("cartpole", "sequential", run={"checkpoint_replay": False})
    with session(case, tmp_path) as run:
        assert run.blueprint.base.reproducible
        run.trainer.learner.save()
    with session(case, tmp_path) as run:
        base = run.blueprint.base
        assert (base.steps, base.stream, base.reproducible) == (0, 1, False)


@pytest.mark.parametrize(("wanted", "saves"), [("auto", True), (True, True), (False, False)])
def test_large_replay_is_saved_only_if_asked_for(
    wanted: object, saves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = config("cartpole", "sequential", run={"checkpoint_replay": wanted})
    with session(case, tmp_path) as run:
        blueprint: Blueprint = run.blueprint
    assert blueprint.saves_state is saves
    monkeypatch.setattr("tuitrain.workers.blueprint.AUTO_REPLAY_BYTES", 1000)
    assert blueprint.saves_state is (wanted is True)
    if wanted is not True:
        assert "a resumed run warms up again" in blueprint.about_saving()
