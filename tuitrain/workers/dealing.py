"""Which process learns which policies, and which of those are learned as one.

Both are settled once, when the probe has told what policies there are, and stored in the run's
config: bytes depend on the second, and every process must agree on both. Pure and torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from tuitrain.config.problems import ConfigError, Problem
from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec
from tuitrain.learning.weights_layout import WeightsLayout

MOST_STACKED_WORK = 4_000_000
"""Parameters times batch size up to which ``learner.stacked = "auto"`` stacks.

A stack saves operations, not arithmetic. With 5 policies an update is 2.2 times as fast at 0.2
million (two layers of 64 units, batch 32), 1.5 times at 0.7 million (128 units), 1.3 times at 2.5
million, and 1.1 times at 9 million (512 units), while more and more memory is in use at once; see
`benchmarks/stacked.py`.
"""


def settled(config: Config, spec: EnvSpec, weights: Mapping[str, WeightsLayout]) -> Config:
    """The config with `learner.processes` as a number and `learner.stacked` as true or false.

    Args:
        config: with `learner.device` settled.
        weights: layout of each policy's network.

    Raises:
        ConfigError: there are fewer policies than processes, or nothing to stack.
    """
    processes = _processes(config.learner.processes, list(spec.policies))
    config = _with(config, processes=processes)
    return _with(config, stacked=_stacked(config, spec, weights))


def dealt(policies: tuple[str, ...], processes: int) -> list[tuple[str, ...]]:
    """Policies of each process: dealt in turn, in the run's order."""
    return [policies[index::processes] for index in range(processes)]


def bundles(config: Config, spec: EnvSpec) -> list[tuple[str, ...]]:
    """All policies of a settled config: those of one bundle are updated together.

    They learn in one process and have networks of one architecture. In `sequential` bundles are
    those of the learner processes that the config names, so that schedules give the same bytes.
    """
    processes = config.learner.processes
    assert isinstance(processes, int)
    if not config.learner.stacked:
        return [(name,) for name in spec.policies]
    found = []
    for names in dealt(tuple(spec.policies), processes):
        alike: dict[object, list[str]] = {}
        for name in names:
            part = spec.policies[name]
            form = part.observation_shape, part.observation_dtype, part.n_actions, part.masked
            alike.setdefault(form, []).append(name)
        found += [tuple(some) for some in alike.values()]
    return found


def _processes(wanted: int | str, policies: list[str]) -> int:
    """`learner.processes` as a number."""
    if wanted == "per-policy":
        return len(policies)
    assert isinstance(wanted, int)
    if wanted > len(policies):
        _refuse(
            "learner.processes",
            str(wanted),
            f"must be at most {len(policies)}, the number of policies ({', '.join(policies)}): one "
            "process each is the most.",
        )
    return wanted


def _stacked(config: Config, spec: EnvSpec, weights: Mapping[str, WeightsLayout]) -> bool:
    """`learner.stacked` as true or false."""
    wanted = config.learner.stacked
    if wanted is False:
        return False
    obstacle = _obstacle(config)
    together = [names for names in bundles(config, spec) if len(names) > 1]
    if not obstacle and not together:
        obstacle = "no two policies of one learner process have networks of the same form"
    if wanted is True:
        if obstacle:
            _refuse("learner.stacked", "true", f"cannot be: {obstacle}.", 'Use "auto".')
        return True
    return not obstacle and all(
        _parameters(weights[name]) * config.learner.batch_size <= MOST_STACKED_WORK
        for names in together
        for name in names
    )


def _obstacle(config: Config) -> str:
    """Why networks of this config cannot be stacked; empty if they can (decision 0024)."""
    learner, how = config.learner, config.algorithm
    only = 'only networks "mlp" of algorithm "dqn", without noise and Munchausen, on the CPU can be'
    found = ""
    if learner.network != "mlp":
        found = f'learner.network is "{learner.network}"'
    elif how.name != "dqn":
        found = f'algorithm.name is "{how.name}"'
    elif how.noisy or how.munchausen:
        found = f"algorithm.{'noisy' if how.noisy else 'munchausen'} is true"
    elif learner.device != "cpu":
        found = f'learner.device is "{learner.device}"'
    return f"{found}, and {only}" if found else ""


def _parameters(layout: WeightsLayout) -> int:
    return sum(prod(shape) for _, _, shape in layout.entries)


def _with(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"learner": config.learner.model_copy(update=changes)})


def _refuse(key: str, value: str, message: str, suggestion: str = "") -> None:
    raise ConfigError([Problem(key, value, message, suggestion)])
