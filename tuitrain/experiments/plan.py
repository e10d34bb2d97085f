"""What is compared: arms, tasks and seeds, each combination with its whole config.

An *arm* is one way of training (a schedule, a learning rate); a *task* is an environment that every
arm is tried on. Everything is read and checked here, before anything is created or started, and
stored as it will run, so that a comparison that goes on later, or elsewhere, runs the same thing.
Pure but for reading the config file.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuitrain.config.load import config_from, load_config
from tuitrain.config.problems import ConfigError, Problem
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config

PLAN_SCHEMA_VERSION = 1
DEFAULT_SEEDS = 5
DEFAULT_ALPHA = 0.05
_OWN_KEYS = {"run.seed": "--seeds", "run.name": "--out", "run.out_dir": "--out"}
_TASK_KEY = re.compile(r"env\.(id|kwargs)(\.|$)")


class PlanError(ValueError):
    """A comparison cannot be made as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Cell:
    """One run of a comparison."""

    arm: str
    task: str
    seed: int

    def __str__(self) -> str:
        return " ".join(part for part in (self.arm, self.task, f"seed {self.seed}") if part)


@dataclass(frozen=True)
class Plan:
    """A whole comparison.

    Attributes:
        arms: names, the one that the others are compared with first.
        tasks: names; one empty name where there is only one.
        configs: by (arm, task), resolved; their seed, name and folder are set for each run.
        margin: largest difference of return that does not matter, or None.
        alpha: share of wrong answers that is put up with, for each comparison.
    """

    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    configs: Mapping[tuple[str, str], Config]
    margin: float | None = None
    alpha: float = DEFAULT_ALPHA

    def cells(self) -> list[Cell]:
        """All runs, seed by seed, so that an early stop leaves no arm without any."""
        return [
            Cell(arm, task, seed) for seed in self.seeds for task in self.tasks for arm in self.arms
        ]

    def config(self, cell: Cell, out_dir: Path) -> Config:
        """The config of one run, whose folder will be made in `out_dir`."""
        config = self.configs[cell.arm, cell.task]
        words = [word for word in (cell.arm, cell.task) if word] + [f"s{cell.seed}"]
        name = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(words)).strip("-._")[-64:].lstrip("-._")
        run = config.run.model_copy(
            update={"seed": cell.seed, "name": name, "out_dir": str(out_dir)}
        )
        return config.model_copy(update={"run": run})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``plan_from_json`` reads them back."""
        return {
            "schema_version": PLAN_SCHEMA_VERSION,
            "arms": list(self.arms),
            "tasks": list(self.tasks),
            "seeds": list(self.seeds),
            "margin": self.margin,
            "alpha": self.alpha,
            "configs": [
                {"arm": arm, "task": task, "config": config.model_dump(mode="json")}
                for (arm, task), config in self.configs.items()
            ],
        }


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """A plan as ``Plan.to_json`` wrote it.

    Raises:
        PlanError: it was written by another version, or is damaged.
    """
    if data.get("schema_version") != PLAN_SCHEMA_VERSION:
        raise PlanError(
            f"this comparison was written by another version of tuitrain (schema "
            f"{data.get('schema_version')!r}); this one reads schema {PLAN_SCHEMA_VERSION}"
        )
    try:
        return Plan(
            arms=tuple(data["arms"]),
            tasks=tuple(data["tasks"]),
            seeds=tuple(data["seeds"]),
            configs={
                (entry["arm"], entry["task"]): config_from(entry["config"])
                for entry in data["configs"]
            },
            margin=data["margin"],
            alpha=data["alpha"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"the stored plan is damaged: {type(error).__name__}: {error}") from error


def make_plan(
    path: Path | None,
    overrides: Sequence[str] = (),
    schedules: Sequence[str] = (),
    grid: Sequence[str] = (),
    seeds: str | None = None,
    margin: float | None = None,
    alpha: float = DEFAULT_ALPHA,
    cores: int | None = None,
) -> Plan:
    """Read a config and lay out every run.

    Args:
        path: TOML file; None means all defaults.
        overrides: as `--set`, for every run.
        schedules: arms; none means the config's own.
        grid: ``"key=a,b"`` each; all combinations are made. `env.id` and `env.kwargs` make tasks,
            any other key makes arms.
        seeds: how many, or a list "1,2,5".
        cores: for `actors.count = "auto"`.

    Raises:
        ConfigError: a config is wrong; has the problems of every arm at once.
        PlanError: the comparison itself is.
    """
    axes = [parse_axis(text) for text in grid]
    if schedules:
        axes.insert(0, ("run.schedule", list(schedules)))
    _check_axes(axes)
    if not (0 < alpha < 0.5):
        raise PlanError(f"--alpha {alpha:g}: must be above 0 and below 0.5, usually 0.05")
    if margin is not None and not margin > 0:
        raise PlanError(f"--margin {margin:g}: must be above 0, in units of return")
    arm_axes = [axis for axis in axes if not _TASK_KEY.match(axis[0])]
    task_axes = [axis for axis in axes if _TASK_KEY.match(axis[0])]
    short = _short_keys([key for key, _ in axes])
    arms = {_name(choice, short): choice for choice in _choices(arm_axes)}
    tasks = {_name(choice, short): choice for choice in _choices(task_axes)}
    configs: dict[tuple[str, str], Config] = {}
    problems: list[Problem] = []
    source = "config" if path is None else str(path)
    for (arm, arm_choice), (task, task_choice) in itertools.product(arms.items(), tasks.items()):
        given = [f"{key}={value}" for key, value in (*arm_choice, *task_choice)]
        try:
            loaded = load_config(path, [*overrides, *given])
            configs[arm, task] = resolve(loaded, cores=cores, source=source)
        except ConfigError as error:
            problems += [p for p in error.problems if p not in problems]
    if problems:
        raise ConfigError(problems, source)
    if "" in arms:  # nothing varies: named after how it runs
        configs = {(c.run.schedule, task): c for (_, task), c in configs.items()}
    first = next(iter(configs.values()))
    _check_configs(configs)
    names = tuple(dict.fromkeys(arm for arm, _ in configs))
    return Plan(names, tuple(tasks), parse_seeds(seeds, first.run.seed), configs, margin, alpha)


def unshared(plan: Plan) -> str:
    """What to know before the runs where arms deal agents to policies otherwise; "" elsewhere.

    Which agents there are is known only once an environment has been made, and so are the names of
    policies that are called like their agent.
    """
    maps = [plan.configs[arm, plan.tasks[0]].policies.map for arm in plan.arms]
    if all(one == maps[0] for one in maps):
        return ""
    if all(one in ("each", "shared") for one in maps):
        return "each and shared share no policy: arms are compared by the mean over all agents"
    return (
        "arms differ in policies.map: they are compared by the mean over all agents, and by the "
        "policies that several of them have by the same name"
    )


def grown(old: Plan, new: Plan) -> Plan:
    """The plan of a comparison that is called again: the same, or with more seeds or arms.

    Raises:
        PlanError: something that has been run would no longer belong to it.
    """
    wrong = [f"{kind} {name!r} is missing" for kind, name in _missing(old, new)]
    for key, config in old.configs.items():
        if key in new.configs:
            wrong += [
                f"{' '.join(filter(None, key))}: {name} was {before!r} and is now {after!r}"
                for name, before, after in differing_keys(config, new.configs[key])
            ]
    if (old.margin, old.alpha) != (new.margin, new.alpha):
        wrong.append(
            f"margin and alpha were {old.margin} and {old.alpha:g} and are now {new.margin} and "
            f"{new.alpha:g}: they are set before the first run"
        )
    if old.arms[0] != new.arms[0]:
        wrong.append(f"the arm that others are compared with was {old.arms[0]!r}")
    if wrong:
        raise PlanError("\n".join(f"  {line}" for line in wrong[:12]))
    return new


def differing_keys(one: Config, other: Config) -> list[tuple[str, Any, Any]]:
    """Dotted keys in which two configs differ, with both values; not name, folder and seed."""
    ignored = set(_OWN_KEYS)
    a, b = flat(one), flat(other)
    return [
        (key, a.get(key), b.get(key))
        for key in dict.fromkeys([*a, *b])
        if key not in ignored and a.get(key) != b.get(key)
    ]


def flat(config: Config) -> dict[str, Any]:
    """All keys of a config, dotted (`learner.lr`), with their values."""
    values: dict[str, Any] = {}
    for table, content in config.model_dump(mode="json").items():
        if isinstance(content, dict):
            values |= {f"{table}.{key}": value for key, value in content.items()}
        else:
            values[table] = content
    return values


def parse_axis(text: str) -> tuple[str, list[str]]:
    """``"key=a,b"`` as key and values; commas in brackets and quotes separate nothing.

    Raises:
        PlanError: it is written otherwise.
    """
    key, equals, values = text.partition("=")
    parts = split_values(values)
    if not equals or not key.strip() or not all(parts):
        raise PlanError(
            f"--grid {text}: is written key=value,value, e.g. --grid learner.lr=1e-3,5e-4"
        )
    return key.strip(), parts


def parse_scale(text: str) -> tuple[str, tuple[float, float]]:
    """``"TASK=LOW,HIGH"``: the returns that count as 0 and as 1 where tasks are taken together.

    Raises:
        PlanError: it is written otherwise, or LOW is not below HIGH.
    """
    task, equals, bounds = text.rpartition("=")  # a task's own name may have an equals sign
    try:
        low, high = (float(part) for part in bounds.split(","))
    except ValueError:
        low = high = math.nan
    if not equals or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise PlanError(
            f"--scale {text}: is written TASK=LOW,HIGH with LOW below HIGH, e.g. "
            "--scale CartPole-v1=20,500"
        )
    return task.strip(), (low, high)


def check_scales(scales: Mapping[str, tuple[float, float]], tasks: Sequence[str]) -> None:
    """All tasks have a scale, or none.

    Raises:
        PlanError: otherwise, or where there is only one task.
    """
    if scales and len(tasks) < 2:
        raise PlanError("--scale is for several tasks (--grid env.id=…); this comparison has one")
    for task in scales:
        if task not in tasks:
            names = ", ".join(map(repr, tasks))
            raise PlanError(f"--scale {task}: there is no such task, there are {names}")
    for task in tasks:
        if scales and task not in scales:
            raise PlanError(f"--scale: {task!r} has none; give one for every task or for none")


def split_values(text: str) -> list[str]:
    """Split at commas that are in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += char
    return [part.strip() for part in parts]


