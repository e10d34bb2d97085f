"""Commands to a run: they reach it and print its answer, or say why they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.unit.cli.calling import call
from tests.unit.supervisor.running import Started
from tuitrain.cli.launch import _prepare
from tuitrain.config.changes import Change, laid_over, store_changes
from tuitrain.config.problems import ConfigError
from tuitrain.replay import segment
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house import runtime

pytestmark = pytest.mark.usefixtures("in_tmp")


@pytest.mark.parametrize("command", ["status", "pause", "stop", "resume", "eval", "attach"])
def test_without_any_run_commands_say_so(command: str) -> None:
    result = call(command)
    assert result.exit_code == 2
    assert "no run" in result.output


def test_a_command_goes_on_where_it_cannot_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LOCK_WITHIN_S", 0.0)
    (runtime.root() / ("0" * 8)).mkdir()
    with runtime.root_lock(runtime.root()):
        result = call("ls")
    assert result.exit_code == 0
    assert f"stays for now: the lock file {runtime.root()}/.lock is held by" in result.stderr


def test_commands_reach_a_run_and_print_its_answer(live: Started) -> None:
    assert "paused: 2 of 2 workers hold" in call("pause").output
    status = json.loads(call("status", "--json").output)
    assert status["live"] is True
    assert status["state"] == "paused"
    assert "unpaused: 2 of 2" in call("unpause", "fake").output
    resync = json.loads(call("resync", live.told[-1]["run_id"], "--json").output)
    assert resync["ok"]
    assert resync["result"]["equal"] is True
    assert "ckpt-1" in call("checkpoint", str(live.folder.path)).output
    text = call("status", "fake-0001").output
    assert "a0" in text
    assert "weights hash" in text
    (row,) = json.loads(call("ls", "--json").output)
    assert (row["name"], row["live"], row["state"]) == ("fake-0001", True, "running")
    result = call("stop")
    assert result.exit_code == 0
    assert "stopped, checkpoint" in result.output
    assert "; `tuitrain resume fake-0001` goes on from it" in result.output
    # `stop` has returned: so nothing is left.
    assert houses.tenants() == []
    assert segment.list_names(f"tuitrain-{live.told[-1]['run_id']}-") == []
    assert live.end()[0] == 0
    status = json.loads(call("status", "--json").output)
    assert (status["live"], status["state"]) == (False, "stopped")
    assert "stopped: stopped by its user" in call("status").output
    assert "stopped" in call("ls").output


def test_set_without_a_run_asks_which() -> None:
    result = call("set", "learner.lr=1e-5", "eval.every_steps=5")
    assert result.exit_code == 2
    assert "which run? `tuitrain set latest learner.lr=1e-5 eval.every_steps=5`" in result.output


@pytest.mark.parametrize(
    ("typed", "taught"),
    [
        (["restart"], "`tuitrain restart latest a0`; `tuitrain status latest` names"),
        (["restart", "cartpole"], "`tuitrain restart cartpole a0`; `tuitrain status cartpole`"),
        (["stacks"], "`tuitrain stacks latest a0`"),
        (["set"], "`tuitrain set latest learner.lr=1e-4`"),
        (["kill"], "`tuitrain kill NAME`"),
        (["new"], "`tuitrain new my_env.py:make`"),
        (["launch"], "`tuitrain launch CONFIG.toml`; `tuitrain new my_env.py:make`"),
    ],
)
def test_what_is_missing_is_taught(typed: list[str], taught: str) -> None:
    result = call(*typed)
    assert result.exit_code == 2
    assert taught in result.output
    assert "Missing argument" not in result.output


def test_kill_without_asking_takes_nothing_short_of_a_name(live: Started) -> None:
    """▣ The beginning of a name may mean another run by the time that nobody is asked."""
    for short in ("fake", "fak", "fake-0"):
        result = call("kill", short, "--yes")
        assert result.exit_code == 2
        assert "whole name: `tuitrain kill fake-0001 --yes`" in result.output
        assert live.process.poll() is None
    assert call("kill", live.told[-1]["run_id"], "--yes").exit_code == 0


def test_kill_asks_and_does_not_save(live: Started) -> None:
    result = call("kill", "latest")
    assert result.exit_code == 2
    assert "--yes" in result.output, "nobody is there to type the name"
    assert live.process.poll() is None
    killed = call("kill", "latest", "--yes")
    assert killed.exit_code == 0
    assert "fake-0001: killed, without a checkpoint" in killed.output
    assert live.end()[0] == 0
    assert live.summary["last_checkpoint"] is None


def test_restart_asks_a_person_and_stacks_says_where(live: Started) -> None:
    name = live.folder.name
    refused = call("restart", name, "a0")
    assert refused.exit_code == 2
    assert f"`tuitrain restart {name} a0 --yes`" in refused.output
    unknown = call("restart", name, "a9")
    assert unknown.exit_code == 2
    assert "there is no worker 'a9'; there are " in unknown.output, "before anybody is asked"
    done = call("restart", name, "a0", "--yes")
    assert done.exit_code == 0
    assert f"{name}: a0 is back after" in done.output
    told = json.loads(call("stacks", name, "learner", "--json").output)
    assert told["message"].startswith("learner: fake_workers.py:")
    assert told["result"]["log"] == str(live.folder.logs / "learner.log")
    assert call("stacks", name, "a9").exit_code == 1


def test_a_running_run_is_not_resumed(live: Started) -> None:
    result = call("resume")
    assert result.exit_code == 2
    assert "is running" in result.output


def test_a_run_without_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    fake_folder(tmp_path / "runs", fake_config({}))
    result = call("resume")
    assert result.exit_code == 2
    assert "no checkpoint" in result.output


def test_a_change_that_a_resume_drops_is_not_held_against_it(tmp_path: Path) -> None:
    """▣ What is given anew need not go together with what it takes the place of."""
    config = fake_config({})
    folder = fake_folder(tmp_path / "runs", config)
    (folder.checkpoints / "ckpt-1").touch()
    given = config.exploration.epsilon_end
    store_changes(folder, {"exploration.epsilon_end": Change(given, 0.5)})
    lower = "exploration.epsilon_start=0.2"
    with pytest.raises(ConfigError, match="epsilon_start"):
        _prepare(folder, [lower], None)
    assert folder.load_config() == config
    _prepare(folder, [lower, f"exploration.epsilon_end={given}"], None)
    assert laid_over(folder.load_config(), folder).exploration.epsilon_end == given


def test_a_command_that_was_not_carried_out_has_exit_code_1(tmp_path: Path) -> None:
    workers = {"learner": {"do": "work", "disk full": True}}
    run = Started(fake_folder(tmp_path / "runs", fake_config(workers)))
    try:
        result = call("checkpoint")
        assert result.exit_code == 1
        assert "No space left" in result.output
    finally:
        call("kill", "latest", "--yes")
        run.end()


def test_the_next_command_removes_what_a_killed_supervisor_left(live: Started) -> None:
    run_id = live.told[-1]["run_id"]
    live.kill_with_guard()
    dry = call("clean", "--dry-run").output
    assert f"would remove segment tuitrain-{run_id}-fake" in dry
    assert segment.list_names(f"tuitrain-{run_id}-")
    result = call("ls")
    assert "removed what dead runs had left (1 shared-memory" in result.output
    assert "killed" in result.output
    assert segment.list_names(f"tuitrain-{run_id}-") == []
    result = call("status")
    assert "killed: its supervisor ended without a word" in result.output
    assert run_id not in call("clean", "--dry-run").output


def test_attach_needs_a_terminal(live: Started) -> None:
    result = call("attach")
    assert result.exit_code == 2
    assert "tuitrain status" in result.output
