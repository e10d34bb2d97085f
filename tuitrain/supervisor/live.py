"""Changes of a living run: checked as a config is, written down, told to those who use them.

A change holds from when it is written down: who is started later, after a death, a return to a
checkpoint or a resume, is started with it. Those at work are told, and answer when they have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tuitrain.config.changes import changes_between, store_changes
from tuitrain.config.differences import deciding, is_reproducible
from tuitrain.config.emit import emit_value
from tuitrain.config.live import LIVE, differing, parsed, value_of
from tuitrain.config.problems import ConfigError
from tuitrain.config.schema import Config
from tuitrain.supervisor.clients.commands import Outcome
from tuitrain.supervisor.crew.worker import SAVERS, Worker
from tuitrain.supervisor.plan import Plan
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.settings import rescheduled


class Live:
    """Changes of one run."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run = run
        self._plan = plan
        self._number = 0
        self._lock = asyncio.Lock()

    async def change(
        self, assignments: Sequence[str], deadline_s: float | None
    ) -> tuple[bool, str, dict[str, Any]]:
        """Let these ``key=value`` hold, all of them or none; one call after the other.

        Returns:
            Whether all who use them have them, one line for a person, and values.
        """
        async with self._lock:  # the conductor's numbers must only grow
            return await self._change(assignments, deadline_s)

    async def _change(
        self, assignments: Sequence[str], deadline_s: float | None
    ) -> tuple[bool, str, dict[str, Any]]:
        run = self._run
        try:
            config = parsed(run.config, assignments)
        except ConfigError as error:
            return False, " ".join(str(p).removeprefix("--set ") for p in error.problems), {}
        before, values = run.config, differing(run.config, config)
        if not values:
            return True, "nothing is changed: these are the values", {}
        if why := self._written(config):
            return False, f"nothing is changed: {why}", {}
        was, workers = run.view.reproducible, dict(run.crew.workers)
        snapshot = run.snapshot()  # as it is before the change
        in_use = {s.key: f"; until now {s.now}" if s.now else "" for s in snapshot.settings}
        if in_use["learner.lr"] and (then := rescheduled(before, config, snapshot.policies)):
            schedule = config.learner.lr_schedule
            in_use["learner.lr"] += f", which its {schedule} schedule makes about {then}"
        self._hold(config)
        outcome = await self._tell(values, deadline_s)
        for names in (outcome.missing, outcome.unreachable):
            for name in [n for n in names if run.crew.workers.get(n) is not workers.get(n)]:
                names.remove(name)  # whoever is in its place now was started with the change
                outcome.ended.append(name)
        text = ", ".join(
            f"{key} = {emit_value(value)} (was {emit_value(value_of(before, key))}{in_use[key]})"
            for key, value in values.items()
        )
        count = len(outcome.acks) - len(outcome.refused)
        text += f"; {count} workers have it" if count != 1 else "; 1 worker has it"
        # whoever ended before it could answer has a successor that begins with it
        behind = [*outcome.missing, *outcome.unreachable, *outcome.refused]
        if run.config.run.schedule != "async":
            text += ", it holds from the next round on"
            for name in {worker.name for worker in self._conductors()}.intersection(behind):
                text += f" that {name} opens with it"
        if was and not run.view.reproducible:
            text += "; from now on the run is not reproducible from its seed"
        text += f"; {outcome.trouble()}" if outcome.trouble() else ""
        if behind:
            text += "; it is written down and holds for successors and resumes"
        for name in behind:
            late = ", or answers after all" if name in outcome.missing else ""
            text += (
                f"; {name} goes by the old value until it is started again{late}: "
                f"`tuitrain restart {run.folder.name} {name}`"
            )
        told = {key: {"old": value_of(before, key), "new": values[key]} for key in values}
        return not behind, text, outcome.result() | {"mark": "set", "changes": told}

    def _written(self, config: Config) -> str:
        """Write down what holds beside config.toml; why that cannot be done, or nothing."""
        run = self._run
        if lost := run.place.lost():
            return lost
        try:
            store_changes(run.folder, changes_between(run.given, config))
        except OSError as error:
            return f"{error.filename} cannot be written: {error.strerror}"
        return ""

    def _hold(self, config: Config) -> None:
        """Whoever is started from now on goes by it, and all that is shown does."""
        run, view = self._run, self._run.view
        blueprint = self._plan.changed(run.crew.blueprint, config)
        run.crew.change(config, blueprint)
        run.config = view.config = config
        view.policies = self._plan.policies(blueprint)
        view.reproducible = reproducible(run, self._plan, blueprint)

    async def _tell(self, values: dict[str, Any], deadline_s: float | None) -> Outcome:
        """In rounds the conductor is told last: it says from which one on a change holds."""
        run = self._run
        self._number += 1
        told = {"number": self._number, "values": values}
        roles = {*SAVERS, *(role for key in values for role in LIVE[key])}
        workers = run.crew.alive(roles)
        if run.config.run.schedule == "async":
            return await run.crew.command("set", workers, deadline_s=deadline_s, **told)
        others = [w for w in workers if w not in self._conductors()]
        outcome = await run.crew.command("set", others, deadline_s=deadline_s, **told)
        # looked up only now: meanwhile one may have died, and all have gone back together
        conductors = self._conductors()
        outcome.add(await run.crew.command("set", conductors, deadline_s=deadline_s, **told))
        return outcome

    def _conductors(self) -> list[Worker]:
        """Who opens the rounds, if it lives."""
        return [w for w in self._run.crew.alive(SAVERS) if w.spec.index == 0]


def reproducible(run: Run, plan: Plan, blueprint: Any) -> bool | None:
    """Whether all training until now follows from config.toml and seed; None where it never does.

    Args:
        blueprint: what the workers go by.
    """
    if run.config.run.schedule == "async":
        return None
    changes = deciding(changes_between(run.given, run.config))
    exact = not any(worker.told.get("begun_anew") for worker in run.crew.workers.values())
    return is_reproducible(exact=exact, before=plan.reproducible(blueprint), changes=changes)
