"""Numbers in `info["metrics"]`: taken in from every kind of lanes, reduced, and never an error."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import SequenceAgents
from tests.unit.supervisor.conftest import runtime_dir
from tests.unit.workers.test_workers_trained import SilentLink
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.make import make_lanes
from tuitrain.envs.metrics import MAX_NAMES, EnvMetrics
from tuitrain.schedules.rounds import Reporter
from tuitrain.workers.messages import MAX_MESSAGE_BYTES

__all__ = ["runtime_dir"]


def taken(metrics: EnvMetrics, how: str) -> dict[str, dict[str, float]]:
    return {
        policy: {name: summary.reduced(how) for name, summary in named.items()}
        for policy, named in metrics.take().items()
    }


@pytest.mark.parametrize(
    ("how", "value"), [("mean", 2.0), ("sum", 6.0), ("min", -1.0), ("max", 5.0), ("last", 2.0)]
)
def test_reductions(how: str, value: float) -> None:
    metrics = EnvMetrics()
    for number in (5, -1.0, np.int64(2)):
        metrics.add("p", {"metrics": {"x": number}, "other": 3})
    metrics.add("q", {"metrics": {"x": True}})
    assert taken(metrics, how) == {"p": {"x": value}, "q": {"x": 1.0}}
    assert taken(metrics, how) == {}, "it begins anew"
    assert metrics.refused == ""


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([1.0], "it is a list, not a dict of numbers by name"),
        ({"x": "much"}, "'x' is 'much', not a number"),
        ({"x": None}, "'x' is None, not a number"),
        ({"x": 10**400}, "not a number"),
        ({"x": math.nan}, "'x' is nan"),
        ({"x": np.zeros(2)}, "not a number"),
        ({3: 1.0}, "3 is no name"),
        ({"x" * 65: 1.0}, "is no name of 1 to 64 bytes"),
        ({"\ud800": 1.0}, "is no name"),
        ({f"x{i}": 1.0 for i in range(MAX_NAMES)}, f"more than {MAX_NAMES} names, 'x63'"),
    ],
)
def test_what_is_no_number_is_left_out_and_told(told: Any, why: str) -> None:
    metrics = EnvMetrics()
    metrics.add("p", {"metrics": {"good": 1.0}})
    metrics.add("p", {"metrics": told})
    metrics.add("p", {"metrics": {"good": 3.0, "y": "another"}})
    assert why in metrics.refused
    assert "another" not in metrics.refused, "the first is told"
    assert taken(metrics, "sum")["p"]["good"] == 4.0


@pytest.mark.parametrize("info", [["metrics"], "metrics", 3, {"metric": {"x": 1.0}}, ("x",)])
def test_infos_that_say_nothing_are_passed_over(info: Any) -> None:
    metrics = EnvMetrics()
    metrics.add("p", info)
    assert (metrics.take(), metrics.refused) == ({}, "")


class Tells(gymnasium.Env):
    """Tells its step, and at the end of each episode of three steps its seed."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.steps, self.seed = 0, seed
        return np.zeros(1, np.float32), {"metrics": {"never": 1.0}}

    def step(self, action: int):
        self.steps += 1
        told = {"step": self.steps}
        if self.steps == 3 and self.seed is not None:
            told["seed"] = self.seed
        return np.zeros(1, np.float32), 0.0, self.steps == 3, False, {"metrics": told}


class TellingAgents(SequenceAgents):
    """Agent `a` tells its action, `b` nothing, `c` an empty info."""

    def step(self, actions: dict[str, int]):
        *result, _ = super().step(actions)
        return *result, {"a": {"metrics": {"action": actions["a"]}}, "c": {}}


class MuteAgents(SequenceAgents):
    """No dict of infos at all."""

    def step(self, actions: dict[str, int]):
        return *super().step(actions)[:4], ["a", "b"]


def test_lanes_of_one_agent_pass_on_what_steps_tell() -> None:
    lanes: Any = make_lanes(EnvConfig(id="tests.unit.envs.test_env_metrics:Tells"), 2)
    lanes.reset([10, 20])
    for _ in range(4):  # the fourth is the reset
        lanes.step({"default": np.zeros(2, np.int64)})
    (told,) = lanes.metrics.take().values()
    assert {name: (s.count, s.sum) for name, s in told.items()} == {
        "step": (6, 12.0),
        "seed": (2, 30),
    }
    lanes.close()


