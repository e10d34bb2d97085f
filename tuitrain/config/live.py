"""Keys that can be changed while a run goes on. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tuitrain.config.describe import known_keys
from tuitrain.config.emit import emit_value
from tuitrain.config.load import config_from, overridden_key
from tuitrain.config.problems import ConfigError, Problem
from tuitrain.config.schema import Config

LIVE: dict[str, tuple[str, ...]] = {
    "learner.lr": (),
    "learner.lr_end": (),
    "learner.replay_ratio": (),
    "exploration.epsilon_end": ("actor",),
    "eval.every_steps": (),
    "run.log_level": ("actor", "evaluator"),
    "checks.on_fail": (),
}
"""By key, the roles that use it besides those who learn; they write it into checkpoints anyway."""

_OF_POLICY = re.compile(r"\s*polic(y|ies)\.(?!map\b)")

_CAN = f"What can: {', '.join(LIVE)}."


def parsed(config: Config, assignments: Sequence[str]) -> Config:
    """`config` with every ``key=value`` laid over it, if all can be changed in a living run.

    A key's last word is enough where no other has it. A whole table (``learner={lr=1e-4}``) is
    refused: it would take back all its other keys.

    Raises:
        ConfigError: with everything that is wrong, in the words of a config that is read.
    """
    problems = [_for_one_policy(text) for text in assignments if _OF_POLICY.match(text)]
    assignments = [text for text in assignments if not _OF_POLICY.match(text)]
    if not assignments and not problems:
        problems.append(Problem("set", "", "needs key=value, e.g. learner.lr=1e-4.", _CAN))
    allowed = []
    for text in map(_in_full, assignments):
        key = overridden_key(text)
        if key in LIVE or not _known(key):  # what is no key is told as ever
            allowed.append(text)
        else:
            problems.append(_refused(text))
    try:
        changed = config_from(config.model_dump(), allowed)
        if changed != with_values(config, differing(config, changed)):
            problems += [_refused(text) for text in allowed if overridden_key(text) not in LIVE]
    except ConfigError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise ConfigError(problems, "set")
    return changed


def _for_one_policy(assignment: str) -> Problem:
    key, _, value = assignment.partition("=")
    of_all = next((known for known in LIVE if key.strip().endswith(f".{known}")), "")
    return Problem(
        key.strip(),
        value.strip(),
        "there are no values for one policy: the config has each key once, for all of them.",
        f"For all: {of_all}={value.strip()}." if of_all else _CAN,
    )


def _in_full(assignment: str) -> str:
    """``lr=1e-4`` as ``learner.lr=1e-4``, where one key alone ends so."""
    key = overridden_key(assignment)
    meant = [name for name in LIVE if name.rpartition(".")[2] == key]
    return assignment.replace(key, meant[0], 1) if len(meant) == 1 else assignment


def _known(key: str) -> bool:
    """Whether it is a key of the config or a table of such."""
    return any(name == key or name.startswith(f"{key}.") for name in known_keys())


def _refused(assignment: str) -> Problem:
    key, _, value = assignment.partition("=")
    return Problem(key.strip(), value.strip(), "cannot be changed while the run goes on.", _CAN)


def value_of(config: Config, key: str) -> Any:
    """The value of a dotted key."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """`config` with these values by dotted key.

    Raises:
        ConfigError: they are not allowed, or do not go together with the rest.
    """
    assignments = [f"{key}={emit_value(value)}" for key, value in values.items()]
    return config_from(config.model_dump(), assignments)


def differing(before: Config, now: Config) -> dict[str, Any]:
    """The keys of `LIVE` in which two configs differ, with the values they have now."""
    return {key: value_of(now, key) for key in LIVE if value_of(now, key) != value_of(before, key)}
