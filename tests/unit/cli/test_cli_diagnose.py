"""`tuitrain diagnose`: of runs that live, have ended or were killed, and of configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.sites import eventually
from tests.unit.cli.calling import call
from tests.unit.supervisor.running import Started
from tuitrain.config.checks import ChecksConfig
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import SUMMARY_KEYS, RunFolder, create_run
from tuitrain.workers.asides.probe import probe

pytestmark = pytest.mark.usefixtures("in_tmp")


@pytest.fixture
def ended(in_tmp: None) -> RunFolder:
    """A run that has finished, and what its supervisor said of a check on the way."""
    folder = create_run(resolve(config_from({"run": {"name": "done"}}), cores=2))
    folder.events_jsonl.write_text(
        "".join(
            json.dumps(event(at, state)) + "\n" for at, state in ((90.0, "warn"), (95.0, "fail"))
        )
    )
    folder.metrics_jsonl.write_text('{"kind": "system", "steps": 1200, "time_s": 89.0}\n')
    summary = dict.fromkeys(SUMMARY_KEYS) | {
        "state": "finished",
        "steps": 5000,
        "total_steps": 5000,
        "policies": {},
        "wall_s": 10.0,
        "checks": [lag("fail"), {"id": "torn"}],
    }
    folder.summary_json.write_text(json.dumps(summary))
    return folder


def lag(state: str) -> dict[str, Any]:
    return {"id": "policy_lag", "name": "policy lag", "value": "p95 900 u", "limit": "500 u",
            "state": state, "advice": "lower publish_every", "catalogue_id": "3.1"}  # fmt: skip


def event(at: float, state: str) -> dict[str, Any]:
    data = {**lag(state), "check": "policy_lag", "was": "ok"}
    del data["id"]
    return {"seq": int(at), "time_s": at, "level": "warning", "text": "…", "data": data}


def test_an_ended_run_is_diagnosed_from_its_files(ended: RunFolder) -> None:
    told = call("diagnose")
    assert told.exit_code == 1
    for words in (
        "done-0001: finished",
        " 1.  FAIL  What is learned from was acted with old weights.",
        "policy lag p95 900 u (limit 500 u)",
        "environment step 1,200",
        "lower publish_every",
        "3.1",
    ):
        assert words in told.output


def test_steps_of_an_evaluation_are_not_those_of_the_moment(ended: RunFolder) -> None:
    with ended.metrics_jsonl.open("a") as file:
        file.write('{"kind": "eval", "steps": 400, "time_s": 89.5}\n')
    assert "environment step 1,200" in call("diagnose").output


def test_the_same_for_a_script(ended: RunFolder) -> None:
    told = json.loads(call("diagnose", "done", "--json").output)
    assert (told["run"], told["state"]) == ("done-0001", "finished")
    (wrong,) = told["wrong"]
    assert (wrong["id"], wrong["since_s"], wrong["since_steps"]) == ("policy_lag", 90.0, 1200)
    assert wrong["leads_to"] == []
    assert "heartbeat" in told["not_measured"]


def test_what_is_over_is_not_wrong(ended: RunFolder) -> None:
    summary = json.loads(ended.summary_json.read_text())
    ended.summary_json.write_text(json.dumps(summary | {"checks": [lag("ok")]}))
    with open(ended.events_jsonl, "a") as events:
        events.write(json.dumps(event(99.0, "ok")) + "\n")
    told = call("diagnose")
    assert told.exit_code == 0
    assert "Nothing was found, but whether it learns is not known" in told.output
    assert "Raised on the way, and no longer: policy_lag." in told.output


def test_what_all_went_back_for_is_told(ended: RunFolder) -> None:
    """▣ Nothing of it is raised any more, and a run that was mended would look untroubled."""
    summary = json.loads(ended.summary_json.read_text())
    ended.summary_json.write_text(json.dumps(summary | {"checks": [lag("ok")]}))
    data = {"check": "policy_lag", "on_fail": "rollback", "checkpoint": "ckpt-1"}
    with open(ended.events_jsonl, "a") as events:
        events.write(json.dumps({"time_s": 96.0, "text": "…", "data": data}) + "\n")
    told = call("diagnose")
    assert told.exit_code == 0
    assert "Note: all were sent back to a checkpoint once, because policy lag had" in told.output


def test_a_killed_run_says_what_it_said_last(ended: RunFolder) -> None:
    ended.summary_json.unlink()
    told = call("diagnose")
    assert told.exit_code == 1
    assert "done-0001: killed" in told.output
    first, second = (told.output.index(text) for text in ("supervisor was killed", "old weights"))
    assert first < second, "the rest is what was so until then"
    assert "`tuitrain status done-0001`" in told.output


def evaluated(folder: RunFolder, *means: float) -> None:
    with folder.metrics_jsonl.open("a") as file:
        for number, mean in enumerate(means, 1):
            record = {"kind": "eval", "policy": "default", "steps": 100 * number, "episodes": 10,
                      "updates": 10 * number, "return_mean": mean, "return_ci95": 1.0,
                      "time_s": 80.0 + number}  # fmt: skip
            file.write(json.dumps(record) + "\n")


def raised(id_: str, at: float, state: str, **more: Any) -> str:
    data = {"check": id_, "state": state, "was": "ok", "value": "FALLING", "limit": "-"}
    return json.dumps({"seq": 1, "time_s": at, "level": "warning", "text": "", "data": data | more})


@pytest.fixture
def probed(ended: RunFolder) -> RunFolder:
    """The same run, killed before it said anything; of its policies the probe has told."""
    ended.probe_json.write_text(json.dumps(probe(ended.load_config(), None)))
    ended.summary_json.unlink()
    ended.events_jsonl.write_text("")
    return ended


def test_the_verdict_made_now_is_not_contradicted_by_a_recorded_one(probed: RunFolder) -> None:
    """▣ "learning IMPROVING", and under it a warning that it falls, of before."""
    probed.events_jsonl.write_text(raised("learning", 84.0, "warn") + "\n")
    evaluated(probed, *range(10, 200, 10))
    told = call("diagnose")
    assert "learning IMPROVING" in told.output
    assert " 1.  FAIL  Its supervisor was killed" in told.output
    assert "FALLING" not in told.output
    assert "Raised on the way, and no longer: learning." in told.output


def test_a_learner_that_died_with_its_updates_is_the_cause(probed: RunFolder) -> None:
    """▣ Begun again from the first weights: "lower learner.lr" was what it was told."""
    lost = {"data": {"mark": "restart", "lost_updates": {"default": 100_590}}, "time_s": 90.0}
    probed.events_jsonl.write_text(json.dumps(lost) + "\n")
    evaluated(probed, *[500.0] * 8, *[9.8] * 8)
    _, wrong = json.loads(call("diagnose", "--json").output)["wrong"]
    assert wrong["headline"] == "The learner died, and 100,590 updates were lost with it."
    assert "run.checkpoint_every_s" in wrong["advice"]
    assert "learner.lr" not in wrong["advice"]


def test_what_is_wrong_now_is_not_told_to_be_over(probed: RunFolder) -> None:
    events = (raised("learning", 84.0, "warn"), raised("learning", 85.0, "ok"))
    probed.events_jsonl.write_text("\n".join(events) + "\n")
    evaluated(probed, *[500.0] * 8, *[9.8] * 8)
    told = call("diagnose")
    assert " 2.  WARN  Greedy play has fallen from its best." in told.output
    assert "no longer" not in told.output


@pytest.mark.parametrize(
    ("saved", "how"),
    [
        ("ckpt-1.pt", "to go on: tuitrain resume done-0001"),
        (None, "to begin anew: tuitrain launch /x/done-0001/config.toml"),
    ],
)
def test_that_its_user_killed_it_is_said_with_how_to_go_on(
    ended: RunFolder, saved: str | None, how: str
) -> None:
    summary = json.loads(ended.summary_json.read_text())
    summary |= {"state": "stopped", "reason": "killed by its user", "checks": []}
    summary |= {"run_dir": "/x/done-0001", "last_checkpoint": saved}
    ended.summary_json.write_text(json.dumps(summary))
    first, second = call("diagnose").output.splitlines()[:2]
    assert first.startswith("done-0001: stopped")
    assert second.startswith("killed by its user, which is no fault; ")
    assert second.endswith(how)


def test_a_living_run_is_asked(live: Started) -> None:
    told = call("diagnose", "latest", "--json")
    said = json.loads(told.output)
    assert told.exit_code == bool(said["wrong"])
    assert (said["run"], said["state"]) == ("fake-0001", "running")
    assert "processes" in said["ok"]  # in no file: only who lives has processes


def test_a_living_run_says_at_which_line_a_silent_worker_is(tmp_path: Path, in_tmp: None) -> None:
    """▣ Its environment may hang for minutes before it is given up."""
    config = fake_config({"learner": {"do": "work"}, "a0": {"do": "hang"}})
    config = config.model_copy(update={"checks": ChecksConfig(heartbeat_s=0.5)})
    run = Started(fake_folder(tmp_path / "runs", config))
    try:
        assert run.up
        (run.folder.path / "go").touch()
        eventually(lambda: "silent" in call("status").output, "that a0 is silent")
        said = " ".join(call("diagnose").output.split())
    finally:
        run.process.terminate()
        run.end()
    assert "change a0: fake_workers.py:" in said
    assert " in _for_ever; the stacks of all its threads are in " in said
    assert "`tuitrain stacks fake-0001 a0` says at which line" in said
    assert "after 300 s without progress it is ended and replaced" in said


def test_a_config_that_is_refused() -> None:
    Path("late.toml").write_text(
        "[run]\ntotal_steps = 1000\n[replay]\nlearning_starts = 2000\n[learner]\nlr = 10.0\n"
    )
    told = call("diagnose", "late.toml")
    assert told.exit_code == 1
    said = " ".join(told.output.split())
    assert "replay.learning_starts = 2000 must be less than run.total_steps = 1000" in said
    assert "learner.lr = 10.0 must be" in said
    mended = call(
        "diagnose", "late.toml", "--set", "learner.lr=1e-3", "--set", "run.total_steps=1e4"
    )
    assert mended.exit_code == 0
    assert "doctor" in mended.output


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("learner.tau=1e-7", "target_network"),
        ("exploration.epsilon_decay_steps=1e12", "exploration"),
        ("learner.lr=0.5", "lr"),
        ("learner.lr=1e-9", "lr"),
        ("eval.every_steps=1e12", "evaluations"),
    ],
)
def test_a_config_whose_plan_cannot_learn(change: str, check: str) -> None:
    Path("my.toml").write_text("")
    told = call("diagnose", "my.toml", "--set", change, "--json")
    assert told.exit_code == 1
    assert [wrong["id"] for wrong in json.loads(told.output)["wrong"]] == [check]
    well = call("diagnose", "my.toml")
    assert well.exit_code == 0, well.output
    assert "my.toml: is accepted; `tuitrain doctor`" in well.output


def test_a_plan_that_hardly_learns() -> None:
    Path("my.toml").write_text("[run]\ntotal_steps = 40_000\n[replay]\nlearning_starts = 39_000\n")
    told = call("diagnose", "my.toml")
    assert told.exit_code == 1
    assert "only 2.5% of the run's transitions" in " ".join(told.output.split())


NETS = """
from torch import nn

