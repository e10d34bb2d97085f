"""What is asked for on the command line becomes a plan, or a message that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuitrain.config.problems import ConfigError
from tuitrain.config.runs import create_run
from tuitrain.experiments.plan import (
    Cell,
    Plan,
    PlanError,
    grown,
    make_plan,
    parse_axis,
    parse_scale,
    parse_seeds,
    plan_from_json,
    unshared,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "my.toml"
    path.write_text('[run]\nname = "my"\nseed = 3\n[actors]\ncount = 2\n')
    return path


def made(config: Path, **how: object) -> Plan:
    return make_plan(config, **how)


# ---- words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("learner.lr=1e-3,5e-4", "learner.lr", ["1e-3", "5e-4"]),
        (" learner.n_step = 1 , 3", "learner.n_step", ["1", "3"]),
        ("a.b=[64, 64],[120]", "a.b", ["[64, 64]", "[120]"]),
        ("a.b={x=1,y=[1,2]},{}", "a.b", ["{x=1,y=[1,2]}", "{}"]),
        ("""a.b="x,y",'z,'""", "a.b", ['"x,y"', "'z,'"]),
        ("a.b=one", "a.b", ["one"]),
        ("a.b=x=1,y=2", "a.b", ["x=1", "y=2"]),
    ],
)
def test_an_axis_is_split_where_its_values_end(text: str, key: str, values: list[str]) -> None:
    assert parse_axis(text) == (key, values)


@pytest.mark.parametrize("text", ["learner.lr", "=1,2", "learner.lr=", "learner.lr=1,,2"])
def test_an_axis_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="key=value,value"):
        parse_axis(text)


def test_scales() -> None:
    assert parse_scale("CartPole-v1=20,500") == ("CartPole-v1", (20, 500))
    assert parse_scale("size=8=-1,1e3") == ("size=8", (-1, 1000))
    for wrong in ("x", "x=1", "x=1,2,3", "x=a,b", "x=2,2", "x=nan,1", "x=0,inf", "=,"):
        with pytest.raises(PlanError, match="TASK=LOW,HIGH"):
            parse_scale(wrong)


def test_seeds() -> None:
    assert parse_seeds("3", 7) == (7, 8, 9)
    assert parse_seeds("3,1,20", 7) == (3, 1, 20)
    assert parse_seeds("3,", 7) == (3,)
    assert len(parse_seeds(None, 7)) == 5
    for wrong in ("", ",", "0", "x", "1,1", "-2", "1.5"):
        with pytest.raises(PlanError, match="--seeds"):
            parse_seeds(wrong, 7)


# ---- plans -----------------------------------------------------------------------------------


def test_arms_are_all_combinations_and_tasks_are_environments(config: Path) -> None:
    plan = made(
        config,
        schedules=["sequential", "async"],
        grid=["learner.lr=1e-3,1e-4", "env.id=CartPole-v1,Acrobot-v1"],
        seeds="2",
        margin=5.0,
    )
    assert plan.arms == (
        "sequential lr=1e-3",
        "sequential lr=1e-4",
        "async lr=1e-3",
        "async lr=1e-4",
    )
    assert plan.tasks == ("CartPole-v1", "Acrobot-v1")
    assert plan.seeds == (3, 4)
    assert len(plan.cells()) == 4 * 2 * 2
    chosen = plan.configs["async lr=1e-4", "Acrobot-v1"]
    assert (chosen.run.schedule, chosen.learner.lr, chosen.env.id) == ("async", 1e-4, "Acrobot-v1")
    # every arm has a run before any has a second
    assert [cell.seed for cell in plan.cells()] == [3] * 8 + [4] * 8


def test_without_anything_to_vary_there_is_one_arm(config: Path) -> None:
    plan = made(config, overrides=["run.schedule=lockstep"])
    assert (plan.arms, plan.tasks) == (("lockstep",), ("",))


def test_keys_that_end_alike_are_named_in_full(config: Path) -> None:
    plan = made(config, grid=["actors.device=cpu", "learner.device=cpu,cuda"])
    assert plan.arms[1] == "actors.device=cpu learner.device=cuda"


def test_each_run_gets_its_seed_and_a_name_of_its_own(config: Path, tmp_path: Path) -> None:
    plan = made(
        config, schedules=["sequential", "async"], grid=["learner.network_kwargs={},{hidden=[8]}"]
    )
    names = set()
    for cell in plan.cells():
        run = plan.config(cell, tmp_path / "runs")
        assert run.run.seed == cell.seed
        names.add(create_run(run).name)
    assert len(names) == len(plan.cells())
    long = Cell("x" * 200 + "$", "/a/b.py:C", 123)
    config_ = plan.configs[plan.arms[0], ""]
    odd = Plan((long.arm,), (long.task,), (123,), {(long.arm, long.task): config_})
    folder = create_run(odd.config(long, tmp_path / "runs"))
    assert folder.name.endswith("C-s123-0001")
    assert folder.load_config().run.seed == 123  # a supervisor will take that name


def test_a_stored_plan_is_the_same_plan(config: Path) -> None:
    grid = ["algorithm.preset=c51,rainbow"]
    plan = made(config, schedules=["sequential", "async"], grid=grid, seeds="1,9", margin=2.5)
    assert plan_from_json(json.loads(json.dumps(plan.to_json()))) == plan
    with pytest.raises(PlanError, match="another version"):
        plan_from_json({"schema_version": 99})
    with pytest.raises(PlanError, match="damaged"):
        plan_from_json({"schema_version": 1, "arms": []})


def test_the_problems_of_all_arms_are_told_at_once_and_once(config: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        made(config, schedules=["fast", "async"], grid=["learner.lr=7,8"], overrides=["run.x=1"])
    text = str(caught.value)
    for word in ("run.schedule", "learner.lr = 7", "learner.lr = 8", "run.x"):
        assert text.count(word) == 1


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"grid": ["run.seed=1,2"]}, "--seeds"),
        ({"grid": ["run.out_dir=a,b"]}, "--out"),
        ({"grid": ["learner.lr=1e-3,1e-3"]}, "same value"),
        ({"grid": ["learner.lr=1e-3,0.001"]}, "same config"),
        ({"grid": ["env.id=CartPole-v1,'CartPole-v1'"]}, "same config"),
        ({"grid": ["learner.lr=1e-3", "learner.lr=1e-4"]}, "twice"),
        ({"grid": ["run.schedule=async"], "schedules": ["async"]}, "--schedules is short"),
        ({"overrides": ["eval.enabled=false"]}, "eval.enabled"),
        ({"margin": 0.0}, "--margin"),
        ({"alpha": 0.5}, "--alpha"),
    ],
)
def test_what_makes_no_comparison_is_refused(config: Path, how: dict, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        made(config, **how)


# ---- growing ---------------------------------------------------------------------------------


def test_a_comparison_may_grow_seeds_and_arms(config: Path) -> None:
    old = made(config, schedules=["sequential", "async"], seeds="2")
    assert grown(old, old) is old
    more = made(config, schedules=["sequential", "async", "lockstep"], seeds="4")
    assert grown(old, more) is more


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"seeds": "1"}, "seed 4 is missing"),
        ({"schedules": ["sequential"]}, "arm 'async' is missing"),
        ({"schedules": ["async", "sequential"]}, "compared with was 'sequential'"),
        ({"overrides": ["learner.gamma=0.9"]}, "learner.gamma was 0.99 and is now 0.9"),
        ({"margin": 9.0}, "set before the first run"),
        ({"alpha": 0.1}, "set before the first run"),
    ],
)
def test_nothing_that_has_been_run_may_change(config: Path, how: dict, words: str) -> None:
    asked = {"schedules": ["sequential", "async"], "seeds": "2"}
    with pytest.raises(PlanError, match=words):
        grown(made(config, **asked), made(config, **{**asked, **how}))


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("learner.lr=1e-3,1e-4", ""),
        ("policies.map=each,shared", "share no policy"),
        ('policies.map=each,{"wolf_*"="wolves"}', "by the same name"),
    ],
)
def test_arms_that_deal_agents_otherwise_are_pointed_out(
    config: Path, grid: str, words: str
) -> None:
    told = unshared(make_plan(config, grid=[grid]))
    assert bool(told) == bool(words)
    assert words in told
