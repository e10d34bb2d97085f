"""A new run with weights of another: those alone, of all policies, refused if they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.parity.cases import config
from tests.unit.workers.one_actor import SEQUENCES, one_actor
from tuitrain.checkpoint.files import BEST, checkpoint_name, part_name
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.payload import load, save_part, write
from tuitrain.config.initial import WEIGHTS_NAME, settled
from tuitrain.config.provenance import collect
from tuitrain.config.runs import RunFolderError, create_run
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.beginning.initial import CannotBegin
from tuitrain.workers.learners.learner import Learner

HUNT: dict[str, Any] = {
    "env": {"id": "tuitrain.envs.treasurehunt:make", "kwargs": {"agents": 3, "turns": 12}},
}
"""Three policies of one architecture, which learn as one stack or alone."""


def begun(path: Path | str, **tables: Any) -> dict[str, Any]:
    return {**tables, "run": {"init_from": str(path)}}


def trained(folder: Path, **tables: Any) -> Path:
    """A checkpoint of a run whose weights are nobody's initial ones."""
    folder.mkdir()
    with one_actor(folder, **tables) as (blueprint, stores):
        learner = Learner(blueprint, stores)
        for part in learner.policies.values():
            with torch.no_grad():
                for value in part.dqn.online.parameters():
                    value += 0.25
            part.dqn.updates = 70
        return Path(learner.save()["path"])


def weights(learner: Learner, which: str = "online") -> dict[str, dict[str, torch.Tensor]]:
    return {name: p.dqn.state_dict()[which] for name, p in learner.policies.items()}


def same(ours: Any, theirs: Any) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("stacked", [False, True])
def test_weights_alone_are_taken_over(tmp_path: Path, stacked: bool) -> None:
    tables = {**HUNT, "learner": {"stacked": stacked}}
    path = trained(tmp_path / "a", **tables)
    saved = load(path)["policies"]
    (tmp_path / "b").mkdir()
    with one_actor(tmp_path / "b", **begun(path, **tables)) as (blueprint, stores):
        path.unlink()  # gone: a learner that starts later does not need it
        learner = Learner(blueprint, stores)
        for which in ("online", "target"):
            for name, state in weights(learner, which).items():
                assert same(state, saved[name]["dqn"]["online"])
        assert [part.dqn.updates for part in learner.policies.values()] == [0, 0, 0]
        own = load(Path(learner.save()["path"]))
        assert set(own["updates"].values()) == {0}


def test_a_manifest_and_the_best_weights_are_read_as_well(tmp_path: Path) -> None:
    path = trained(tmp_path / "a", **HUNT)
    payload = load(path)
    parts = [
        save_part(
            path.parent,
            {**payload, "policies": {name: payload["policies"][name]}},
            part_name(0, 1, f"learner{place}"),
            [name],
            7,
        )
        for place, name in enumerate(payload["policies"])
    ]
    manifest = join(path.parent, parts, list(payload["policies"]), 2)
    assert manifest.stem == checkpoint_name(7)
    online = {n: {"dqn": {"online": p["dqn"]["online"]}} for n, p in payload["policies"].items()}
    write(path.parent / BEST, {"spec": payload["spec"], "policies": online, "steps": 5})
    for place, source in enumerate((manifest, path.parent / BEST)):
        folder = tmp_path / f"b{place}"
        folder.mkdir()
        with one_actor(folder, **begun(source, **HUNT)) as (blueprint, stores):
            for name, state in weights(Learner(blueprint, stores)).items():
                assert same(state, online[name]["dqn"]["online"])


def refused(folder: Path, tables: dict[str, Any]) -> str:
    folder.mkdir()
    with pytest.raises(CannotBegin) as told, one_actor(folder, **tables):
        pass
    assert not (folder / WEIGHTS_NAME).exists()
    return str(told.value)


def test_what_does_not_fit_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = trained(tmp_path / "a", **HUNT)
    fewer = {**HUNT, "env": {**HUNT["env"], "kwargs": {"agents": 2, "turns": 12}}}
    few = trained(tmp_path / "few", **fewer)
    lacking = set(load(path)["policies"]) - set(load(few)["policies"])
    text = refused(tmp_path / "b", begun(few, **HUNT))
    assert f"has no weights of {', '.join(lacking)}" in text
    frames = {**HUNT, "env": {**HUNT["env"], "n_frames": 2}}
    text = refused(tmp_path / "c", begun(path, **frames))
    assert "frames: 2 here, 1 there" in text
    wide = {**HUNT, "learner": {"network_kwargs": {"hidden": [7]}}}
    assert "do not fit the network" in refused(tmp_path / "d", begun(path, **wide))
    assert "No such file" in refused(tmp_path / "e", begun(tmp_path / "none.pt", **HUNT))
    path.write_bytes(path.read_bytes()[:-9])
    assert "is cut short" in refused(tmp_path / "f", begun(path, **HUNT))
    write(path, {"policies": {"a": 1}, "spec": 3})
    assert "is no checkpoint of a run" in refused(tmp_path / "g", begun(path, **HUNT))


