"""Configs are read strictly, and everything that is wrong is reported at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuitrain.config.describe import known_keys
from tuitrain.config.emit import emit_document, emit_value
from tuitrain.config.load import (
    ConfigError,
    Problem,
    config_from,
    load_config,
    parse_config,
    schema_json,
    to_toml,
)
from tuitrain.config.presets import PRESETS, departures
from tuitrain.config.schema import Config

BAD = """\
lr = 3
[run]
seed = "3"
nme = 1
[actors]
count = true
envs_per_actor = 0
[leaner]
lr = 1
[learner]
batchsize = 3
tau = 0.1
target_update_every_updates = 4
epsilon_start = 3
network = "natur"
[replay]
capacity = 10
"""


def problems_of(
    tables: dict[str, Any] | None = None, overrides: tuple[str, ...] = ()
) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as error:
        config_from(tables or {}, overrides)
    return {problem.key: problem for problem in error.value.problems}


def test_no_file_is_all_defaults() -> None:
    assert load_config(None) == Config()


def test_a_file_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[learner]\nlr = 0.5\ngamma = 0.9\n[env]\nkwargs = { size = 3 }\n")
    config = load_config(
        path,
        [
            "learner.lr=1e-3",
            "run.name=fast",
            'env.id="a.py:f"',
            "env.kwargs.size=4",
            "env.kwargs.deep.list=[1, 2]",
            "learner.double = false",
            "actors.count=auto",
            "learner.network=my/net.py:make",
        ],
    )
    assert config.learner.lr == 1e-3
    assert config.learner.gamma == 0.9
    assert config.run.name == "fast"
    assert config.env.id == "a.py:f"
    assert config.env.kwargs == {"size": 4, "deep": {"list": [1, 2]}}
    assert config.learner.double is False
    assert config.actors.count == "auto"
    assert config.learner.network == "my/net.py:make"


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    with pytest.raises(ConfigError) as error:
        load_config(path, ["foo", "eval.episodes=[1", "eval.epsilon=2", "learner.gamma=nan"])
    found = {problem.key: problem for problem in error.value.problems}
    assert set(found) == {
        "lr",
        "run.seed",
        "run.nme",
        "actors.count",
        "actors.envs_per_actor",
        "leaner",
        "learner.batchsize",
        "learner.tau",
        "learner.epsilon_start",
        "learner.network",
        "learner.gamma",
        "replay.learning_starts",
        "eval.epsilon",
        "eval.episodes",
        "--set foo",
    }
    text = str(error.value)
    assert text.startswith(f"{path}: 15 problems\n")
    assert all(str(problem) in text for problem in found.values())
    # Nothing but the file that was there.
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("key", "value", "shown", "message"),
    [
        ("run.seed", "3", '"3"', "must be a whole number from 0 to 9223372036854775807."),
        ("run.seed", -1, "-1", "must be a whole number from 0 to 9223372036854775807."),
        ("run.seed", True, "true", "must be a whole number from 0 to 9223372036854775807."),
        ("run.total_steps", 1.5, "1.5", "whole number from 1 to 1000000000000 (environment steps)"),
        ("run.fingerprint", 1, "1", "must be true or false."),
        ("run.schedule", "sync", '"sync"', 'must be "sequential", "lockstep" or "async".'),
        ("run.name", "a/b", '"a/b"', "letters, digits"),
        ("learner.lr", "fast", '"fast"', "must be a number above 0 and at most 1."),
        ("learner.lr", 0, "0", "must be a number above 0 and at most 1."),
        ("learner.replay_ratio", 0.0, "0.0", "from 0.0001 to 64 (updates per transition)"),
        ("run.checkpoint_every_s", float("inf"), "inf", "must be a number above 0 (seconds)."),
        ("learner.gamma", float("nan"), "nan", "must be a number from 0 to 1"),
        ("actors.count", "many", '"many"', 'a whole number from 1 to 1024 or "auto" (actors)'),
        ("actors.count", 0, "0", 'a whole number from 1 to 1024 or "auto" (actors)'),
        ("learner.device", "gpu", '"gpu"', 'must be "auto", "cpu", "cuda" or "cuda:N".'),
        ("actors.device", "auto", '"auto"', 'must be "cpu", "cuda" or "cuda:N".'),
        ("env.kwargs", 3, "3", "must be a table."),
        ("learner.tau", 0, "0", "must be a number above 0 and at most 1 (per update)."),
    ],
)
def test_a_wrong_value_says_what_is_allowed(
    key: str, value: object, shown: str, message: str
) -> None:
    table, _, name = key.partition(".")
    problem = problems_of({table: {name: value}})[key]
    assert problem.value == shown
    assert message in problem.message
    assert str(problem) == f"{key} = {shown}: {problem.message}"


@pytest.mark.parametrize(
    ("tables", "key", "suggestion"),
    [
        ({"learner": {"batchsize": 1}}, "learner.batchsize", "Did you mean learner.batch_size?"),
        ({"learner": {"Lr": 1}}, "learner.Lr", "Did you mean learner.lr?"),
        ({"lr": 1}, "lr", "Did you mean learner.lr?"),
        (
            {"learner": {"epsilon_end": 1}},
            "learner.epsilon_end",
            "Did you mean exploration.epsilon_end?",
        ),
        ({"reply": {"capacity": 1}}, "reply", "Did you mean [replay]?"),
        ({"seed": 1}, "seed", "Did you mean run.seed?"),
        ({"device": "cpu"}, "device", "Did you mean actors.device or learner.device?"),
        (
            {"replay": {"zzz": 1}},
            "replay.zzz",
            "Known here: capacity, learning_starts, max_lead, prioritized, priority_alpha, "
            "priority_beta, priority_eps.",
        ),
        (
            {"stop": {"typo": 1}},
            "stop.typo",
            "Known here: eval_return, no_improvement_evals, policy, wall_time_s.",
        ),
        (
            {"learner": {"target_update": 1}},
            "learner.target_update",
            "Did you mean learner.target_update_every_updates?",
        ),
        ({"lerner": {"lr": 1}}, "lerner", "Did you mean [learner]?"),
        (
            {"steps": 5},
            "steps",
            "Did you mean run.total_steps or actors.chunk_steps or eval.every_steps?",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest(
    tables: dict[str, Any], key: str, suggestion: str
) -> None:
    problem = problems_of(tables)[key]
    assert "no such" in problem.message
    assert problem.suggestion == suggestion


def test_an_unknown_table_is_one_problem() -> None:
    assert set(problems_of({"reply": {"capacity": 1, "max_lead": 2}})) == {"reply"}


def test_a_table_that_is_a_value_and_a_value_in_a_table_of_text() -> None:
    assert problems_of({"learner": 3})["learner"].message == "must be a table, written [learner]."
    problem = problems_of({"policies": {"map": {"a": 3}}})["policies.map"]
    assert problem.message == 'must be "each" or "shared" or a table of text.'


def test_a_key_that_there_once_was_says_what_to_write() -> None:
    problem = problems_of({"env": {"agent_policies": {"a": "team"}}})["env.agent_policies"]
    assert "Write the same table as [policies.map]" in problem.suggestion
    assert config_from({"env": {"agent_policies": {}}}) == config_from({})


def test_whole_numbers_may_be_written_as_floats_and_floats_as_whole_numbers() -> None:
    config = parse_config("[run]\ntotal_steps = 1e6\n[learner]\nlr = 1\n[actors]\ncount = 2.0\n")
    assert (config.run.total_steps, type(config.run.total_steps)) == (1_000_000, int)
    assert (config.learner.lr, type(config.learner.lr)) == (1.0, float)
    assert config.actors.count == 2
    # out of range stays out of range, with what was written
    assert "from 1 to" in problems_of({"run": {"total_steps": 1e30}})["run.total_steps"].message


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("[run]\nseed = = 1\n", "line 2, column 8", "`seed = = 1`"),
        ("[run]\nname = fast\n", "line 2", "Text needs quotes"),
        ("[run]\nseed = 1\nseed = 2\n", "line 3", "Cannot overwrite a value"),
        ("[run", "config", "is not TOML"),
        ('[run]\nname = "', "", "is not TOML"),
        (f"[run]\nseed = {'9' * 5001}", "", "is not TOML"),
        (f"[run]\nseed = {'[' * 5000}", "", "is not TOML"),
    ],
)
def test_a_syntax_error_says_where(text: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text)
    (problem,) = error.value.problems
    assert key in problem.key
    assert message in problem.message


def test_a_syntax_error_does_not_hide_wrong_overrides(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[run\n")
    with pytest.raises(ConfigError) as error:
        # learning_starts is fine by itself; capacity in the unreadable file may well be larger
        load_config(path, ["learner.lr=two", "replay.learning_starts=60000"])
    assert [p.key.split(",")[0] for p in error.value.problems] == [str(path), "learner.lr"]


@pytest.mark.parametrize("text", ["9" * 5001, "[" * 5000])
def test_an_override_without_end_is_a_problem(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.touch()
    with pytest.raises(ConfigError, match=r"run\.seed"):
        load_config(path, [f"run.seed={text}"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "cartpole.toml").touch()
    with pytest.raises(ConfigError, match=r"no such file\. Near it: .*cartpole\.toml"):
        load_config(tmp_path / "cartpol.toml")
    with pytest.raises(ConfigError, match=r"no such file\."):
        load_config(tmp_path / "nowhere" / "x.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"a = \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text \\(byte 4\\)"):
        load_config(tmp_path / "binary.toml")


@pytest.mark.parametrize("override", ["", "=3", "learner.lr", "a b=3", ".lr=3", "learner..lr=3"])
def test_an_override_that_is_none(override: str) -> None:
    assert "key=value" in problems_of(overrides=(override,))[f"--set {override}"].message


def test_the_last_override_wins_and_beats_a_wrong_value_in_the_file() -> None:
    config = config_from({"learner": {"lr": "x"}}, ["learner.lr=0.1", "learner.lr=0.2"])
    assert config.learner.lr == 0.2


def test_the_given_tables_are_left_alone() -> None:
    tables: dict[str, Any] = {"run": {"total_steps": 1e6}, "env": {"kwargs": {"a": {}}}}
    config_from(tables, ["env.kwargs.a.b=1", "run.seed=4"])
    assert tables == {"run": {"total_steps": 1e6}, "env": {"kwargs": {"a": {}}}}


def test_another_schema_version_is_refused() -> None:
    assert "another version" in problems_of({"schema_version": 2})["schema_version"].message


def test_every_default_is_allowed_when_written() -> None:
    assert parse_config(to_toml(Config())) == Config()


def test_schema_json_knows_every_key() -> None:
    schema = json.loads(schema_json())
    assert schema["additionalProperties"] is False
    for key in known_keys():
        table, _, name = key.partition(".")
        node = schema["properties"][table]
        if name:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]["properties"][name]
        assert node["description"], key


# ---- what is stored loads back equal ---------------------------------------------------------

SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
    | st.dates()
    | st.datetimes()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@example(kwargs={"\x7f": "\x7f\n\U0001f600"})
@given(kwargs=st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES, max_size=4))
def test_any_kwargs_survive_storing(kwargs: dict[str, Any]) -> None:
    config = config_from({"env": {"kwargs": kwargs}, "learner": {"network_kwargs": kwargs}})
    assert parse_config(to_toml(config)) == config


@given(
    lr=st.floats(min_value=1e-300, max_value=1.0),
    seed=st.integers(0, 2**63 - 1),
    tau=st.none() | st.floats(min_value=1e-9, max_value=1.0),
)
def test_numbers_survive_storing_to_the_last_bit(lr: float, seed: int, tau: float | None) -> None:
    config = config_from({"learner": {"lr": lr, "tau": tau}, "run": {"seed": seed}})
    assert parse_config(to_toml(config)) == config


def test_what_toml_cannot_hold_is_an_error() -> None:
    config = config_from({"env": {"kwargs": {"a": None}}})
    with pytest.raises(ConfigError, match="TOML cannot hold None"):
        to_toml(config)
    with pytest.raises(TypeError, match="object"):
        emit_value(object())


def test_infinity_in_kwargs() -> None:
    config = config_from({"env": {"kwargs": {"a": float("-inf")}}})
    assert parse_config(to_toml(config)) == config


def test_emitted_document_is_readable() -> None:
    text = emit_document({"table": {"a b": 1, "none": None, "list": (1, 2.5)}, "first": True})
    assert text == 'first = true\n\n[table]\n"a b" = 1\nlist = [1, 2.5]\n'


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_set_of_defaults(name: str) -> None:
    config = config_from({"algorithm": {"preset": name}})
    for table, values in PRESETS[name].items():
        for key, value in values.items():
            assert getattr(getattr(config, table), key) == value
    assert parse_config(to_toml(config)) == config


def test_what_is_given_wins_over_a_preset() -> None:
    tables = {"algorithm": {"preset": "rainbow", "noisy": False}, "learner": {"n_step": 5}}
    config = config_from(tables, ["replay.priority_alpha=0.7", "exploration.epsilon_start=1.0"])
    assert config.learner.n_step == 5
    assert config.learner.dueling
    assert not config.algorithm.noisy
    assert config.replay.prioritized
    assert config.replay.priority_alpha == 0.7
    assert (config.exploration.epsilon_start, config.exploration.epsilon_end) == (1.0, 0.0)


def test_an_unknown_preset_is_one_problem() -> None:
    assert set(problems_of({"algorithm": {"preset": "rainboww"}})) == {"algorithm.preset"}


def test_what_differs_from_a_preset_is_told() -> None:
    assert departures(config_from({"algorithm": {"preset": "rainbow"}})) == []
    stored = config_from(config_from({}).model_dump(), ["algorithm.preset=c51"])
    assert departures(stored) == ["learner.double = True (False)", "algorithm.name = 'dqn' ('c51')"]
    assert departures(config_from({})) == []
