"""What the probe tells a user of how observations and actions are taken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuitrain.config.load import ConfigError, config_from
from tuitrain.config.resolve import resolve
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec, Part, PolicySpec
from tuitrain.learning.bodies import NetworkError
from tuitrain.protocol import Snapshot
from tuitrain.supervisor.plan import TrainingPlan
from tuitrain.supervisor.snapshot import RunView, build_snapshot
from tuitrain.workers.asides import probe as module
from tuitrain.workers.asides.probe import planned_for_nobody_absent, probe, run, says_all, seen
from tuitrain.workers.child import Refused

PLAIN = PolicySpec((4,), "float32", 2, ("a",))
PARTS = (
    Part(("at",), "box", (2,), "float32", 0),
    Part(("way",), "one_hot", (), "int", 2, (4,), (0,)),
)


def test_the_layout_is_told_once_for_policies_that_are_alike() -> None:
    row = replace(PLAIN, observation_shape=(6,), parts=PARTS)
    spec = EnvSpec("e", 1, {"a": row, "b": PLAIN, "c": replace(row, masked=True)})
    assert seen(spec) == [
        "a, c: an observation is a row of 6 numbers: 0…1: at, float32[2]; "
        "2…5: way, one-hot of 4 values",
        "c: the environment says which actions are legal; no other is chosen",
    ]


def test_what_is_kept_as_declared_is_not_told() -> None:
    image = replace(PLAIN, observation_shape=(2,), observation_dtype="uint8")
    one_box = replace(image, parts=(Part(("see",), "box", (2,), "uint8"),))
    flags = replace(PLAIN, observation_dtype="bool")
    assert seen(EnvSpec("e", 1, {"a": PLAIN, "b": image, "c": one_box, "d": flags})) == []
    counts = replace(PLAIN, observation_dtype="int8")
    (told,) = seen(EnvSpec("e", 1, {"a": counts}))
    assert told == "a: observations are declared int8; they are kept, and learned from, as float32"


@pytest.mark.parametrize("policy_map", ["shared", {"[abc]": "team"}])
def test_rules_that_count_agents_are_checked_when_their_number_is_known(
    policy_map: Any, tmp_path: Path
) -> None:
    tables: dict[str, Any] = {
        "env": {"id": "tests.envs:SequenceAgents"},
        "policies": {"map": policy_map},
        "actors": {"count": 1, "envs_per_actor": 8, "chunk_steps": 16},
        "replay": {"capacity": 200, "learning_starts": 200},
    }
    config = resolve(config_from(tables), cores=2)
    with pytest.raises(ConfigError, match=r"with 3 agents(?s:.*)= 24 × 16 = 384"):
        probe(config, tmp_path)
    alone = config.model_copy(
        update={"policies": config.policies.model_copy(update={"map": "each"})}
    )
    assert len(probe(alone, tmp_path)["spec"]["policies"]) == 3


ENVS = """
import gymnasium
from gymnasium import spaces

class Reads(gymnasium.Env):
    observation_space, action_space = spaces.Text(5), spaces.Discrete(2)

class Breaks(gymnasium.Env):
    observation_space, action_space = spaces.Box(0, 1, (2,)), spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        raise OSError("no such level")

def fails():
    raise OSError("no such level")

def refuses():
    from tuitrain.envs.spaces import EnvError
    raise EnvError("no such level")
