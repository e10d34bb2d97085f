"""From the config a person wrote to the one a run stores: every choice explicit.

What depends on the machine (``auto``), on other keys (defaults) or on the working folder (relative
paths) is settled once, at launch, so that every process, and a resume on another day, reads the
same values. `learner.device = "auto"` is left to the probe worker, because only importing torch
can tell; ``with_device`` records its answer. Imports no torch and creates nothing.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tuitrain.config.initial import settled
from tuitrain.config.load import config_from, overridden_key
from tuitrain.config.places import runs_dir
from tuitrain.config.problems import ConfigError, Problem
from tuitrain.config.rules import check
from tuitrain.config.schema import Config
from tuitrain.loading import names_in

DEFAULT_TARGET_UPDATE_EVERY = 500
"""Updates between target copies when neither `tau` nor an interval is given."""


def with_runs_dir(config: Config) -> Config:
    """The config, with the folder of runs from `TUITRAIN_RUNS_DIR` where it does not name one."""
    if "out_dir" in config.run.model_fields_set:
        return config
    run = config.run.model_copy(update={"out_dir": str(runs_dir())})
    return config.model_copy(update={"run": run})


def resolve(
    config: Config,
    cores: int | None = None,
    folder: Path | None = None,
    source: str = "config",
) -> Config:
    """Settle everything but `learner.device`.

    Args:
        config: as read by ``load_config``.
        cores: processor cores the run may use; default: ``available_cores()``.
        folder: what relative paths are relative to; default: the working folder.
        source: what was read, for errors.

    Returns:
        A config with `actors.count` a number, a target rule, the length of the learning-rate
        schedule, and absolute paths in `run.out_dir`, `run.init_from`, `env.id` and
        `learner.network`. Resolving it again changes nothing. `learner.lr_schedule_updates` stays
        open only when agents share policies (`policies.map`): each policy then makes a number of
        updates of its own.

    Raises:
        ConfigError: a referenced file does not exist, or values do not go together once settled.
    """
    folder = Path.cwd() if folder is None else folder.absolute()
    count = config.actors.count
    if count == "auto":
        learners = config.learner.processes
        # one for each policy: how many those are is only known once a run has started
        free = (available_cores() if cores is None else cores) - (
            1 if learners == "per-policy" else learners
        )
        count = max(1, free)
    learner = config.learner
    target_every = learner.target_update_every_updates
    if learner.tau is None and target_every is None:
        target_every = DEFAULT_TARGET_UPDATE_EVERY
    schedule_updates = learner.lr_schedule_updates
    if schedule_updates is None and config.policies.map == "each":
        schedule_updates = planned_updates(config)
    problems: list[Problem] = []
    init_from = _settled_init_from(config, folder, problems)
    beside = _join(folder, source).parent if source.endswith(".toml") else None
    env_id = _absolute(config.env.id, "env.id", folder, problems, beside)
    network = _absolute(learner.network, "learner.network", folder, problems, beside)
    resolved = config.model_copy(
        update={
            "run": config.run.model_copy(
                update={
                    "out_dir": str(_join(folder, config.run.out_dir)),
                    "init_from": init_from,
                }
            ),
            "env": config.env.model_copy(update={"id": env_id}),
            "actors": config.actors.model_copy(update={"count": count}),
            "learner": learner.model_copy(
                update={
                    "network": network,
                    "target_update_every_updates": target_every,
                    "lr_schedule_updates": schedule_updates,
                }
            ),
        }
    )
    problems += check(resolved)
    if problems:
        raise ConfigError(problems, source)
    return resolved


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """A settled config with some keys changed, for a run that goes on with others than before.

    What followed from a changed key is settled anew, unless it is among the overrides itself: the
    length of the learning-rate schedule, and whether policies are learned as one stack. Policies
    that were not stacked stay so.

    Args:
        overrides: as ``load_config`` takes them.

    Raises:
        ConfigError: as ``load_config`` and ``resolve`` do.
    """
    tables: dict[str, Any] = config.model_dump()
    keys = [overridden_key(item) for item in overrides]
    if "run.total_steps" in keys:
        tables["learner"]["lr_schedule_updates"] = None
    if config.learner.stacked and any(_STACKS_BY.fullmatch(key) for key in keys):
        tables["learner"]["stacked"] = "auto"
    return resolve(config_from(tables, overrides))


_STACKS_BY = re.compile(
    r"learner\.(processes|device|batch_size|network|network_kwargs(\..*)?)|algorithm(\..*)?"
)
"""Keys that decide whether policies can be stacked, and with which, and whether that is faster."""


def with_device(config: Config, device: str) -> Config:
    """The config with the learner's device as the probe found it (``cpu``, ``cuda:0``)."""
    return config.model_copy(
        update={"learner": config.learner.model_copy(update={"device": device})}
    )


def planned_updates(config: Config, agents: int = 1, ratio: Fraction | None = None) -> int:
    """Updates a policy makes by the end of the run, at least 1.

    Args:
        config: its `total_steps`, `learning_starts` and `replay_ratio` count.
        agents: agents of one environment that share the policy; each environment step gives one
            transition for each.
        ratio: updates per transition instead of the config's.
    """
    transitions = config.run.total_steps * agents - config.replay.learning_starts
    return max(1, math.floor(transitions * (ratio or config.learner.updates_per_transition)))


def available_cores() -> int:
    """Cores this process may run on, at least 1 (affinity counts; a machine's total does not)."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _join(folder: Path, text: str) -> Path:
    return Path(os.path.normpath(folder / Path(text).expanduser()))


def _settled_init_from(config: Config, folder: Path, problems: list[Problem]) -> str | None:
    """The checkpoint that `run.init_from` means, as an absolute path."""
    text = config.run.init_from
    if text is None:
        return None
    try:
        return settled(text, folder, _join(folder, config.run.out_dir))
    except ValueError as error:
        problems.append(Problem("run.init_from", f'"{text}"', str(error)))
        return text


def _absolute(
    reference: str, key: str, folder: Path, problems: list[Problem], beside: Path | None
) -> str:
    """``file.py:factory`` with an absolute path; anything else as it is.

    Args:
        beside: where the config lies, for who has put the file there.
    """
    if reference.endswith(".py") and (path := _join(folder, reference)).is_file():
        problems.append(Problem(key, f'"{reference}"', _which_one(reference, path)))
    where, colon, name = reference.rpartition(":")
    if not colon or not where.endswith(".py"):
        return reference
    path = _join(folder, where)
    if not path.is_file():
        there = None if beside is None else _join(beside, where)
        hint = ""
        if there is not None and there.is_file():
            hint = f"There is one beside the config: write {os.path.relpath(there, folder)}:{name}."
        wrong = f"there is no file {path}{_FROM_WHERE}."
        problems.append(Problem(key, f'"{reference}"', wrong, hint))
    return f"{path}:{name}"


def _which_one(reference: str, path: Path) -> str:
    """What to write for something in a file."""
    names = names_in(path)
    has = f"; it has {', '.join(names[:_MAX_NAMES])}" if names else ""
    return f"is a file: write {reference}:NAME{has}{', …' if len(names) > _MAX_NAMES else ''}."


_MAX_NAMES = 8
_FROM_WHERE = " (paths begin in the working folder, wherever the config lies)"
