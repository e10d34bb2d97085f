"""Which changes of a config decide how training goes on."""

from __future__ import annotations

import json
from typing import Any

from tuitrain.config.differences import differences
from tuitrain.config.schema import Config


def changed(**tables: dict[str, Any]) -> list[str]:
    return differences(Config().model_dump_json(), Config.model_validate(tables))


def test_what_decides_training_is_named_with_both_values() -> None:
    assert changed() == []
    assert changed(learner={"batch_size": 17}, env={"kwargs": {"size": 4}}) == [
        'env.kwargs = {"size": 4} (was {})',
        f"learner.batch_size = 17 (was {Config().learner.batch_size})",
    ]
    assert changed(run={"total_steps": 7}) == ["run.total_steps = 7 (was 100000)"]


def test_what_decides_nothing_is_not() -> None:
    run = {"name": "x", "schedule": "lockstep", "keep_checkpoints": 9, "tensorboard": True}
    assert changed(run=run, supervisor={"max_restarts": 0}, hooks={"timeout_s": 5.0}) == []


def test_what_an_earlier_version_does_not_say_was_the_default() -> None:
    before = json.loads(Config().model_dump_json())
    del before["learner"]["double"], before["stop"]
    assert differences(json.dumps(before), Config()) == []
