"""`tuitrain diagnose` of runs whose files are damaged: what is whole is read, and no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.calling import call
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import SUMMARY_KEYS, RunFolder, create_run
from tuitrain.workers.asides.probe import probe

pytestmark = pytest.mark.usefixtures("in_tmp")

DEEP = '{"base": ' + "[" * 100_000 + "]" * 100_000 + "}"
LONG = '{"base": ' + "9" * 5000 + "}"
CHECK = {"id": "policy_lag", "name": "policy lag", "value": "p95 900 u", "limit": "500 u",
         "state": "fail", "advice": "lower publish_every", "catalogue_id": "3.1"}  # fmt: skip


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return probe(resolve(config_from({"learner": {"device": "cpu"}}), cores=2), None)


@pytest.fixture
def folder(in_tmp: None, report: dict[str, Any]) -> RunFolder:
    """A run that has finished, and one check of it was raised."""
    made = create_run(resolve(config_from({"run": {"name": "done"}}), cores=2))
    made.probe_json.write_text(json.dumps(report))
    data = {**CHECK, "check": "policy_lag"}
    made.events_jsonl.write_text(json.dumps({"time_s": 90.0, "text": "…", "data": data}) + "\n")
    made.metrics_jsonl.write_text('{"kind": "system", "steps": 1200, "time_s": 89.0}\n')
    summary = dict.fromkeys(SUMMARY_KEYS) | {"state": "finished", "steps": 1200, "policies": {},
              "total_steps": 5000, "wall_s": 10.0, "checks": [CHECK]}  # fmt: skip
    made.summary_json.write_text(json.dumps(summary))
    return made


def diagnosed() -> dict[str, Any]:
    """What is said, after it was seen that it is said in words too."""
    told = call("diagnose")
    assert told.exit_code == 1, told.output
    assert "What is learned from was acted with old weights." in told.output
    said: dict[str, Any] = json.loads(call("diagnose", "--json").output)
    return said


def test_whole_files_are_not_noted(folder: RunFolder) -> None:
    said = diagnosed()
    assert (said["notes"], said["state"]) == ([], "finished")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ('{"state": ', "no JSON from line 1, column 11 on"),
        ("[]", "it is not a JSON object"),
        (DEEP, "it is nested too deeply"),
        (LONG, "a number in it has 5,000 digits"),
        ("\x00", "no JSON from line 1, column 1 on"),
    ],
    ids=["empty", "cut", "list", "deep", "long", "zero"],
)
@pytest.mark.parametrize("name", ["probe.json", "summary.json", "changes.json"])
def test_a_damaged_json_file_is_noted(folder: RunFolder, name: str, text: str, why: str) -> None:
    (folder.path / name).write_text(text)
    said = diagnosed()
    assert said["notes"] == [f"{name} is damaged and left out: {why}"]
    assert said["state"] == ("damaged" if name == "summary.json" else "finished")


WHOLE = '{"kind": "system", "steps": 1200, "time_s": 89.0}\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "is not there"),
        ("", "is empty"),
        ("\x00\x00\n" + WHOLE, "has 1 damaged line, left out"),
        (WHOLE[:20] + "\n" + WHOLE + WHOLE[20:], "has 2 damaged lines, left out"),
        (WHOLE + WHOLE[:20], ""),
    ],
    ids=["gone", "empty", "zero", "torn", "being written"],
)
def test_records_that_are_not_read_are_noted(folder: RunFolder, text: str | None, why: str) -> None:
    """▣ Else what they tell of, too few evaluations for one, would be taken for the whole."""
    folder.metrics_jsonl.unlink()
    if text is not None:
        folder.metrics_jsonl.write_text(text)
    assert diagnosed()["notes"] == ([f"metrics.jsonl {why}"] if why else [])


def test_records_that_cannot_be_read_are_noted(folder: RunFolder) -> None:
    folder.metrics_jsonl.unlink()
    folder.metrics_jsonl.mkdir()
    (note,) = diagnosed()["notes"]
    assert note.startswith("metrics.jsonl is left out: it cannot be read: ")


def test_a_run_that_was_killed_early_may_have_no_records(folder: RunFolder) -> None:
    folder.metrics_jsonl.unlink()
    folder.summary_json.unlink()
    assert json.loads(call("diagnose", "--json").output)["notes"] == []


def test_a_file_that_is_no_text(folder: RunFolder) -> None:
    folder.probe_json.write_bytes(b'{"spec": "\xff\xfe\xff"}')
    assert diagnosed()["notes"] == ["probe.json is damaged and left out: it is not UTF-8"]


def test_something_else_in_the_place_of_a_file(folder: RunFolder) -> None:
    folder.probe_json.unlink()
    folder.probe_json.mkdir()
    (note,) = diagnosed()["notes"]
    assert note.startswith("probe.json is left out: probe.json cannot be read")


def test_a_summary_that_lacks_something(folder: RunFolder) -> None:
    folder.summary_json.write_text('{"state": "finished"}')
    (note,) = diagnosed()["notes"]
    assert note.startswith("summary.json is damaged and left out: no base_steps, checks,")


def without_base(report: dict[str, Any]) -> None:
    del report["base"]


def with_base(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda report: report["base"].update({name: [1, 2]})


def with_policies(report: dict[str, Any]) -> None:
    report["spec"]["policies"] = list(report["spec"]["policies"].values())


def with_parts(report: dict[str, Any]) -> None:
    for policy in report["spec"]["policies"].values():
        policy["parts"] = [None]


def with_evaluations(report: dict[str, Any]) -> None:
    report["evaluations"] = ["not", "a", "table"]


def with_network(report: dict[str, Any]) -> None:
    report["networks"] = {name: {"low": "?"} for name in report["spec"]["policies"]}


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (without_base, "base"),
        (with_base("updates"), "base.updates"),
        (with_base("since_updates"), "base.since_updates"),
        (with_base("since_inserts"), "base.since_inserts"),
        (with_base("steps"), "base.steps"),
        (with_policies, "spec.policies"),
        (with_parts, "spec.policies.default.parts.0"),
        (with_evaluations, "evaluations"),
        (with_network, "networks.default.low"),
    ],
)
def test_a_probe_of_wrong_types_is_noted(
    folder: RunFolder, report: dict[str, Any], damage: Callable[[dict[str, Any]], None], where: str
) -> None:
    other = json.loads(json.dumps(report))
    damage(other)
    folder.probe_json.write_text(json.dumps(other))
    (note,) = diagnosed()["notes"]
    assert note.startswith(f"probe.json is damaged and left out: {where}: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty, or not all of it is there"),
        ('[run]\nname = "done"\n', "it is empty, or not all of it is there"),
        ("[run\n", "config.toml"),
        ("[learner]\nlr = []\n", "learner.lr"),
    ],
    ids=["empty", "short", "no TOML", "type"],
)
@pytest.mark.parametrize("ended", [True, False])
def test_without_its_config_a_run_has_what_it_said_itself(
    folder: RunFolder, text: str, why: str, ended: bool
) -> None:
    folder.config_toml.write_text(text)
    if not ended:
        folder.summary_json.unlink()
    said = diagnosed()
    (note,) = said["notes"]
    assert note.startswith(f"config.toml is damaged and left out: {why}")
    raised = [wrong["id"] for wrong in said["wrong"]]
    assert raised == (["policy_lag"] if ended else ["supervisor", "policy_lag"])
    assert said["ok"] == []  # nothing is judged by limits that may be others
    assert ("1,200 of 5,000 env" if ended else "1,200 env") in call("diagnose").output


@pytest.mark.parametrize("time_s", [2**64, -1, 1e300, 10**400], ids=range(4))
def test_a_moment_of_which_no_date_is_told(folder: RunFolder, time_s: float) -> None:
    event = {"time_s": time_s, "text": "…", "data": {**CHECK, "check": "policy_lag"}}
    folder.events_jsonl.write_text(json.dumps(event) + "\n")
    since = {wrong["id"]: wrong["since_s"] for wrong in diagnosed()["wrong"]}
    assert since["policy_lag"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"return_ci95": 1e308},
        {"return_ci95": 1e-200},
        {"return_mean": -1e308},
        {"return_mean": 10**400},
        {"steps": 10**300},
    ],
    ids=str,
)
def test_evaluations_that_nothing_is_computed_with(
    folder: RunFolder, fields: dict[str, float]
) -> None:
    with folder.metrics_jsonl.open("a") as file:
        for number in range(12):
            record = {"kind": "eval", "policy": "default", "steps": 100 * number, "updates": number,
                      "return_mean": float(number), "return_ci95": 0.5, "episodes": 10,
                      "time_s": 80.0 + number}  # fmt: skip
            file.write(json.dumps(record | (fields if number % 2 else {})) + "\n")
    assert diagnosed()["learning"]["verdict"] != "n/a"


def test_a_run_without_a_summary_may_have_had_no_room_for_it(folder: RunFolder) -> None:
    folder.summary_json.unlink()
    assert "no room to write its summary" in " ".join(call("diagnose").output.split())
