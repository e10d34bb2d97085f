"""The command line, against runs of fake workers and against no run at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from tests.fake_plan import fake_config, fake_folder
from tests.tui.fixtures import several, snapshot
from tests.unit.supervisor.running import Started
from tuitrain import load_policy, train
from tuitrain.cli import main as cli
from tuitrain.cli import start
from tuitrain.cli.attach import how_to_return
from tuitrain.cli.doctor import _runs_dir
from tuitrain.cli.launch import _prepare
from tuitrain.cli.runs import _print_snapshot
from tuitrain.config.changes import Change, laid_over, store_changes
from tuitrain.config.load import load_config
from tuitrain.config.problems import ConfigError
from tuitrain.config.resolve import with_runs_dir
from tuitrain.config.runs import SUMMARY_KEYS, RunFolder, RunFolderError
from tuitrain.config.schema import Config
from tuitrain.replay import segment
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house.folder_lock import hold_folder

WORK = {"do": "work"}


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fake supervisor finds the tests by PYTHONPATH, whatever the working folder.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Started]:
    run = Started(fake_folder(tmp_path / "runs", fake_config({"learner": WORK, "a0": WORK})))
    assert run.up
    yield run
    if run.process.poll() is None:
        run.process.terminate()
    run.process.communicate(timeout=60)


def call(*arguments: str) -> Any:
    result: Result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("arguments", [["--help"], ["launch", "--help"], ["config", "--help"]])
def test_help_teaches(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 0
    assert "\x1b" not in result.output


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from tuitrain.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['ls']).exit_code == 0\n"
        "print([m for m in ('torch', 'textual', 'gymnasium') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_config_problem_is_shown_and_nothing_is_created(tmp_path: Path) -> None:
    Path("bad.toml").write_text("[learner]\nlr = 7\nbatch_sise = 3\n")
    before = sorted(tmp_path.iterdir())
    result = call("launch", "bad.toml", "--set", "run.seed=x y", "--schedule", "fast")
    assert result.exit_code == 2
    for word in ("learner.lr", "batch_sise", "batch_size", "run.seed", "run.schedule"):
        assert word in result.output
    assert sorted(tmp_path.iterdir()) == before
    assert houses.tenants() == []


def test_a_missing_config_is_said_plainly() -> None:
    result = call("launch", "nowhere.toml")
    assert result.exit_code == 2
    assert "nowhere.toml" in result.output
    assert "Traceback" not in result.output


def test_an_unusable_runtime_directory_stops_a_launch_before_it_creates_anything(
    tmp_path: Path, runtime_dir: Path
) -> None:
    Path("good.toml").write_text("")
    (runtime_dir / "tuitrain").mkdir(mode=0o755)
    before = sorted(tmp_path.iterdir())
    result = call("launch", "good.toml", "--headless")
    assert result.exit_code == 2
    assert "chmod 700" in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_config_check_and_schema() -> None:
    Path("good.toml").write_text("[run]\nseed = 3\n")
    assert "good.toml: fine" in call("config", "check", "good.toml").output
    shown = call("config", "check", "good.toml", "--show", "--set", "run.name=x").output
    assert "seed = 3" in shown
    assert 'name = "x"' in shown
    assert call("config", "check", "good.toml", "--set", "run.seed=-1").exit_code == 2
    assert "properties" in json.loads(call("config", "schema").output)


@pytest.mark.parametrize("command", ["status", "pause", "stop", "resume", "eval", "attach"])
def test_without_any_run_commands_say_so(command: str) -> None:
    result = call(command)
    assert result.exit_code == 2
    assert "no run" in result.output


def test_ls_without_any_run_says_how_to_start_one() -> None:
    assert "tuitrain launch" in call("ls").output
    assert json.loads(call("ls", "--json").output) == []


def test_commands_reach_a_run_and_print_its_answer(live: Started) -> None:
    assert "paused: 2 of 2 workers hold" in call("pause").output
    status = json.loads(call("status", "--json").output)
    assert status["live"] is True
    assert status["state"] == "paused"
    assert "running: 2 of 2" in call("unpause", "fake").output
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
    # `stop` has returned: so nothing is left.
    assert houses.tenants() == []
    assert segment.list_names(f"tuitrain-{live.told[-1]['run_id']}-") == []
    assert live.end()[0] == 0
    status = json.loads(call("status", "--json").output)
    assert (status["live"], status["state"]) == (False, "stopped")
    assert "stopped: stopped by its user" in call("status").output
    assert "stopped" in call("ls").output


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
    assert "`tuitrain resume fake-0001`" in status.output
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
    fake_folder(tmp_path / "runs", fake_config({}))
    assert "not started" in call("status").output
    assert "not started" in call("ls").output


def test_runs_are_made_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", str(tmp_path / "mine"))
    given = load_config(None, ["run.out_dir=theirs"])
    assert with_runs_dir(load_config(None)).run.out_dir == str(tmp_path / "mine")
    assert with_runs_dir(given).run.out_dir == "theirs"
    monkeypatch.delenv("TUITRAIN_RUNS_DIR")
    assert with_runs_dir(load_config(None)).run.out_dir == "runs"


def test_a_folder_of_runs_without_a_name_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", "")
    folder = fake_folder(tmp_path / "runs", fake_config({}))
    assert "fake-0001" in call("ls").output
    assert "`tuitrain attach fake-0001`" in how_to_return(folder)
    assert _runs_dir(None) == Path("runs").absolute()


def test_launch_and_doctor_make_and_look_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def made(config: Config, **_: Any) -> RunFolder:
        asked.append(config.run.out_dir)
        raise RunFolderError("far enough")

    monkeypatch.setattr("tuitrain.config.runs.create_run", made)
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", "mine")
    Path("good.toml").write_text("")
    assert "far enough" in call("launch", "good.toml").output
    assert asked == [str(Path("mine").absolute())]
    assert str(Path("mine").absolute()) in call("doctor", "--json").output


@pytest.mark.parametrize("kind", ["table", "config", "file"])
def test_python_makes_runs_where_the_command_line_does(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def made(config: Config, **_: Any) -> RunFolder:
        asked.append(config.run.out_dir)
        raise RunFolderError("far enough")

    monkeypatch.setattr("tuitrain.config.runs.create_run", made)
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", "mine")
    Path("good.toml").write_text("")
    given: Any = {"table": {}, "config": Config(), "file": "good.toml"}[kind]
    for overrides in ([], ["run.out_dir=theirs"]):
        with pytest.raises(RunFolderError, match="far enough"):
            train(given, overrides)
    assert asked == [str(Path(name).absolute()) for name in ("mine", "theirs")]
    with pytest.raises(RunFolderError, match=str(Path("mine").absolute())):
        load_policy()


def test_a_living_run_is_found_from_any_folder_by_name(
    live: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert json.loads(call("status", "fake-0001", "--json").output)["live"]
    assert json.loads(call("status", "--json").output)["live"]
    assert str(tmp_path / "runs") in call("ls").output  # which of two runs of one name it is
    folder = RunFolder(tmp_path / "runs" / "fake-0001")
    assert str(folder.path) in how_to_return(folder)
    monkeypatch.chdir(tmp_path)
    assert str(folder.path) not in how_to_return(folder)
    assert str(tmp_path) not in call("ls").output
    monkeypatch.chdir(elsewhere)
    # But where there are runs, `latest` is one of those.
    fake_folder(elsewhere / "runs", fake_config({}))
    assert call("pause").exit_code == 2


def test_a_damaged_or_suspended_run_hides_no_other(
    live: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = fake_folder(tmp_path / "damaged", fake_config({})).path
    damaged.rename(tmp_path / "runs" / "fake-0007")
    summary = tmp_path / "runs" / "fake-0007" / "summary.json"
    summary.write_text('{"state": "finished"}')
    monkeypatch.setattr(cli.runs, "STATUS_DEADLINE_S", 0.2)
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


def test_kill_asks_and_does_not_save(live: Started) -> None:
    result = call("kill", "latest")
    assert result.exit_code == 2
    assert "--yes" in result.output, "nobody is there to type the name"
    assert live.process.poll() is None
    assert call("kill", "latest", "--yes").exit_code == 0
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


def test_windows_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "WSL" in capsys.readouterr().err


def test_the_runs_folder_may_be_elsewhere(tmp_path: Path) -> None:
    fake_folder(tmp_path / "other", fake_config({}))
    assert "fake-0001" in call("ls", "--runs-dir", "other").output
    os.environ["TUITRAIN_RUNS_DIR"] = "other"
    assert "fake-0001" in call("ls").output


def test_what_a_start_warns_of_is_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """▣ Also of a run that is left alone: its events are read when it is too late."""
    said = [
        {"event": "warning", "text": "logging out will kill this \x1b[31mrun"},
        {"event": "failed", "text": "it ended"},
    ]
    lines = b"".join(json.dumps(line).encode() + b"\n" for line in said)
    program = f"import os, sys; os.write(int(sys.argv[1]), {lines!r})"
    monkeypatch.setattr(
        start, "command_line", lambda path, *options: [sys.executable, "-c", program, options[2]]
    )
    (tmp_path / "logs").mkdir()
    with pytest.raises(typer.Exit):
        start.start_detached(RunFolder(tmp_path), lambda text: None)
    warned, ended, _ = capsys.readouterr().err.splitlines()
    assert warned == "warning: logging out will kill this �[31mrun"
    assert ended == "tuitrain: it ended"
