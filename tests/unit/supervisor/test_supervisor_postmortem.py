"""The last snapshot of an ended run, made again from its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuitrain.config.changes import Change, store_changes
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder, create_run
from tuitrain.metrics.records import COMMON_FIELDS, FIELDS
from tuitrain.protocol import CheckView, Snapshot
from tuitrain.supervisor.postmortem import postmortem
from tuitrain.workers.asides.probe import probe


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return probe(resolve(config_from({"learner": {"device": "cpu"}}), cores=2), None)


@pytest.fixture
def folder(tmp_path: Path, report: dict[str, Any]) -> RunFolder:
    tables = {"run": {"out_dir": str(tmp_path)}, "learner": {"target_update_every_updates": 100}}
    made = create_run(resolve(config_from(tables), cores=2))
    made.probe_json.write_text(json.dumps(report))
    return made


def learner(updates: int, **more: Any) -> dict[str, Any]:
    fields = {"loss": 0.1, "q_mean": 1.0, "q_max_abs": 2.0, "td_abs_mean": 0.1, "td_p95": 0.2,
              "grad_norm": 1.0, "lr": 5e-4}  # fmt: skip
    return {"kind": "learner", "policy": "default", "steps": 10 * updates, "updates": updates,
            "version": 3, "target_updates": updates // 100, "time_s": 1.0 + updates,
            **fields, **more}  # fmt: skip


def record(folder: RunFolder, *records: dict[str, Any]) -> None:
    text = "".join(json.dumps(one) + "\n" for one in records)
    folder.metrics_jsonl.write_text(text)


def row(snapshot: Snapshot, id_: str) -> CheckView:
    (found,) = [check for check in snapshot.checks if check.id == id_]
    return found


SUMMARY: dict[str, Any] = {
    "state": "finished",
    "run_id": "0123abcd",
    "wall_s": 9.0,
    "policies": {"default": {"transitions": 4000, "updates": 300}},
}


def test_records_are_judged_as_heartbeats_were(folder: RunFolder) -> None:
    record(folder, learner(100), learner(300))
    found = postmortem(folder, SUMMARY)
    assert (found.state, found.steps, found.policies[0].updates) == ("finished", 3000, 300)
    assert row(found, "target_updates").state == "ok"
    assert row(found, "non_finite").state == "ok"
    assert row(found, "heartbeat").state == "n/a"


def test_a_fault_that_is_in_the_records_is_found(folder: RunFolder) -> None:
    record(folder, learner(100), learner(300, loss=None, target_updates=6))
    found = postmortem(folder, SUMMARY)
    assert row(found, "non_finite").state == "fail"
    assert row(found, "target_updates").state == "fail"


def test_what_was_made_again_does_not_count_twice(folder: RunFolder) -> None:
    back = {"kind": "rewind", "steps": 1000, "updates": {"default": 100}, "time_s": 350.0}
    record(folder, learner(100), learner(300, loss=None), back, learner(200))
    assert row(postmortem(folder, SUMMARY), "non_finite").state == "ok"


def test_only_the_last_session_is_judged(folder: RunFolder) -> None:
    """Who resumes a run after mending it is not told again what was wrong with it."""
    broken = learner(100, wall_s=5.0, time_s=1_005.0, loss=None)
    record(folder, broken, learner(200, wall_s=6.0, time_s=1_006.0))
    assert row(postmortem(folder, None), "non_finite").state == "fail"
    for wall_s in (2.0, 5.0, 70.0):  # the one before may have been the shorter one
        record(folder, broken, learner(200, wall_s=wall_s, time_s=1_060.0 + wall_s))
        assert row(postmortem(folder, None), "non_finite").state == "ok"


def test_records_of_before_a_change_are_not_judged_by_it(folder: RunFolder) -> None:
    """▣ Killed within moments of `set learner.lr`: the newest record knows the old one."""
    was = folder.load_config().learner.lr
    store_changes(folder, {"learner.lr": Change(was, 10 * was)})
    event = {"time_s": 301.5, "text": "set", "data": {"mark": "set"}}
    folder.events_jsonl.write_text("".join(json.dumps(e) + "\n" for e in (event, {"data": 1})))
    record(folder, learner(100), learner(300, lr=was))
    assert postmortem(folder, None).policies[0].lr_planned is None
    assert row(postmortem(folder, None), "lr").state == "ok"
    record(folder, learner(100), learner(320, lr=was))  # who has had long enough
    assert row(postmortem(folder, None), "lr").state == "fail"


def test_a_killed_run_says_nothing_of_what_nobody_counted(folder: RunFolder) -> None:
    record(folder, learner(300))
    found = postmortem(folder, None)
    assert found.state == "interrupted"
    assert row(found, "warm_up").state == "n/a"
    assert row(found, "target_updates").state == "ok"


def test_who_has_failed_is_told_in_one_line(folder: RunFolder) -> None:
    failure = {"worker": "a0", "role": "actor", "how": "exit code 1", "error_type": "ValueError",
               "message": "no ROM", "where": "my_env.py:3 in step", "traceback": "T"}  # fmt: skip
    told = {**SUMMARY, "state": "failed", "failure": failure, "restarts": {"a0": 5}}
    check = row(postmortem(folder, told), "processes")
    assert (check.state, check.value) == ("fail", "a0 failed, 6 deaths")
    assert check.advice.startswith("a0: exit code 1: ValueError: no ROM (my_env.py:3 in step); its")
    assert check.advice.endswith(f"`tuitrain logs {folder.name} a0`; mend my_env.py:3")


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"spec": 1}'])
def test_without_a_probes_report_there_are_no_policies(folder: RunFolder, text: str | None) -> None:
    folder.probe_json.unlink()
    if text is not None:
        folder.probe_json.write_text(text)
    record(folder, learner(300))
    found = postmortem(folder, None)
    assert (found.policies, found.steps) == ([], 3000)


@pytest.mark.parametrize(
    "damaged",
    [
        {"policies": ["default"]},
        {"policies": {"default": [1]}},
        {"policies": None},
        {"wall_s": None},
        {"wall_s": "long"},
        {"failure": {"worker": 3, "role": None}},
        {"run_id": None, "state": ["failed"]},
    ],
)
def test_a_damaged_summary_is_read_as_far_as_it_goes(
    folder: RunFolder, damaged: dict[str, Any]
) -> None:
    record(folder, learner(100), learner(300))
    found = postmortem(folder, SUMMARY | damaged)
    assert found.policies[0].updates == 300


@pytest.mark.parametrize("damaged", ["a0", None, [1], {"a": 1}, True, 1e400])
@pytest.mark.parametrize("kind", ["learner", "train", "eval", "rewind"])
def test_a_damaged_record_is_read_as_far_as_it_goes(
    folder: RunFolder, kind: str, damaged: Any
) -> None:
    """Every field of every kind, damaged one at a time."""
    names = {*COMMON_FIELDS, *FIELDS.get(kind, {}), "version", "updates"} - {"kind"}
    whole = learner(100) | dict.fromkeys(names - {"policy"}, 0.5) | {"kind": kind}
    record(folder, learner(100), *(whole | {name: damaged} for name in sorted(names)), learner(300))
    assert postmortem(folder, SUMMARY).run_id == "0123abcd"


def test_updates_that_died_with_learners_are_known_of_the_last_session(folder: RunFolder) -> None:
    def lost(count: int) -> dict[str, Any]:
        return {
            "source": "learner",
            "data": {"mark": "restart", "lost_updates": {"default": count}},
        }

    record(folder, learner(300))
    events = [lost(1000), {"data": {"mark": "resume"}}, lost(20), {"data": "?"}, lost(3)]
    folder.events_jsonl.write_text("".join(json.dumps(e) + "\n" for e in events))
    assert postmortem(folder, None).policies[0].lost_updates == 23
    summary = SUMMARY | {"lost_updates": {"default": 7, "torn": None}}
    assert postmortem(folder, summary).policies[0].lost_updates == 7
    assert postmortem(folder, SUMMARY).policies[0].lost_updates == 0
