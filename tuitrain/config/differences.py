"""What has been changed in a config that decides how training goes."""

from __future__ import annotations

import json
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
    "run.tensorboard",
    "run.fingerprint",
}
_TABLES_DECIDE_NOTHING = {"hooks", "supervisor"}


def differences(before: str, now: Config) -> list[str]:
    """Keys that decide how training goes and differ: ``learner.batch_size = 64 (was 32)``.

    Args:
        before: the earlier config, as ``Config.model_dump_json`` wrote it. What it does not say, as
            one of an earlier version may not, is as the default is.
    """
    there = _values(Config().model_dump_json()) | _values(before)
    here = _values(now.model_dump_json())
    return [
        f"{key} = {json.dumps(value)} (was {json.dumps(there.get(key))})"
        for key, value in here.items()
        if value != there.get(key)
    ]


def _values(text: str) -> dict[str, Any]:
    """By dotted key; tables with free keys as one value."""
    return {
        f"{table}.{key}": value
        for table, keys in json.loads(text).items()
        if isinstance(keys, dict) and table not in _TABLES_DECIDE_NOTHING
        for key, value in keys.items()
        if f"{table}.{key}" not in _DECIDE_NOTHING
    }
