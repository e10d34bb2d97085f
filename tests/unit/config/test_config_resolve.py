"""After resolving, nothing is left to the machine but the device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuitrain.config.load import ConfigError, config_from
from tuitrain.config.resolve import available_cores, changed, planned_updates, resolve, with_device
from tuitrain.config.schema import Config


@pytest.mark.parametrize(("cores", "actors"), [(1, 1), (2, 1), (4, 3), (64, 63)])
def test_auto_actors_are_cores_less_one(cores: int, actors: int) -> None:
    assert resolve(Config(), cores).actors.count == actors


def test_cores_are_counted_where_none_are_given() -> None:
    assert resolve(Config()).actors.count == max(1, available_cores() - 1)


def test_given_values_stay() -> None:
    config = config_from(
        {"actors": {"count": 7}, "learner": {"tau": 0.1, "lr_schedule_updates": 5}}
    )
    resolved = resolve(config, 2)
    assert resolved.actors.count == 7
    assert resolved.learner.tau == 0.1
    assert resolved.learner.target_update_every_updates is None
    assert resolved.learner.lr_schedule_updates == 5


def test_defaults_that_depend_on_other_keys() -> None:
    config = config_from(
        {
            "run": {"total_steps": 10_000},
            "replay": {"learning_starts": 1000},
            "learner": {"replay_ratio": 0.3},
        }
    )
    learner = resolve(config, 4).learner
    assert learner.target_update_every_updates == 500
    assert learner.lr_schedule_updates == 2700  # (10 000 - 1 000) × 3/10, exactly


def test_updates_are_counted_per_policy() -> None:
    config = config_from({"run": {"total_steps": 10_000}})
    assert planned_updates(config) == 900
    assert planned_updates(config, agents=2) == 1900
    shared = config_from({"policies": {"map": {"a": "team"}}})
    assert resolve(shared, 4).learner.lr_schedule_updates is None


def test_a_run_of_hardly_any_updates_still_has_a_schedule() -> None:
    config = config_from({"run": {"total_steps": 1001}})
    assert planned_updates(config) == 1


def test_resolving_twice_changes_nothing(tmp_path: Path) -> None:
    once = resolve(Config(), 4, tmp_path)
    assert resolve(once, 9, tmp_path / "elsewhere") == once


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "env.py").touch()
    config = config_from(
        {
            "env": {"id": "my/env.py:make"},
            "learner": {"network": "./my/../my/env.py:Net"},
            "run": {"out_dir": "out"},
        }
    )
    monkeypatch.chdir(tmp_path)
    for resolved in (resolve(config, 4), resolve(config, 4, tmp_path)):
        assert resolved.env.id == f"{tmp_path}/my/env.py:make"
        assert resolved.learner.network == f"{tmp_path}/my/env.py:Net"
        assert resolved.run.out_dir == f"{tmp_path}/out"


def test_module_references_and_ids_stay() -> None:
    config = config_from({"env": {"id": "a.b:c"}, "learner": {"network": "a.b:d"}})
    resolved = resolve(config, 4)
    assert (resolved.env.id, resolved.learner.network) == ("a.b:c", "a.b:d")
    assert resolve(config_from({"env": {"id": "ale_py:ALE/Pong-v5"}}), 4).env.id == (
        "ale_py:ALE/Pong-v5"
    )


def test_missing_files_are_all_reported(tmp_path: Path) -> None:
    config = config_from({"env": {"id": "e.py:make"}, "learner": {"network": "n.py:make"}})
    with pytest.raises(ConfigError) as error:
        resolve(config, 4, tmp_path)
    where = "(paths begin in the working folder, wherever the config lies)"
    assert [str(p) for p in error.value.problems] == [
        f'env.id = "e.py:make": there is no file {tmp_path}/e.py {where}.',
        f'learner.network = "n.py:make": there is no file {tmp_path}/n.py {where}.',
    ]


def test_a_file_beside_the_config_is_told_of(tmp_path: Path) -> None:
    """▣ Paths begin in the working folder, so that a resumed run reads the same ones."""
    config = config_from({"env": {"id": "e.py:make"}})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "e.py").touch()

    def told(source: str) -> str:
        with pytest.raises(ConfigError) as error:
            resolve(config, 4, tmp_path, source)
        return str(error.value.problems[0])

    said = "There is one beside the config: write mine/e.py:make."
    assert told("mine/my.toml").endswith(said)
    assert told(f"{tmp_path}/mine/my.toml").endswith(said)
    assert "There is one" not in told("other/my.toml")
    assert "There is one" not in told("config")


def test_a_file_alone_is_told_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "duel.py").write_text("import os\nclass Minefield: ...\ndef _help(): ...\n")
    (tmp_path / "many.py").write_text("".join(f"def f{n}(): ...\n" for n in range(9)))
    (tmp_path / "typo.py").write_text("def f(:\n")
    for name, told in (
        ("duel.py", "is a file: write duel.py:NAME; it has Minefield."),
        ("many.py", "is a file: write many.py:NAME; it has f0, f1, f2, f3, f4, f5, f6, f7, …."),
        ("typo.py", "is a file: write typo.py:NAME."),
    ):
        with pytest.raises(ConfigError) as error:
            resolve(config_from({"env": {"id": name}}), 4, tmp_path)
        assert [str(p) for p in error.value.problems] == [f'env.id = "{name}": {told}']


def test_rules_are_checked_again_with_the_machine_known() -> None:
    config = config_from({"replay": {"capacity": 1000}})  # 128 rows per actor and chunk
    assert resolve(config, 8).actors.count == 7
    with pytest.raises(ConfigError, match="64 × 16 = 1024"):
        resolve(config, 9)


def test_the_device_is_left_to_the_probe() -> None:
    resolved = resolve(Config(), 4)
    assert resolved.learner.device == "auto"
    assert with_device(resolved, "cuda:1").learner.device == "cuda:1"
    assert with_device(resolved, "auto") == resolved


def stored(**learner: object) -> Config:
    """A config as a run stores it: everything is settled."""
    plan = {"lr_schedule_updates": 900, "device": "cpu", "processes": 1, "stacked": True}
    return resolve(config_from({"actors": {"count": 1}, "learner": plan | learner}))


@pytest.mark.parametrize(
    "override",
    [
        "learner.processes=2",
        'learner.processes="per-policy"',
        "learner.network=nature",
        "learner.network_kwargs.hidden=[16]",
        "learner.network_kwargs={}",
        "learner.device=auto",
        "learner.batch_size=64",
        "algorithm.noisy=true",
    ],
)
def test_a_changed_run_stacks_by_what_it_has_now(override: str) -> None:
    assert changed(stored(), [override]).learner.stacked == "auto"
    assert changed(stored(stacked=False), [override]).learner.stacked is False
    assert changed(stored(), ["learner.stacked=true", override]).learner.stacked is True


def test_what_does_not_follow_from_a_change_stays() -> None:
    longer = changed(stored(), ["run.total_steps=50_000", "learner.lr=0.01"]).learner
    assert longer.stacked is True
    assert longer.lr_schedule_updates == planned_updates(
        config_from({"run": {"total_steps": 50_000}})
    )
    assert changed(stored(), ["learner.lr=0.01"]).learner.lr_schedule_updates == 900
