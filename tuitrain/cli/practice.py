"""`doctor --learn`: a rehearsal in a process of its own, then short runs in folders that go."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tuitrain.cli.aside import AsideError, ask
from tuitrain.cli.client import BlockingClient
from tuitrain.cli.errors import Refused
from tuitrain.cli.homes import home
from tuitrain.cli.smoke import ending_by_signals, train_for, under_supervisor
from tuitrain.config.runs import RunFolder, RunFolderError, new_run_id
from tuitrain.config.schema import Config
from tuitrain.diagnosis.checks import CHECKS
from tuitrain.diagnosis.diagnose import diagnose
from tuitrain.doctor.learning import Learned, Practice, Rehearsed, Score, Tried
from tuitrain.doctor.smoke import outlived, practised
from tuitrain.protocol import Snapshot
from tuitrain.supervisor.supervisor import THREAD_VARIABLES

REHEARSAL_SHARE = 0.25
"""Of the time there is; the runs have the rest in equal parts."""

START_S = 120.0
"""That a process may take until it plays, as `supervisor.startup_deadline_s`."""

EVALUATION_DEADLINE_S = 60.0

Tell = Callable[[str], None]


def learn(config: Config, agents: int, seconds: float, tell: Tell) -> Learned:
    """Try whether a config can learn.

    Args:
        config: resolved.
        agents: of one environment, under the policy that has most of them.
        seconds: of playing and learning, all together; starting processes comes on top.
    """
    try:
        rehearsed = _rehearse(config, REHEARSAL_SHARE * seconds, tell)
    except AsideError as error:
        return Learned(error=str(error))
    schedules = dict.fromkeys(("sequential", config.run.schedule))
    each = (1 - REHEARSAL_SHARE) * seconds / len(schedules)
    practices = [_practice(config, agents, name, each, tell) for name in schedules]
    return Learned(rehearsed, tuple(practices))


def _rehearse(config: Config, seconds: float, tell: Tell) -> dict[str, Rehearsed]:
    tell("rehearsing: random play, one batch")
    said: dict[str, Any] = {}

    def answered(line: dict[str, Any]) -> bool:
        said.update(line)
        return "rehearsed" in line

    with home() as folder, ending_by_signals():
        question = {
            "config": json.loads(config.model_dump_json()),
            "run_id": new_run_id(),
            "folder": str(folder),
            "seconds": seconds,
        }
        ask(
            "tuitrain.workers.asides.rehearse",
            json.dumps(question),
            answered,
            START_S + 2 * seconds,
            dict.fromkeys(THREAD_VARIABLES, str(config.run.threads_per_process)),
        )
    return {name: _rehearsed(data) for name, data in said["rehearsed"].items()}


def _rehearsed(data: dict[str, Any]) -> Rehearsed:
    played = data["random"] or {}
    return Rehearsed(
        random=Score.of(played.get("return_mean"), played.get("return_ci95")),
        rewarded_share=data["rewarded_share"],
        still_share=data["still_share"],
        transitions=data["transitions"],
        tried=tuple(Tried.of(one) for one in data["tried"]),
    )


def _practice(config: Config, agents: int, schedule: str, seconds: float, tell: Tell) -> Practice:
    def told(text: str) -> None:
        tell(f"{schedule} run: {text}")

    try:
        return under_supervisor(
            lambda home: practised(config, schedule, home, agents),
            told,
            partial(_measure, config=config, schedule=schedule, seconds=seconds, tell=told),
        )
    except (RunFolderError, Refused, OSError) as error:
        return Practice(schedule, error=str(error))


def _measure(
    folder: RunFolder, socket: Path, *, config: Config, schedule: str, seconds: float, tell: Tell
) -> Practice:
    with BlockingClient(socket) as client:
        first, last = train_for(client, seconds, tell)
        tell("evaluating")
        client.ask("evaluate", timeout_s=EVALUATION_DEADLINE_S)
        snapshot = Snapshot.model_validate(client.ask("status").result["snapshot"])
        client.ask("stop")
    checks = [c for c in snapshot.checks if not outlived(c.id, snapshot.steps, config)]
    wrong = diagnose(checks, CHECKS).wrong
    scores = {p.name: Score.of(p.eval_return_mean, p.eval_return_ci95) for p in snapshot.policies}
    return Practice(
        schedule,
        ran_s=last["elapsed_s"] - first["elapsed_s"],
        updates=sum(policy.updates for policy in snapshot.policies),
        wrong=tuple(
            (w.check.state, f"{w.headline} ({w.check.name} {w.check.value}) {w.check.advice}")
            for w in wrong
        ),
        checks=tuple(snapshot.checks),
        evaluated={name: score for name, score in scores.items() if score is not None},
    )