def parse_seeds(text: str | None, first: int) -> tuple[int, ...]:
    """``"4"``: four seeds from the config's on; ``"1,2,5"`` (or ``"7,"``): these.

    Raises:
        PlanError: it is written otherwise, or names a seed twice.
    """
    if text is None:
        return tuple(range(first, first + DEFAULT_SEEDS))
    parts = [part for part in text.replace(" ", "").split(",") if part]
    if not parts or not all(part.isdecimal() for part in parts):
        raise PlanError(f"--seeds {text}: is a number of seeds (8) or a list of them (1,2,5)")
    numbers = [int(part) for part in parts]
    if "," not in text:
        if not 1 <= numbers[0] <= 10_000:
            raise PlanError(f"--seeds {text}: must be from 1 to 10000; one seed alone is `{text},`")
        return tuple(range(first, first + numbers[0]))
    if len(set(numbers)) < len(numbers):
        raise PlanError(f"--seeds {text}: names a seed twice")
    return tuple(numbers)


def _check_axes(axes: Sequence[tuple[str, list[str]]]) -> None:
    seen: set[str] = set()
    for key, values in axes:
        if key in _OWN_KEYS:
            raise PlanError(f"--grid {key}: is given by {_OWN_KEYS[key]}")
        if key in seen:
            raise PlanError(f"{key} is given twice" + _and_schedules(key))
        if len(set(values)) < len(values):
            raise PlanError(f"{key}: the same value is given twice in {','.join(values)}")
        seen.add(key)


