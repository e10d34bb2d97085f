"""`ls` and `status`: what they say of runs, living, killed, damaged or out of reach."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.tui.fixtures import several, snapshot
from tests.unit.cli.calling import call
from tests.unit.supervisor.running import Started
from tuitrain.checkpoint.choice import begin_return, put_back
from tuitrain.checkpoint.files import BEST, CheckpointError, checkpoints
from tuitrain.cli import runs
from tuitrain.cli.runs import _print_snapshot
from tuitrain.config.runs import SUMMARY_KEYS, RunFolder
from tuitrain.supervisor.house.folder_lock import hold_folder

pytestmark = pytest.mark.usefixtures("in_tmp")


def test_ls_without_any_run_says_how_to_start_one() -> None:
    assert "tuitrain launch" in call("ls").output
    assert json.loads(call("ls", "--json").output) == []


def test_a_killed_run_says_how_far_it_came(live: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = live.folder
    call("checkpoint")
    folder.metrics_jsonl.write_text('{"kind": "system", "steps": 1200, "time_s": 1.0}\n')
    live.kill_with_guard()
    status = call("status")
    assert status.exit_code == 0
    assert "fake-0001: killed" in status.output
    assert "last seen at 1,200 of 10,000 environment steps" in status.output
    assert "`tuitrain launch" in status.output, "there is nothing to resume"
    newest = folder.checkpoints / "ckpt-0000000600.pt"
    newest.touch()
    status = call("status")
    assert f"newest checkpoint {newest}" in status.output
    assert "`tuitrain resume fake-0001` goes on from it\n" in status.output
    with folder.events_jsonl.open("a") as file:
        told = {"checkpoint": str(newest), "saved_steps": 1000}
        file.write(json.dumps({"text": f"checkpoint {newest}", "data": told}) + "\n")
    assert "goes on from it, at 1,000 steps: 200 that came after it" in call("status").output
    seen = json.loads(call("status", "--json").output)
    assert (seen["live"], seen["state"], seen["steps"]) == (False, "killed", 1200)
    assert seen["last_checkpoint"] == str(newest)
    (row,) = json.loads(call("ls", "--json").output)
    assert (row["state"], row["steps"], row["total_steps"]) == ("killed", 1200, 10_000)
    started: list[RunFolder] = []

    def start(run: RunFolder, *, held: int, **_: Any) -> None:
        started.append(run)
        os.close(held)

    monkeypatch.setattr("tuitrain.cli.launch._start", start)
    resumed = call("resume", "-d")
    assert "fake-0001: killed" in resumed.output
    assert "last seen at 1,200" in resumed.output
    assert [run.name for run in started] == ["fake-0001"]
    assert "killed" in call("ls").output


@pytest.mark.parametrize("sound", [True, False])
def test_a_run_that_was_killed_on_its_way_back_goes_on_from_there(
    tmp_path: Path, sound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ And not from the newest checkpoint, which is of after a failure; if it is sound."""
    folder = fake_folder(tmp_path / "runs", fake_config({}))
    folder.events_jsonl.touch()
    good, newest = (folder.checkpoints / f"ckpt-{n:010d}.pt" for n in (400, 600))
    good.touch()
    newest.touch()
    begin_return(folder.checkpoints, good)
    (best := folder.checkpoints / BEST).touch()
    assert f"on its way back to checkpoint {good}" in call("status").output
    assert json.loads(call("status", "--json").output)["last_checkpoint"] == str(good)

    def load(path: Path) -> None:
        if not sound:
            raise CheckpointError(f"{path.name} is damaged")

    monkeypatch.setattr("tuitrain.checkpoint.payload.load_whole", load)
    monkeypatch.setattr("tuitrain.cli.launch._start", lambda *_, held, **__: os.close(held))
    resumed = call("resume", "-d")
    assert f"fake-0001 ended on its way back to {good.name}" in resumed.output
    if sound:
        assert checkpoints(folder.checkpoints) == [good]
        assert f"{newest.name} is put aside" in resumed.output
        assert not best.exists(), "the probe says whether it is newer"
        assert put_back(folder.checkpoints) == [newest], "it may not come up"
    else:
        assert f"cannot be gone on from: {good.name} is damaged" in resumed.output
        assert checkpoints(folder.checkpoints) == [good, newest]
    assert best.exists()


