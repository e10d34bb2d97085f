"""Rules between keys, each broken once; they run also when other keys are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tuitrain.config.load import ConfigError, config_from
from tuitrain.config.rules import _RULES

BROKEN: list[tuple[dict[str, Any], str, str]] = [
    (
        {"learner": {"tau": 0.5, "target_update_every_updates": 3}},
        "learner.tau",
        "cannot be given together with learner.target_update_every_updates = 3",
    ),
    (
        {"replay": {"capacity": 999, "learning_starts": 1000}},
        "replay.learning_starts",
        "at most replay.capacity = 999",
    ),
    (
        {"run": {"total_steps": 1000}, "replay": {"learning_starts": 1000}},
        "replay.learning_starts",
        "less than run.total_steps = 1000",
    ),
    (
        {"learner": {"batch_size": 1001}},
        "learner.batch_size",
        "at most replay.learning_starts = 1000",
    ),
    (
        {"learner": {"n_step": 8, "batch_size": 4}, "replay": {"learning_starts": 8}},
        "learner.n_step",
        "less than replay.learning_starts = 8",
    ),
    (
        {
            "actors": {"count": 2, "envs_per_actor": 8, "chunk_steps": 20},
            "learner": {"n_step": 20, "batch_size": 4},
            "replay": {"learning_starts": 320},
        },
        "replay.learning_starts",
        "more than learner.n_step × lanes = 20 × 16 = 320 (or actors.chunk_steps more than 20)",
    ),
    (
        {
            "env": {"n_frames": 4},
            "actors": {"count": 2, "envs_per_actor": 8, "chunk_steps": 4},
            "replay": {"capacity": 143, "learning_starts": 100},
            "learner": {"batch_size": 4},
        },
        "replay.capacity",
        "at least 144: (env.n_frames + learner.n_step + actors.chunk_steps) × lanes = (4 + 1 + 4)",
    ),
    (
        {"actors": {"count": 4, "envs_per_actor": 8, "chunk_steps": 1563}},
        "replay.capacity",
        "lanes × actors.chunk_steps = 32 × 1563 = 50016",
    ),
    (
        {"exploration": {"epsilon_start": 0.1, "epsilon_end": 0.2}},
        "exploration.epsilon_end",
        "at most exploration.epsilon_start = 0.1",
    ),
    (
        {"learner": {"lr": 0.1, "lr_end": 0.2, "lr_schedule": "cosine"}},
        "learner.lr_end",
        "at most learner.lr = 0.1",
    ),
    ({"learner": {"network": "natur"}}, "learner.network", '"package.module:factory"'),
    (
        {"learner": {"dueling": True, "network": "a:b"}},
        "learner.dueling",
        "applies to mlp, nature, minatar only",
    ),
    (
        {"algorithm": {"name": "c51"}, "learner": {"network": "a:b"}},
        "algorithm.name",
        'not "a:b", which gives one value per action',
    ),
    (
        {"algorithm": {"noisy": True}, "learner": {"network": "a:b"}},
        "algorithm.noisy",
        "applies to mlp, nature, minatar only",
    ),
    (
        {"algorithm": {"v_min": 2.0, "v_max": 2.0}},
        "algorithm.v_max",
        "more than algorithm.v_min = 2.0",
    ),
    (
        {"algorithm": {"name": "c51", "munchausen": True}},
        "algorithm.munchausen",
        'not algorithm.name = "c51"',
    ),
    (
        {"algorithm": {"munchausen": True}, "learner": {"n_step": 2}},
        "algorithm.munchausen",
        "learner.n_step = 2 sums several",
    ),
    (
        {"supervisor": {"heartbeat_s": 10, "progress_deadline_s": 19}},
        "supervisor.progress_deadline_s",
        "at least twice supervisor.heartbeat_s = 10",
    ),
    (
        {"supervisor": {"phase_deadline_s": {"env_step": 5.0}}},
        "supervisor.phase_deadline_s.env_step",
        "Did you mean 'env step'?",
    ),
    (
        {"supervisor": {"heartbeat_s": 10, "phase_deadline_s": {"evaluate": 19.0}}},
        "supervisor.phase_deadline_s.evaluate",
        "at least twice supervisor.heartbeat_s = 10",
    ),
    (
        {"stop": {"eval_return": 9.5}, "eval": {"enabled": False}},
        "stop.eval_return",
        "looks at evaluations, but eval.enabled = false",
    ),
    (
        {"stop": {"policy": "wolves", "wall_time_s": 60.0}},
        "stop.policy",
        "neither stop.eval_return nor stop.no_improvement_evals",
    ),
]

ALLOWED: list[dict[str, Any]] = [
    {"learner": {"tau": 0.5}},
    {"learner": {"target_update_every_updates": 3}},
    {"replay": {"capacity": 1000, "learning_starts": 1000}},
    {"run": {"total_steps": 1001}, "replay": {"learning_starts": 1000}},
    {"learner": {"batch_size": 1000}},
    {"learner": {"n_step": 7, "batch_size": 4}, "replay": {"learning_starts": 8}},
    {
        "actors": {"count": 2, "envs_per_actor": 8, "chunk_steps": 20},
        "learner": {"n_step": 20, "batch_size": 4},
        "replay": {"learning_starts": 321},
    },
    {
        "actors": {"count": 2, "envs_per_actor": 8, "chunk_steps": 21},
        "learner": {"n_step": 20, "batch_size": 4},
        "replay": {"learning_starts": 320},
    },
    {
        "env": {"n_frames": 4},
        "actors": {"count": 2, "envs_per_actor": 8, "chunk_steps": 4},
        "replay": {"capacity": 144, "learning_starts": 100},
        "learner": {"batch_size": 4},
    },
    {"actors": {"count": 4, "envs_per_actor": 8, "chunk_steps": 1562}},
    {"exploration": {"epsilon_start": 0.1, "epsilon_end": 0.1}},
    {"learner": {"lr": 0.1, "lr_end": 0.2}},
    {"learner": {"network": "natur.e:make"}},
    {"learner": {"dueling": True, "network": "nature"}},
    {"algorithm": {"name": "iqn", "noisy": True, "munchausen": True}},
    {"algorithm": {"name": "c51", "v_min": -1.0, "v_max": 1.0}, "learner": {"n_step": 3}},
    {"supervisor": {"heartbeat_s": 10, "progress_deadline_s": 20}},
    {"supervisor": {"heartbeat_s": 10, "phase_deadline_s": {"evaluate": 20.0}}},
    # two agents of one policy make two transitions per step
    {"run": {"total_steps": 600}, "policies": {"map": {"a": "team", "b": "team"}}},
    # how many agents share a policy is not known before the environment is
    {"run": {"total_steps": 600}, "policies": {"map": "shared"}},
    {"run": {"total_steps": 600}, "policies": {"map": {"a*": "team", "b": "team"}}},
]


@pytest.mark.parametrize(("tables", "key", "message"), BROKEN)
def test_a_broken_rule_names_both_keys(tables: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config_from(tables)
    (problem,) = error.value.problems
    assert problem.key == key
    assert message in problem.message


@pytest.mark.parametrize("tables", ALLOWED)
def test_the_last_allowed_values_are_allowed(tables: dict[str, Any]) -> None:
    config_from(tables)


def test_every_rule_has_been_broken_here() -> None:
    assert len({(key, message) for _, key, message in BROKEN}) == len(_RULES)


@pytest.mark.parametrize(("tables", "key", "message"), BROKEN)
def test_rules_run_although_another_key_is_wrong(
    tables: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        config_from({**tables, "eval": {**tables.get("eval", {}), "episodes": "many"}})
    assert {problem.key for problem in error.value.problems} == {key, "eval.episodes"}


def test_a_rule_whose_key_is_wrong_is_not_run() -> None:
    with pytest.raises(ConfigError) as error:
        # 60 000 is more than the default capacity; what capacity was meant is unknown
        config_from({"replay": {"capacity": "big", "learning_starts": 60_000}})
    assert [problem.key for problem in error.value.problems] == ["replay.capacity"]


def test_a_rule_whose_table_is_wrong_is_not_run() -> None:
    with pytest.raises(ConfigError) as error:
        config_from({"replay": 3, "learner": {"batch_size": 2000}})
    assert [problem.key for problem in error.value.problems] == ["replay"]


def test_a_misspelt_network_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match='Did you mean "minatar"\\?'):
        config_from({"learner": {"network": "mini-atar"}})


@pytest.mark.parametrize(
    ("tables", "key", "message"),
    [
        (  # the policy of the fewest agents has the least time
            {
                "run": {"total_steps": 600},
                "policies": {"map": {"a": "team", "b": "team", "c": "other"}},
            },
            "replay.learning_starts",
            "less than run.total_steps = 600",
        ),
        (  # a chunk of three agents is three times as many transitions
            {
                "policies": {"map": dict.fromkeys("abc", "team")},
                "actors": {"count": 1, "envs_per_actor": 8, "chunk_steps": 16},
                "replay": {"capacity": 200, "learning_starts": 200},
            },
            "replay.capacity",
            "24 × 16 = 384",
        ),
    ],
)
def test_rules_count_agents(tables: dict[str, Any], key: str, message: str) -> None:
    test_a_broken_rule_names_both_keys(tables, key, message)