"""


@pytest.mark.parametrize(
    ("env", "error", "all_said"),
    [
        ("envs.py:Reads", EnvError, True),
        ("envs.py:Nowhere", EnvError, True),
        ("nowhere:make", EnvError, True),
        ("CartPoll-v1", EnvError, True),
        ("envs.py:fails", EnvError, False),
        ("envs.py:refuses", EnvError, False),
        ("envs.py:Breaks", OSError, False),
        ("typo.py:make", EnvError, False),
    ],
)
def test_a_traceback_without_the_users_code_is_spared_them(
    env: str,
    error: type[Exception],
    all_said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "envs.py").write_text(ENVS)
    (tmp_path / "typo.py").write_text("def make(:\n")
    monkeypatch.chdir(tmp_path)
    args: Any = SimpleNamespace(config=config_from({"env": {"id": env}}), run_dir=str(tmp_path))
    link: Any = None
    with pytest.raises(Refused if all_said else error) as told:
        run(args, link)
    if all_said:
        assert isinstance(told.value.__cause__, error)


def test_a_fault_of_our_own_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(module, "inspect", broken)
    args: Any = SimpleNamespace(config=config_from({}), run_dir=str(tmp_path))
    link: Any = None
    with pytest.raises(KeyError):
        run(args, link)
    assert not says_all(KeyError("x").with_traceback(_here()))


def _here() -> Any:
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__


def told_of_absences(updates: dict[str, int], **tables: Any) -> list[str]:
    config = resolve(config_from({"run": {"total_steps": 10_000}} | tables), cores=2)
    spec = EnvSpec("e", 1, {"a": PLAIN, "b": replace(PLAIN, absences=True)})
    base = {"updates": updates, "steps": 5_000}
    return list(planned_for_nobody_absent(config, spec, base))


def test_schedules_that_absent_agents_may_not_end_are_told_of() -> None:
    linear = {"learner": {"lr_schedule": "linear"}}
    (text,) = told_of_absences({}, **linear)
    assert text == (
        "b: planned for 900 updates, as many as are made if its agents are never absent: "
        "learner.lr_schedule (its learner.lr_schedule_updates can be set lower)"
    )
    (text,) = told_of_absences({"a": 400, "b": 20}, **linear, replay={"prioritized": True})
    assert "never absent (so far 20 in 5,000 steps): replay.priority_beta and learner.lr" in text


def test_schedules_that_end_are_not_told_of() -> None:
    assert told_of_absences({}) == []
    chosen = {"lr_schedule": "linear", "lr_schedule_updates": 100}
    assert told_of_absences({}, learner=chosen) == []


NETWORKS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, n_actions):
        super().__init__()
        self.body = nn.Linear(4, n_actions)

class Centred(Net):
    def forward(self, x):
        q = self.body(x[:, -1])
        return q - q.mean(0)

class Newest(Net):
    def forward(self, x):
        return self.body(x[:, -1])

class Noisy(Net):
    def forward(self, x):
        return nn.functional.dropout(self.body(x.sum(1)))
"""


def _with_network(name: str, tmp_path: Path) -> Any:
    (tmp_path / "nets.py").write_text(NETWORKS)
    tables: dict[str, Any] = {
        "env": {"id": "tests.envs:SequenceAgents", "n_frames": 2},
        "learner": {"network": f"{tmp_path}/nets.py:{name}"},
    }
    return resolve(config_from(tables), cores=2)


def test_a_network_that_cannot_learn_rightly_is_refused(tmp_path: Path) -> None:
    config = _with_network("Centred", tmp_path)
    args: Any = SimpleNamespace(config=config, run_dir=str(tmp_path / "run"))
    link: Any = None
    with pytest.raises(Refused) as told:  # without a traceback
        run(args, link)
    assert isinstance(told.value.__cause__, NetworkError)
    assert "nets.py:Centred: the network of policy a mixes the rows" in str(told.value.__cause__)


@pytest.mark.parametrize(("name", "kind"), [("Newest", "frames"), ("Noisy", "random")])
def test_what_may_be_meant_is_reported_to_snapshot_and_check(
    name: str, kind: str, tmp_path: Path
) -> None:
    config = _with_network(name, tmp_path)
    report = json.loads(json.dumps(probe(config, None)))
    (tmp_path / "probe.json").write_text(json.dumps(report))
    plan = TrainingPlan()
    blueprint = plan.build(
        run_id="",
        run_dir=tmp_path,
        lock_path=tmp_path,
        config=config,
        report={"report": "probe.json"},
    )
    view = RunView("", "", config, config, supervisor_pid=0, policies=plan.policies(blueprint))
    out = build_snapshot(view, [], seq=0, now=0.0, time_s=0.0, elapsed_s=0.0)
    for policy in out.policies:
        assert policy.network is not None
        assert [fault.kind for fault in policy.network.faults] == [kind]
    (row,) = (check for check in out.checks if check.id == "network")
    assert row.state == "warn"
    assert policy.network.faults[0].advice in row.advice
    assert Snapshot.model_validate_json(out.model_dump_json()) == out