def test_lanes_of_several_agents_tell_by_policy() -> None:
    config = EnvConfig(
        id="tests.unit.envs.test_env_metrics:TellingAgents",
        kwargs={"p_terminate": 0.0},
    )
    lanes: Any = make_lanes(config, 2, {"a": "team", "b": "team"})
    lanes.reset([1, 2])
    actions = {"team": np.array([4, 0, 2, 0]), "c": np.zeros(2, np.int64)}
    lanes.step(actions)
    assert taken(lanes.metrics, "sum") == {"team": {"action": 6.0}}
    lanes.close()
    config = EnvConfig(id="tests.unit.envs.test_env_metrics:MuteAgents")
    mute: Any = make_lanes(config, 1)
    mute.reset([1])
    mute.step({name: np.zeros(1, np.int64) for name in "abc"})
    assert mute.metrics.take() == {}


class Recorder(SilentLink):
    """A link that keeps its records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self.counters: Any = type("Counters", (), {"values": {}})()

    def record(self, record: dict[str, Any]) -> None:
        self.records.append(record)


def reporter_of(metrics: EnvMetrics | None, link: Recorder, **reductions: str) -> Reporter:
    stats = type("Stats", (), {"episodes": 0})()
    told = {"stats": stats, "updates_held": 7, "take_row_figures": lambda self: {}}
    part = type("Part", (), told)()
    fields = {"index": 2, "env_metrics": metrics, "parts": {"p": part}}
    actor: Any = type("Actor", (), fields)()
    return Reporter(link, lambda: 0.0, actors=[actor], reductions=reductions)


def reported(metrics: EnvMetrics | None, link: Recorder, **reductions: str) -> list[dict[str, Any]]:
    reporter = reporter_of(metrics, link, **reductions)
    reporter.episodes(300)
    reporter.last()
    return link.records


def test_records_are_reduced_as_declared_and_by_the_mean_otherwise() -> None:
    metrics = EnvMetrics()
    for value in (1.0, 4.0):
        metrics.add("p", {"metrics": {"coverage": value, "energy": value, "bad": math.inf}})
    link = Recorder()
    (record,) = reported(metrics, link, coverage="max")
    assert record == {
        "kind": "env",
        "policy": "p",
        "steps": 300,
        "updates": 7,
        "actor": 2,
        "metrics.coverage": 4.0,
        "metrics.energy": 2.5,
    }
    assert len(link.notices) == 1
    assert "'bad' is inf; it is left out" in link.notices[0]
    assert reported(None, Recorder()) == []


def test_what_is_told_after_the_last_record_is_recorded_at_the_end() -> None:
    metrics, link = EnvMetrics(), Recorder()
    reporter = reporter_of(metrics, link)
    reporter.episodes(300)
    metrics.add("p", {"metrics": {"x": 1.0}})
    reporter.episodes(400)  # too soon
    assert link.records == []
    reporter.last()
    assert [record["metrics.x"] for record in link.records] == [1.0]


def test_the_longest_record_fits_a_message() -> None:
    metrics = EnvMetrics()
    names = {('"' * 60) + f"{i:04d}": -1.2345678901234567e-300 for i in range(2 * MAX_NAMES)}
    metrics.add("p", {"metrics": names})
    (record,) = reported(metrics, Recorder())
    assert len(json.dumps(record)) < MAX_MESSAGE_BYTES - 200


@pytest.mark.usefixtures("runtime_dir")
def test_a_run_keeps_what_its_environments_tell(tmp_path: Path) -> None:
    from tests.unit.metrics.test_metrics_tensorboard import events
    from tuitrain import train
    from tuitrain.metrics.sinks import read_jsonl

    tables = {
        "run": {"total_steps": 400, "schedule": "sequential", "tensorboard": True},
        "env": {"id": "tests.unit.envs.test_env_metrics:Tells", "metrics": {"step": "max"}},
        "actors": {"count": 1, "envs_per_actor": 2},
        "replay": {"capacity": 1000, "learning_starts": 200},
        "learner": {"batch_size": 16},
        "eval": {"enabled": False},
    }
    tables["run"]["out_dir"] = str(tmp_path)
    run = train(tables, quiet=True)
    lines = [r for r in read_jsonl(run.run_dir / "metrics.jsonl") if r["kind"] == "env"]
    assert lines
    assert all(line["metrics.step"] == 3.0 for line in lines)
    assert "metrics.never" not in lines[0]
    (path,) = (run.run_dir / "tensorboard").iterdir()
    tags = [tag for event in events(path)[1:] for tag, _ in event[5]]
    assert tags.count("env/default/step") == len(lines)
    assert {"train/default/return_mean", "learner/default/loss"} <= set(tags)
