"""Policies read back from a run's folder, and the probe's report."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tuitrain import Policy, load_policy
from tuitrain.checkpoint.files import checkpoint_name, part_name
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.payload import CheckpointError, save, save_part
from tuitrain.cli import main as cli
from tuitrain.config.load import to_toml
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolderError
from tuitrain.config.schema import Config
from tuitrain.envs.spec import PolicySpec
from tuitrain.workers.asides import probe, trained
from tuitrain.workers.build import SpecMismatch, network_for
from tuitrain.workers.messages import MAX_MESSAGE_BYTES


class SilentLink:
    """Keeps what a worker says when it is ready."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.notices: list[str] = []

    def ready(self, **fields: Any) -> None:
        self.said = fields

    def notice(self, text: str, level: str = "info") -> None:
        self.notices.append(text)


def chain(**kwargs: Any) -> Config:
    tables: dict[str, dict[str, Any]] = {"env": {"id": "tests.envs:Chain", "kwargs": kwargs}}
    return resolve(Config.model_validate(tables), cores=2)


def test_a_report_too_long_for_a_message_still_arrives(tmp_path: Path) -> None:
    config = chain()
    deep = config.learner.model_copy(update={"network_kwargs": {"hidden": [4] * 300}})
    link = SilentLink()
    args: Any = SimpleNamespace(
        config=config.model_copy(update={"learner": deep}), run_dir=str(tmp_path)
    )
    probe.run(args, link)
    written = (tmp_path / link.said["data"]["report"]).read_bytes()
    assert len(written) > MAX_MESSAGE_BYTES
    assert len(json.dumps(link.said)) < MAX_MESSAGE_BYTES
    assert json.loads(written)["device"] == "cpu"


@pytest.mark.parametrize(("space", "told"), [("float64", 1), ("bool", 0), ("vector", 0)])
def test_float64_observations_are_told_of_once(space: str, told: int, tmp_path: Path) -> None:
    reference = str(Path(__file__).parents[1] / "envs" / "bad_envs.py:make")
    observation = "right" if space == "vector" else space
    tables: Any = {"env": {"id": reference, "kwargs": {"space": space, "observation": observation}}}
    config = resolve(Config.model_validate(tables), cores=2)
    link = SilentLink()
    args: Any = SimpleNamespace(config=config, run_dir=str(tmp_path))
    probe.run(args, link)
    assert len(link.notices) == told
    assert all("declared float64; they are kept" in text for text in link.notices)


def test_eval_refuses_an_environment_that_has_changed() -> None:
    was = chain(length=6)
    spec = probe.inspect(was.env)
    old = trained.Trained(chain(length=5), spec, {}, 0, {}, Path("c.pt"))
    with pytest.raises(SpecMismatch, match=r"\(5,\)"):
        trained.evaluate_run(old, 2)


def test_a_part_of_a_checkpoint_is_refused_with_the_whole_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(to_toml(chain()))
    folder = tmp_path / "checkpoints"
    parts = [
        save_part(folder, {}, part_name(1, 1, f"learner{i}"), [name], 7)
        for i, name in enumerate("ab")
    ]
    path = folder / parts[1].file
    with pytest.raises(CheckpointError, match=r"what one learner process wrote.*No checkpoint"):
        trained.load_trained(tmp_path, path)
    whole = join(folder, parts, "ab", keep=1)
    with pytest.raises(CheckpointError, match=f"Name the whole one: {re.escape(str(whole))}"):
        trained.load_trained(tmp_path, path)


def a_run(path: Path, values: Sequence[int]) -> list[Path]:
    """A run's folder with a checkpoint of so many updates each."""
    config = chain()
    path.mkdir(parents=True)
    (path / "config.toml").write_text(to_toml(config))
    spec = probe.inspect(config.env)
    online = network_for(config, spec, "default").state_dict()
    return [
        save(
            path / "checkpoints",
            {
                "spec": spec.to_dict(),
                "steps": 10 * value,
                "updates": {"default": value},
                "policies": {"default": {"dqn": {"online": online}}},
            },
            checkpoint_name(value),
            keep=9,
        )
        for value in values
    ]


def test_a_pipe_in_the_configs_place_is_refused(tmp_path: Path) -> None:
    """▣ Opening it would wait for who writes to it."""
    path = tmp_path / "r-0001"
    a_run(path, [5])
    (path / "config.toml").unlink()
    os.mkfifo(path / "config.toml")
    with pytest.raises(RunFolderError, match=r"config\.toml: it is not a regular file"):
        trained.load_trained(path)


def test_what_is_passed_over_is_told_wherever_policies_are_read_back(tmp_path: Path) -> None:
    """Who compares two runs must not be given an older policy of one of them unawares."""
    oldest, *damaged = a_run(tmp_path / "runs" / "r-0001", [5, 6, 7])
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    read = trained.load_trained(tmp_path / "runs" / "r-0001")
    assert (read.checkpoint, read.updates) == (oldest, {"default": 5})
    assert [path.name in line for path, line in zip(damaged[::-1], read.passed_over, strict=True)]

    with pytest.warns(UserWarning, match=f"{oldest.name} is used instead") as told:
        load_policy(tmp_path / "runs" / "r-0001")
    assert len(told) == 2
    assert told[0].filename == __file__

    command = ["eval", "r", "--runs-dir", str(tmp_path / "runs"), "--episodes", "2"]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, done.output
    assert [line.split("; ")[-1] for line in done.stderr.splitlines()] == [
        f"{oldest.name} is played instead"
    ] * 2
    assert f"played {oldest.name}; updates made: default 5" in done.stdout
    (result,) = json.loads(CliRunner().invoke(cli.app, [*command, "--json"]).stdout)
    assert (result["checkpoint"], result["updates"]) == (oldest.name, 5)


def test_observations_of_another_kind_are_refused() -> None:
    policy = Policy(None, PolicySpec((2,), "uint8", 3, ("default",)), 1)
    with pytest.raises(ValueError, match="uint8"):
        policy.act(np.array([0.1, 0.9]))


def test_who_names_no_checkpoint_is_told_which_there_are_and_the_best(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "ckpt-0000000005.pt").touch()
    with pytest.raises(FileNotFoundError, match=r"there are: 5 \(ckpt-0000000005.pt\)$"):
        trained.named(tmp_path, "7")
    (folder / "best.pt").touch()
    with pytest.raises(FileNotFoundError, match=r"ckpt-0000000005.pt\), best \(best.pt\)$"):
        trained.named(tmp_path, "7")
