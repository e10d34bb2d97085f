"""What has been changed in a config that decides how training goes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuitrain.config.schema import Config

_DECIDE_NOTHING = {
    "run.name",
    "run.schedule",  # sequential and lockstep are one algorithm; async is never exact
    "run.out_dir",
    "run.checkpoint_every_s",
    "run.checkpoint_every_steps",
    "run.checkpoint_replay",
    "run.keep_checkpoints",
    "run.init_from",  # of a beginning, which is over
    "run.log_level",
    "run.tensorboard",
    "run.fingerprint",
}
_TABLES_DECIDE_NOTHING = {"checks", "hooks", "supervisor"}


def differences(before: str, now: Config, changes: Mapping[str, Any] | None = None) -> list[str]:
    """Keys that decide how training goes and differ: ``learner.batch_size = 64 (was 32)``.

    Args:
        before: the earlier config, as ``Config.model_dump_json`` wrote it. What it does not say, as
            one of an earlier version may not, is as the default is.
        changes: values by dotted key that were laid over it.
    """
    there = _values(Config().model_dump_json()) | _values(before) | dict(changes or {})
    here = _values(now.model_dump_json())
    return [
        f"{key} = {json.dumps(value)} (was {json.dumps(there.get(key))})"
        for key, value in here.items()
        if value != there.get(key)
    ]


def deciding(keys: Iterable[str]) -> list[str]:
    """Of dotted keys those that decide how training goes."""
    return [key for key in keys if key in _values(Config().model_dump_json())]


def is_reproducible(*, exact: bool, before: bool, changes: Sequence[str]) -> bool:
    """Whether what a whole run has trained follows from its config, its sources and its seed.

    From its first step it does. A session that goes on from a checkpoint, and all workers that go
    back to one, keep it only if they go on exactly, from training of which it was true, with
    nothing changed that decides training; a change in a living run ends it. Checkpoints hand it on,
    so no later session forgets.

    Args:
        exact: the checkpoint holds the whole state of training, and all of it is taken over.
        before: whether it was true of the training that the checkpoint was made by.
        changes: what decides training and is not as it was.
    """
    return exact and before and not changes


def _values(text: str) -> dict[str, Any]:
    """By dotted key; tables with free keys as one value."""
    return {
        f"{table}.{key}": value
        for table, keys in json.loads(text).items()
        if isinstance(keys, dict) and table not in _TABLES_DECIDE_NOTHING
        for key, value in keys.items()
        if f"{table}.{key}" not in _DECIDE_NOTHING
    }