def test_a_run_whose_folder_is_held_is_not_called_killed(tmp_path: Path) -> None:
    """It was moved while it lives, so it is not found by its name."""
    folder = fake_folder(tmp_path / "runs", fake_config({}))
    folder.events_jsonl.touch()
    fd = hold_folder(folder.path, folder.name)
    assert "out of reach" in call("ls").output
    assert "out of reach" in call("status").output
    os.close(fd)
    assert "killed" in call("ls").output


def test_a_run_that_was_never_started_is_not_called_killed(tmp_path: Path) -> None:
    folder = fake_folder(tmp_path / "runs", fake_config({}))
    fd = hold_folder(folder.path, folder.name)  # as `launch` does until the supervisor is there
    assert "starting" in call("ls").output
    assert "starting: its supervisor has not said anything yet" in call("status").output
    os.close(fd)
    assert "not started" in call("status").output
    assert "not started" in call("ls").output


def test_a_damaged_or_suspended_run_hides_no_other(
    live: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = fake_folder(tmp_path / "damaged", fake_config({})).path
    damaged.rename(tmp_path / "runs" / "fake-0007")
    summary = tmp_path / "runs" / "fake-0007" / "summary.json"
    summary.write_text('{"state": "finished"}')
    monkeypatch.setattr(runs, "STATUS_DEADLINE_S", 0.2)
    live.process.send_signal(signal.SIGSTOP)
    try:
        result = call("ls", "--json")
    finally:
        live.process.send_signal(signal.SIGCONT)
    states = {row["name"]: row["state"] for row in json.loads(result.output)}
    assert states == {"fake-0001": "no answer", "fake-0007": "damaged"}
    assert "damaged" in call("ls").output
    result = call("status", "fake-0007")
    assert result.exit_code == 2
    assert str(summary) in result.output


@pytest.mark.parametrize(
    ("bests", "said", "mean"),
    [
        ({"default": 4.25}, "best eval 4.25", 4.25),
        ({"a": 1.0, "b": 3.0}, "best eval a 1, b 3", 2.0),
        ({"a": 1.0, "b": None}, "best eval a 1", None),
        ({"a": 1.0, "b": 3.0, "c": 2.0, "d": 6.0}, "best eval 3, mean of 4 policies", 3.0),
        ({"default": None}, "steps", None),
    ],
)
def test_a_best_evaluation_says_whose_it_is(
    tmp_path: Path, bests: dict[str, float | None], said: str, mean: float | None
) -> None:
    folder = fake_folder(tmp_path / "runs", fake_config({}))
    keys = dict.fromkeys(SUMMARY_KEYS) | {"state": "finished", "steps": 1, "total_steps": 1}
    keys["policies"] = {name: {"eval_best": best} for name, best in bests.items()}
    keys["learning"] = {"best": 99.0}
    folder.summary_json.write_text(json.dumps(keys))
    assert call("ls").output.rstrip().endswith(said)
    (row,) = json.loads(call("ls", "--json").output)
    assert (row["eval_best"], row["eval_best_by_policy"]) == (mean, bests)


def test_status_says_who_has_died_of_what_and_what_that_has_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = snapshot(schedule="lockstep", reproducible=False).model_dump()
    dead, back = data["processes"][:2]
    dead |= {"pid": 4711, "restarts": 2, "died_of": "killed by SIGSEGV"}
    back |= {"rolled_back": 2}
    data["policies"][0] |= {"name": "wolves", "lost_updates": 1234}
    _print_snapshot("x", data)
    shown = capsys.readouterr().out
    assert "pid 4711" in shown
    assert "↻2 started again after a death, last: killed by SIGSEGV" in shown
    assert "went back 2× with the others" in shown
    assert "updates lost by deaths of learners: 1,234 of wolves" in shown
    assert "reproducible from its seed: no" in shown


@pytest.mark.parametrize("n", [1, 3])
def test_status_tables_several_policies_and_names_the_worst(
    capsys: pytest.CaptureFixture[str], n: int
) -> None:
    _print_snapshot("x", several(n).model_dump())
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    if n == 1:
        assert "eval 80 IMPROVING" in lines[1]
        assert not any(line.startswith("  policy ") for line in lines)
    else:
        assert "worst of 3: agent_1 → FALLING eval 81" in lines[1]
        assert lines[2].startswith("learning, worst of 3 policies: agent_1 → FALLING")
        assert lines[3].split()[:2] == ["policy", "train"]
        assert lines[5].split() == [
            "agent_1", "61.0", "81.0", "±", "4.20", "91.0", "↓", "FALLING", "97k", "37",
        ]  # fmt: skip