def test_policies_that_the_run_does_not_have_are_named(tmp_path: Path) -> None:
    path = trained(tmp_path / "a", **HUNT)
    fewer = {**HUNT, "env": {**HUNT["env"], "kwargs": {"agents": 2, "turns": 12}}}
    (tmp_path / "b").mkdir()
    with one_actor(tmp_path / "b", **begun(path, **fewer)) as (blueprint, _):
        (tmp_path / "b" / WEIGHTS_NAME).unlink()
        (text,) = probe(blueprint.config, tmp_path / "b")["init_from"]
        unused = set(load(path)["policies"]) - set(blueprint.policies)
        assert f"those of {', '.join(unused)} are not used" in text
        assert probe(blueprint.config, tmp_path / "b")["init_from"] == [], "it has them already"


def test_where_there_is_no_run_yet_weights_are_looked_at_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    path = trained(tmp_path / "a", **HUNT)
    other = {**HUNT, "env": {**HUNT["env"], "n_frames": 3}}
    there = sorted(tmp_path.rglob("*"))
    probe(config("cartpole", "sequential", actors=1, **begun(path, **HUNT)), None)
    with pytest.raises(CannotBegin, match="frames: 3 here"):
        probe(config("cartpole", "sequential", actors=1, **begun(path, **other)), None)
    assert sorted(tmp_path.rglob("*")) == there


def test_a_file_that_has_changed_since_launch_is_refused(tmp_path: Path) -> None:
    path = trained(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with one_actor(tmp_path / "b", **begun(path, **SEQUENCES)) as (blueprint, _):
        made_with = collect(blueprint.config)
        assert made_with["init_from"]["path"] == str(path)
        (tmp_path / "b" / WEIGHTS_NAME).unlink()
        (tmp_path / "b" / "provenance.json").write_text(json.dumps(made_with))
        assert probe(blueprint.config, tmp_path / "b")["init_from"]
        (tmp_path / "b" / WEIGHTS_NAME).unlink()
        write(path, {**load(path), "more": 1})
        with pytest.raises(CannotBegin, match="has changed since the run was launched"):
            probe(blueprint.config, tmp_path / "b")


def test_what_a_person_writes_becomes_one_file(tmp_path: Path) -> None:
    for number, updates in ((1, [10]), (2, [10, 20]), (3, [])):
        run = tmp_path / "out" / f"maze-000{number}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "config.toml").touch()
        for count in updates:
            (run / "checkpoints" / f"{checkpoint_name(count)}.pt").touch()
    run = tmp_path / "out" / "maze-0002"
    newest = str(run / "checkpoints" / f"{checkpoint_name(20)}.pt")
    (run / "checkpoints" / BEST).touch()

    def of(text: str, out_dir: str = "out") -> str:
        return settled(text, tmp_path, tmp_path / out_dir)

    assert of(newest) == newest
    assert of("maze-0002") == of("out/maze-0002") == of(str(run)) == newest
    assert of("out/maze-0002/checkpoints/ckpt-0000000020.pt") == newest
    best = str(run / "checkpoints" / BEST)
    forms = ("maze-0002/best", "out/maze-0002/best", f"{run}/best", f"{run}/checkpoints/best.pt")
    assert {of(form) for form in forms} == {best}
    (tmp_path / "out").rename(tmp_path / "runs")
    assert of("maze-0002", "elsewhere").endswith("runs/maze-0002/checkpoints/ckpt-0000000020.pt")
    assert of(newest) == newest, "settled before; whether it is there is asked by who reads it"
    for text, why in (
        ("maze-0003", "has no checkpoint yet"),
        ("maze-0001/best", "has no best.pt: it has not been evaluated yet"),
        ("mase-0001", "is neither a checkpoint's file nor a run"),
        ("best", "is neither a checkpoint's file nor a run"),
    ):
        with pytest.raises(ValueError, match=why):
            of(text, "runs")


def test_a_launch_with_a_file_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    path = trained(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with one_actor(tmp_path / "b", **begun(path, **SEQUENCES)) as (blueprint, _):
        run = blueprint.config.run.model_copy(update={"out_dir": str(tmp_path / "runs")})
        path.unlink()
        with pytest.raises(RunFolderError, match=r"run\.init_from: .*No such file"):
            create_run(blueprint.config.model_copy(update={"run": run}))
        assert not (tmp_path / "runs").exists()