def _and_schedules(key: str) -> str:
    return " (--schedules is short for it)" if key == "run.schedule" else ""


def _check_configs(configs: Mapping[tuple[str, str], Config]) -> None:
    seen: dict[str, str] = {}
    for key, config in configs.items():
        if not config.eval.enabled:
            raise PlanError("eval.enabled = false: a comparison reads greedy evaluations")
        name = " ".join(filter(None, key))
        values = {k: v for k, v in flat(config).items() if k not in _OWN_KEYS}
        same = seen.setdefault(json.dumps(values, sort_keys=True), name)
        if same != name:
            raise PlanError(f"{same!r} and {name!r} are the same config")


def _choices(axes: Sequence[tuple[str, list[str]]]) -> list[tuple[tuple[str, str], ...]]:
    return list(itertools.product(*([(key, value) for value in values] for key, values in axes)))


def _short_keys(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, or the whole where two end alike."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: end if last.count(end) == 1 else key for key, end in zip(keys, last, strict=True)}


def _name(choice: Sequence[tuple[str, str]], short: Mapping[str, str]) -> str:
    speaking = ("run.schedule", "env.id")  # these values say what they are
    return " ".join(value if key in speaking else f"{short[key]}={value}" for key, value in choice)


def _missing(old: Plan, new: Plan) -> list[tuple[str, Any]]:
    return [
        *(("arm", name) for name in old.arms if name not in new.arms),
        *(("task", name) for name in old.tasks if name not in new.tasks),
        *(("seed", seed) for seed in old.seeds if seed not in new.seeds),
    ]