class Newest(nn.Module):
    def __init__(self, shape, n_actions):
        super().__init__()
        self.body = nn.Linear(4, n_actions)

    def forward(self, x):
        return self.body(x[:, -1])

class Centred(Newest):
    def forward(self, x):
        return super().forward(x) - super().forward(x).mean(0)
"""


@pytest.mark.parametrize(
    ("network", "frames", "found", "said"),
    [
        ("Newest", 1, [], "is accepted; `tuitrain doctor`"),
        pytest.param(
            "Newest",
            2,
            ["network"],
            "The network looks at 1 of 2 frames.",
            marks=pytest.mark.long,
        ),
        ("Centred", 1, ["config"], "the network mixes the rows of a batch"),
        pytest.param("Missing", 1, ["config"], "Missing", marks=pytest.mark.long),
    ],
)
def test_a_network_of_ones_own_is_asked(
    network: str, frames: int, found: list[str], said: str
) -> None:
    Path("nets.py").write_text(NETS)
    Path("my.toml").write_text(
        f'[env]\nn_frames = {frames}\n[learner]\nnetwork = "nets.py:{network}"\n'
    )
    told = call("diagnose", "my.toml", "--json")
    assert told.exit_code == bool(found)
    assert [wrong["id"] for wrong in json.loads(told.output)["wrong"]] == found
    assert said in " ".join(call("diagnose", "my.toml").output.split())


def test_other_settings_of_evaluations_are_noted(ended: RunFolder) -> None:
    Path("my.toml").write_text("[env]\neval_kwargs = { sutton_barto_reward = true }\n")
    note = "Evaluations play with sutton_barto_reward = True, training without"
    told = call("diagnose", "my.toml")
    assert told.exit_code == 0, told.output
    assert f"Note: {note}" in told.output
    assert "with the same actions, rewards differ" in " ".join(told.output.split())
    (ended.path / "config.toml").write_text(
        (ended.path / "config.toml").read_text().replace("eval_kwargs = {}", "eval_kwargs = {a=1}")
    )
    (said,) = json.loads(call("diagnose", "done", "--json").output)["notes"]
    assert said.startswith("Evaluations play with a = 1")


def test_settings_of_evaluations_that_fit_no_network_are_told_first() -> None:
    Path("my.toml").write_text(
        '[env]\nid = "tests.envs:Chain"\nkwargs = {length = 6}\neval_kwargs = {length = 7}\n'
    )
    told = call("diagnose", "my.toml", "--json")
    assert told.exit_code == 1
    (wrong,) = json.loads(told.output)["wrong"]
    assert "observation_shape: (7,) here, (6,) there" in wrong["headline"]
    assert "env.eval_kwargs" in wrong["headline"] + wrong["advice"]


def test_wrong_usage() -> None:
    assert call("diagnose", "nowhere").exit_code == 2
    assert call("diagnose", "latest", "--set", "run.seed=1").exit_code == 2
