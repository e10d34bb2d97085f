"""The three schedules: who calls ``Actor.step`` and ``Learner.step``, where, and when.

This file only names the processes each schedule needs; it is torch-free, because the supervisor
reads it. The loops are in the modules beside it, and nothing else differs between schedules.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuitrain.config.schema import Config

EVALUATOR_NICE = 5
"""The evaluator yields to training when cores are short."""


@dataclass(frozen=True)
class RoleSpec:
    """One worker process of a schedule; `entry` is called as ``function(args, link)``."""

    name: str
    role: str
    index: int
    entry: str
    nice: int = 0


def learner_names(count: int) -> list[str]:
    """Names of the learner processes; the first one conducts."""
    return ["learner"] if count == 1 else [f"learner{i}" for i in range(count)]


def roles(config: Config) -> list[RoleSpec]:
    """The worker processes of a resolved config, learners first.

    Raises:
        ValueError: `actors.count` or `learner.processes` is not resolved.
    """
    if config.run.schedule == "sequential":
        return [RoleSpec("trainer", "trainer", 0, "tuitrain.schedules.sequential:run")]
    count = config.actors.count
    if not isinstance(count, int):
        raise ValueError("actors.count is not resolved")
    learners = config.learner.processes
    if not isinstance(learners, int):
        raise ValueError("learner.processes is not resolved")
    module = {
        "lockstep": "tuitrain.schedules.lockstep",
        "async": "tuitrain.schedules.asynchronous",
    }[config.run.schedule]
    out = [
        RoleSpec(name, "learner", i, f"{module}:run_learner")
        for i, name in enumerate(learner_names(learners))
    ]
    out += [RoleSpec(f"a{i}", "actor", i, f"{module}:run_actor") for i in range(count)]
    if config.eval.enabled:
        evaluator = "tuitrain.schedules.evaluation:run_evaluator"
        out.append(RoleSpec("eval", "evaluator", 0, evaluator, EVALUATOR_NICE))
    return out
