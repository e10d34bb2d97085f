"""Evaluations may play other settings of the environment than training does: `env.eval_kwargs`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.envs import Chain
from tests.parity.cases import config
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config, EnvConfig
from tuitrain.envs.paired import Paired
from tuitrain.schedules.acting import build_actor
from tuitrain.schedules.evaluation import build_evaluator
from tuitrain.workers import stores
from tuitrain.workers.asides import probe, trained
from tuitrain.workers.asides.evaluations import in_words, tried_evaluations
from tuitrain.workers.asides.forked import MAX_ANSWER_BYTES
from tuitrain.workers.blueprint import REPORT_NAME, Blueprint
from tuitrain.workers.build import SpecMismatch, policies_for
from tuitrain.workers.child import Refused


def run_of(**eval_kwargs: Any) -> Config:
    """A chain whose steps cost 0.1 and whose episodes end, at the latest, after 24 steps."""
    env = {"id": "tests.envs:Chain", "kwargs": {"length": 6}, "eval_kwargs": eval_kwargs}
    return resolve(config("cartpole", "async", env=env, eval={"episodes": 2}), cores=2)


def test_they_are_laid_over_those_of_training() -> None:
    env = EnvConfig(kwargs={"a": 1, "b": 2}, eval_kwargs={"b": 3, "c": 4})
    assert env.of_evaluations.kwargs == {"a": 1, "b": 3, "c": 4}
    assert env.kwargs == {"a": 1, "b": 2}
    assert EnvConfig().of_evaluations == EnvConfig()


def test_the_evaluator_plays_them_and_actors_do_not(tmp_path: Path) -> None:
    given = run_of(step_cost=7.0, max_steps=3)
    blueprint = Blueprint.from_probe(
        run_id=f"test-{os.getpid()}-{tmp_path.name[-20:]}",
        run_dir=str(tmp_path),
        lock_path=str(tmp_path / "lock"),
        config=given,
        report=probe.probe(given, tmp_path),
    )
    shared = stores.create(blueprint)
    actor = evaluator = None
    try:
        actor = build_actor(blueprint, shared, 0)
        assert {env.max_steps for env in actor._lanes._envs} == {24}
        evaluator = build_evaluator(blueprint)
        (result,) = evaluator.evaluate(1, lambda: None)
        assert (result.return_mean, result.length_mean) == (-21.0, 3.0)
    finally:
        for part in (actor, evaluator):
            if part is not None:
                part.close()
        shared.close()
        stores.unlink_all(blueprint.run_id)


def test_so_does_an_evaluation_of_a_checkpoint() -> None:
    given = run_of(step_cost=7.0, max_steps=3)
    spec = probe.inspect(given.env)
    read = trained.Trained(given, spec, policies_for(given, spec, "cpu"), 0, {}, Path("c.pt"))
    (result,) = trained.evaluate_run(read, 2)
    assert (result.return_mean, result.length_mean) == (-21.0, 3.0)


def test_what_networks_see_must_stay_as_it_is() -> None:
    given = run_of(length=7)
    spec = probe.inspect(given.env)
    read = trained.Trained(given, spec, policies_for(given, spec, "cpu"), 0, {}, Path("c.pt"))
    with pytest.raises(SpecMismatch, match=r"\(7,\).*env.eval_kwargs = .*'length': 7"):
        trained.evaluate_run(read, 2)


@pytest.mark.parametrize("eval_kwargs", [{}, {"max_steps": 3}])
def test_the_run_tells_of_a_difference(eval_kwargs: dict[str, Any], tmp_path: Path) -> None:
    told: list[str] = []
    link: Any = SimpleNamespace(ready=lambda **_: None, notice=lambda text, *_: told.append(text))
    args: Any = SimpleNamespace(config=run_of(**eval_kwargs), run_dir=str(tmp_path))
    probe.run(args, link)
    assert [str(eval_kwargs) in text for text in told] == [True] * bool(eval_kwargs)
    tried = json.loads((tmp_path / REPORT_NAME).read_text()).get("evaluations")
    assert [tried["words"] in text for text in told if tried] == [True] * bool(eval_kwargs)


def test_settings_that_the_network_does_not_fit_are_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    given, link = run_of(length=7), SimpleNamespace()
    args: Any = SimpleNamespace(config=given, run_dir=str(tmp_path))
    with pytest.raises(Refused) as told:
        probe.run(args, cast(Any, link))
    for words in ("evaluations would play another", "(7,) here, (6,) there", "'length': 7"):
        assert words in str(told.value.__cause__)
    never = given.model_copy(update={"eval": given.eval.model_copy(update={"enabled": False})})
    assert probe.probe(never, None)["spec"]


TROUBLE = "tests.unit.workers.test_workers_eval_kwargs"


def crashes(crash: bool = False, **kwargs: Any) -> Any:
    if crash:
        os._exit(3)
    return Chain(length=6)


def fails(fail: bool = False, **kwargs: Any) -> Any:
    if fail:
        raise OSError("no such level")
    return Chain(length=6)


@pytest.mark.parametrize(
    ("eval_kwargs", "tried"),
    [
        ({"step_cost": 0.1}, {"suspect": False, "words": "nothing differed in "}),
        ({"step_cost": 7.0}, {"suspect": False, "words": "from step 1 on, though never in sign: "}),
        ({"step_cost": -1.0}, {"suspect": True, "words": "rewards differ from step 1 on: reward"}),
        (
            {"max_steps": 3},
            {"suspect": True, "words": "lead elsewhere from step 3 on: "},
        ),
    ],
)
def test_both_are_played_before_the_run(eval_kwargs: dict[str, Any], tried: Any) -> None:
    given = run_of(**eval_kwargs)
    found = tried_evaluations(given, probe.inspect(given.env))
    assert found is not None
    assert found["suspect"] is tried["suspect"]
    assert tried["words"] in found["words"]


@pytest.mark.parametrize(
    ("name", "eval_kwargs", "limit_s"),
    [("crashes", {"crash": True}, 60.0), ("fails", {"fail": True}, 60.0), ("fails", {}, 1e-3)],
)
def test_whatever_happens_then_nothing_is_said(
    name: str, eval_kwargs: dict[str, Any], limit_s: float
) -> None:
    env = {"id": f"{TROUBLE}:{name}", "eval_kwargs": eval_kwargs}
    given = resolve(config("cartpole", "async", env=env), cores=2)
    assert tried_evaluations(given, probe.inspect(given.env), limit_s) is None


def test_words_fit_an_answer() -> None:
    assert len(in_words(Paired(9, 2, "é" * 5_000)).encode()) < MAX_ANSWER_BYTES / 2
