"""What is kept of a run: curves that stay bounded, lines that count once, recorded folders."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from tests.tui.fixtures import events, records, write_run
from tuitrain.tui.recorded import load_recorded, recorded_snapshot, tell_if_killed
from tuitrain.tui.store import MAX_CURVES, Store, as_float


def test_records_become_curves_per_policy_and_kind() -> None:
    store = Store()
    for name in ("left", "right"):
        for record in records(20, name):
            store.add_record(record)
    curves = store.curves()
    assert store.policies() == ["left", "right"]
    assert curves[("left", "eval", "return_mean")].value.size == 1
    assert curves[("right", "learner", "loss")].value.size == 20
    assert curves[("right", "learner", "loss")].x("updates")[-1] == 97_000


def test_history_sent_again_counts_once() -> None:
    store = Store()
    lines = records(50)
    for record in [*lines, *lines, *lines[::2]]:
        store.add_record(record)
    assert store.curves()[("default", "learner", "loss")].value.size == 50
    for event in [*events(), *events()]:
        store.add_event(event)
    assert len(store.events) == len(events())


def test_a_resumed_run_goes_on_although_its_clock_starts_again() -> None:
    store = Store()
    base = {"kind": "learner", "policy": "p", "steps": 1, "updates": 1, "loss": 1.0}
    store.add_record({**base, "time_s": 1000.0, "wall_s": 900.0})
    store.add_record({**base, "time_s": 2000.0, "wall_s": 1.0})
    store.add_record({**base, "time_s": 2009.0, "wall_s": 10.0})
    assert store.curves()[("p", "learner", "loss")].wall_s.tolist() == [900.0, 901.0, 910.0]


def test_a_clock_that_steps_back_loses_nothing() -> None:
    store = Store()
    base = {"kind": "learner", "policy": "p", "steps": 1, "updates": 1, "loss": 1.0}
    store.add_record({**base, "time_s": 1000.0, "wall_s": 900.0})
    store.add_record({**base, "time_s": 500.0, "wall_s": 901.0})
    assert store.curves()[("p", "learner", "loss")].value.size == 2


def test_null_loss_means_not_finite_but_null_lag_means_not_measured() -> None:
    store = Store()
    store.add_record({"kind": "learner", "policy": "p", "loss": None, "lag_updates_p50": None})
    curves = store.curves()
    assert np.isnan(curves[("p", "learner", "loss")].value).all()
    assert ("p", "learner", "lag_updates_p50") not in curves


def test_numbers_of_records() -> None:
    assert as_float(3) == 3.0
    assert as_float(10**400) == math.inf
    assert as_float("-Infinity") == -math.inf
    assert math.isnan(as_float("NaN") or 0.0)
    assert as_float(True) is None
    assert as_float("12") is None
    assert as_float([1]) is None


def test_a_recorded_run(tmp_path: Path) -> None:
    words = "bottleneck: learner, busy 95%; actors wait 94%"
    write_run(tmp_path, reason="all steps taken", wall_s=1265.0, steps=12_400_000, bottleneck=words)
    store = Store()
    load_recorded(tmp_path, store)
    found = recorded_snapshot(tmp_path, store)
    assert (found.state, found.schedule, found.steps) == ("finished", "async", 12_400_000)
    assert found.total_steps == 50_000_000
    assert found.bottleneck == words
    assert found.learning.n_evals == 20
    assert found.learning.verdict == "n/a"
    assert found.policies[0].capacity == 1_000_000
    assert found.policies[0].updates == 97_000
    assert found.policies[0].sampleable is None
    assert store.events[-1].text == "finished: all steps taken"


def test_a_run_without_summary_was_interrupted(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "summary.json").unlink()
    assert recorded_snapshot(tmp_path, Store()).state == "interrupted"


def test_a_recorded_run_that_was_killed_says_so(tmp_path: Path) -> None:
    write_run(tmp_path)
    ended = Store()
    load_recorded(tmp_path, ended)
    before = len(ended.events)
    tell_if_killed(tmp_path, ended)
    assert len(ended.events) == before
    (tmp_path / "summary.json").unlink()
    assert _told_of_a_killed(tmp_path) == "killed: its supervisor ended without a word"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "ckpt-0000000010.pt").touch()
    assert f"; `tuitrain resume {tmp_path.name}` goes on from" in _told_of_a_killed(tmp_path)


def _told_of_a_killed(run_dir: Path) -> str:
    store = Store()
    load_recorded(run_dir, store)
    tell_if_killed(run_dir, store)
    (event,) = [e for e in store.events if e.source == "summary"]
    assert event.level == "error"
    return event.text


def test_a_run_that_has_never_begun_was_not_killed(tmp_path: Path) -> None:
    store = Store()
    load_recorded(tmp_path, store)
    tell_if_killed(tmp_path, store)
    assert not store.events


def test_damaged_files_are_passed_over(tmp_path: Path) -> None:
    write_run(tmp_path)
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "metrics.jsonl").write_bytes(
        b"\xff\x00{\n[1]\n" + b"[" * 100_000 + b"\n" + whole + b'{"kind": "lea'
    )
    (tmp_path / "events.jsonl").write_text(json.dumps({"kind": "event"}) + "\n")
    (tmp_path / "summary.json").write_text("[" * 100_000)
    (tmp_path / "config.toml").write_text("= nonsense")
    store = Store()
    load_recorded(tmp_path, store)
    assert store.damaged_lines == 5
    assert store.curves()[("default", "learner", "loss")].value.size == 400
    assert recorded_snapshot(tmp_path, store).total_steps == 0


def test_numbers_that_are_none_end_no_look_at_a_recorded_run(tmp_path: Path) -> None:
    store = Store()
    for i, value in enumerate((math.nan, 3.0, math.inf)):
        at = {"policy": "p", "steps": 10**i, "updates": math.inf, "wall_s": float(i)}
        store.add_record({"kind": "eval", "return_mean": value, **at})
        store.add_record({"kind": "learner", "loss": value, "version": math.nan, **at})
    found = recorded_snapshot(tmp_path, store)
    assert (found.policies[0].updates, found.policies[0].version) == (0, 0)
    assert (found.learning.n_evals, found.learning.best) == (1, 3.0)


def test_an_empty_folder(tmp_path: Path) -> None:
    store = Store()
    load_recorded(tmp_path / "nowhere", store)
    found = recorded_snapshot(tmp_path / "nowhere", store)
    assert found.state == "interrupted"
    assert found.policies == []


def test_the_worker_that_failed_is_still_shown(tmp_path: Path) -> None:
    failure = {"worker": "a3", "role": "actor", "how": "exit code 1", "error_type": "ValueError",
               "message": "bad", "traceback": "Traceback\nValueError: bad\n"}  # fmt: skip
    write_run(tmp_path, failure=failure)
    (worker,) = recorded_snapshot(tmp_path, Store()).processes
    assert (worker.name, worker.state) == ("a3", "failed")
    assert worker.error == failure["traceback"]
    write_run(tmp_path, failure={**failure, "traceback": None})
    (worker,) = recorded_snapshot(tmp_path, Store()).processes
    assert worker.error == "ValueError: bad"


def test_an_environments_own_numbers_leave_room_for_the_curves() -> None:
    store = Store()
    for i in range(2 * MAX_CURVES):
        told = {"kind": "env", "policy": f"p{i % 7}", "actor": i, f"metrics.x{i}": 1.0}
        store.add_record(told | {"steps": i, "wall_s": float(i), "time_s": float(i)})
    store.add_record({"kind": "eval", "policy": "p0", "steps": 1, "return_mean": 3.0})
    assert list(store.curves()) == [("p0", "eval", "return_mean")]
    assert sum(len(told) for told in store.told.values()) == 2 * MAX_CURVES


def test_of_an_environments_own_numbers_the_newest_is_kept() -> None:
    store = Store()
    at = {"kind": "env", "policy": "p", "steps": 1, "updates": 5}
    store.add_record(at | {"metrics.x": 1.0, "metrics.y": 2, "metrics.no": "text"})
    store.add_record(at | {"metrics.x": 3.0, "metrics.y": None})
    assert store.told == {"p": {"x": 3.0, "y": 2.0}}
