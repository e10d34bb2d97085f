"""Changes of a living run: which are allowed, and what lies over what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuitrain.config.changes import (
    Change,
    changes_between,
    in_force,
    laid_over,
    read_changes,
    store_changes,
)
from tuitrain.config.live import LIVE, differing, parsed, value_of, with_values
from tuitrain.config.load import config_from, load_config
from tuitrain.config.problems import ConfigError
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.config.schema import Config

CONFIG = resolve(Config(), cores=2)


def problems(*assignments: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parsed(CONFIG, assignments)
    return [str(problem) for problem in refused.value.problems]


def test_every_live_key_is_a_key_and_can_be_set() -> None:
    for key in LIVE:
        value = value_of(CONFIG, key)
        assert with_values(CONFIG, {key: value}) == CONFIG
    values = {"learner.lr": 1e-7, "run.log_level": "debug", "eval.every_steps": 5}
    changed = parsed(CONFIG, [f"{k}={json.dumps(v)}" for k, v in values.items()])
    assert differing(CONFIG, changed) == values
    assert parsed(CONFIG, ["run.log_level=info"]).run.log_level == "info", "text may go unquoted"


@pytest.mark.parametrize(
    "wrong",
    ["learner.lr=2", "learner.lr=fast", "eval.every_steps=0", "learner.rl=1e-3", "learner.lr",
     "exploration.epsilon_end=1.5", "run.log_level=loud", "learner.replay_ratio=true"],
)  # fmt: skip
def test_what_is_wrong_is_told_in_the_words_of_the_config(wrong: str) -> None:
    with pytest.raises(ConfigError) as launched:
        load_config(None, [wrong])
    assert problems(wrong) == [str(problem) for problem in launched.value.problems]


def test_a_last_word_that_one_key_alone_has_is_enough() -> None:
    short, full = ["lr=1e-5", "epsilon_end=0"], ["learner.lr=1e-5", "exploration.epsilon_end=0"]
    assert parsed(CONFIG, short) == parsed(CONFIG, full) != CONFIG
    assert problems("lr=2") == problems("learner.lr=2")
    assert problems("end=1") == ["end = 1: no such key. Did you mean learner.lr_end or "
                                 "hooks.on_end or exploration.epsilon_end?"]  # fmt: skip


def test_rules_between_keys_hold_too() -> None:
    (told,) = problems("exploration.epsilon_end=0.9", "exploration.epsilon_start=0.5")
    assert told.startswith("exploration.epsilon_start = 0.5: cannot be changed")
    base = with_values(CONFIG, {"learner.lr_end": 1e-4})
    linear = base.model_copy(
        update={"learner": base.learner.model_copy(update={"lr_schedule": "linear"})}
    )
    with pytest.raises(ConfigError, match=r"must be at most learner.lr = 1e-05"):
        parsed(linear, ["learner.lr=1e-5"])


def test_of_several_keys_all_or_none_hold() -> None:
    told = problems("learner.lr=1e-4", "learner.gamma=0.5", "eval.every_steps=0")
    assert len(told) == 2
    assert any("learner.gamma = 0.5: cannot be changed while the run goes on." in t for t in told)
    for key in LIVE:
        assert key in told[-1]


@pytest.mark.parametrize(
    "whole", ['run={log_level="debug"}', "learner={lr=1e-4}", "env.kwargs.x=3", "learner = {lr=7}"]
)
def test_a_whole_table_is_refused(whole: str) -> None:
    """▣ It would take back every other key of the table, of a run that goes on."""
    given = {"run": {"name": "mine"}, "learner": {"gamma": 0.9}, "env": {"kwargs": {"y": 1}}}
    with pytest.raises(ConfigError) as refused:
        parsed(resolve(config_from(given), cores=2), ["eval.every_steps=5", whole])
    (told,) = refused.value.problems
    assert told.key == whole.partition("=")[0].strip()
    assert "cannot be changed while the run goes on. What can: learner.lr," in str(told)


def test_nothing_to_set_is_said() -> None:
    (told,) = problems()
    assert "needs key=value" in told


# ---- over config.toml ----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_changes_lie_over_what_was_given(folder: RunFolder) -> None:
    assert laid_over(CONFIG, folder) is CONFIG
    now = with_values(CONFIG, {"learner.lr": 1e-4, "run.log_level": "info"})
    changes = changes_between(CONFIG, now)
    assert changes == {
        "learner.lr": Change(CONFIG.learner.lr, 1e-4),
        "run.log_level": Change("warning", "info"),
    }
    store_changes(folder, changes)
    assert read_changes(folder) == changes
    assert laid_over(CONFIG, folder) == now


def test_what_is_given_anew_is_not_overruled(folder: RunFolder) -> None:
    """▣ As by `tuitrain resume --set`, which is later than the change."""
    now = with_values(CONFIG, {"learner.lr": 1e-4, "eval.every_steps": 7})
    store_changes(folder, changes_between(CONFIG, now))
    anew = with_values(CONFIG, {"learner.lr": 5e-3})
    assert laid_over(anew, folder) == with_values(anew, {"eval.every_steps": 7})
    assert set(in_force(anew, read_changes(folder))) == {"eval.every_steps"}


@pytest.mark.parametrize("key", ["learner.lr", "learner"])
@pytest.mark.parametrize("up", [True, False])
def test_the_value_of_config_toml_can_be_given_anew(folder: RunFolder, up: bool, key: str) -> None:
    """▣ As by `resume --set` with just that value; a resume that fails leaves the change."""
    now = with_values(CONFIG, {"learner.lr": 1e-4, "eval.every_steps": 7})
    folder.store_config(CONFIG)
    store_changes(folder, changes_between(CONFIG, now))
    folder.try_config(CONFIG, [key])
    assert laid_over(CONFIG, folder) == with_values(CONFIG, {"eval.every_steps": 7})
    if up:
        folder.keep_config()
    assert folder.restore_config() is not up
    assert ("learner.lr" in read_changes(folder)) is not up
    assert {path.name for path in folder.path.iterdir()} == {"config.toml", "changes.json"}


@pytest.mark.parametrize(
    "data",
    [{"changes": {"learner.lr": 3}}, {"changes": [1]}, {"changes": {"learner.lr": {}}},
     {"changes": {"learner.lr": {"given": CONFIG.learner.lr, "value": None}}}],
)  # fmt: skip
def test_a_damaged_file_is_named_with_what_to_do(folder: RunFolder, data: Any) -> None:
    folder.changes_json.write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match=r"changes.json is damaged.*; without it"):
        laid_over(CONFIG, folder)


def test_a_value_that_nobody_could_have_set_is_refused(folder: RunFolder) -> None:
    store_changes(folder, {"learner.lr": Change(CONFIG.learner.lr, 7)})
    with pytest.raises(ConfigError, match=r"changes.json: 1 problem\n  learner.lr = 7: must be"):
        laid_over(CONFIG, folder)
    store_changes(folder, {"learner.gamma": Change(CONFIG.learner.gamma, 0.5)})
    assert laid_over(CONFIG, folder) == CONFIG, "of an other version; it cannot be changed live"


def test_a_value_for_one_policy_is_refused_with_what_can_be_said_instead() -> None:
    no = "there are no values for one policy: the config has each key once, for all of them."
    assert problems("policy.scout.learner.lr=1e-4", "policies.scout.seed=1", "learner.lr=2") == [
        "learner.lr = 2: must be a number above 0 and at most 1.",
        f"policy.scout.learner.lr = 1e-4: {no} For all: learner.lr=1e-4.",
        f"policies.scout.seed = 1: {no} What can: {', '.join(LIVE)}.",
    ]
    (told,) = problems("policies.map=shared")
    assert "cannot be changed while the run goes on" in told
