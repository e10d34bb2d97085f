"""A worker that sees another environment than its run refuses before it touches anything."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.parity.cases import config
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.schedules.acting import build_actor
from tuitrain.schedules.evaluation import build_evaluator
from tuitrain.workers import stores
from tuitrain.workers.asides.probe import inspect, probe
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import SpecMismatch, checked_lanes

CHAIN: dict[str, Any] = {"id": "tests.envs:Chain", "kwargs": {"length": 6}}
CATCH: dict[str, Any] = {"id": "tests.envs:Catch", "kwargs": {"size": 8}}


def run_of(env: dict[str, Any]) -> Config:
    return resolve(config("cartpole", "async", env=env), cores=2)


@pytest.mark.parametrize(
    ("probed", "built", "said"),
    [
        (CHAIN, CHAIN | {"kwargs": {"length": 7}}, r"observation_shape: \(7,\) here, \(6,\) there"),
        (CHAIN | {"n_frames": 4}, CHAIN | {"n_frames": 3}, "n_frames: 3 here, 4 there"),
        (CATCH, CATCH | {"kwargs": {"size": 8, "layout": "CHW"}}, r"\(1, 8, 8\) here, \(8, 8\)"),
        (CHAIN, CATCH, "observation_dtype: 'uint8' here, 'float32' there"),
        (CHAIN, CATCH, "n_actions: 3 here, 2 there"),
    ],
)
def test_every_difference_is_named(
    probed: dict[str, Any], built: dict[str, Any], said: str
) -> None:
    spec = inspect(run_of(probed).env)
    checked_lanes(run_of(probed), spec, 2).close()
    with pytest.raises(SpecMismatch, match=said):
        checked_lanes(run_of(built), spec, 2)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda blueprint, shared: build_actor(blueprint, shared, 0), id="actor"),
        pytest.param(lambda blueprint, _: build_evaluator(blueprint), id="evaluator"),
    ],
)
def test_actor_and_evaluator_refuse(tmp_path: Path, build: Any) -> None:
    probed = run_of(CHAIN)
    blueprint = Blueprint.from_probe(
        run_id=f"test-{os.getpid()}-{tmp_path.name[-20:]}",
        run_dir=str(tmp_path),
        lock_path=str(tmp_path / "lock"),
        config=probed,
        report=probe(probed, tmp_path),
    )
    edited = replace(blueprint, config=run_of(CHAIN | {"kwargs": {"length": 7}}))
    shared = stores.create(blueprint)
    try:
        before = [bytes(segment.buf) for segment in shared._segments]
        with pytest.raises(SpecMismatch):
            build(edited, shared)
        assert [bytes(segment.buf) for segment in shared._segments] == before
    finally:
        shared.close()
        stores.unlink_all(blueprint.run_id)
