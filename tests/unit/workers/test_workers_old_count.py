"""An actor that goes by another step count than the run's explores otherwise, and that is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.diagnosis.healthy import snapshot
from tests.unit.workers.one_actor import CHUNK_STEPS, one_actor
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import BY_ID
from tuitrain.protocol import CheckView, ProcessView
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.supervisor.measured import compare_epsilons

MADE = 50_000
"""Steps of the run, half of those over which epsilon falls from 1 to 0."""


def judged(folder: Path, told: int) -> CheckView:
    """The check of one that acts after `told` steps, as it knows."""
    falls = {"epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_decay_steps": 2 * MADE}
    with one_actor(folder, exploration=falls) as (blueprint, stores):
        actor = build_actor(blueprint, stores, 0)
        actor.pull()
        actor.begin(Ticket(told, (0,)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        actor.close()
        view = ProcessView(
            name="a0", role="actor", state="running", epsilon=actor.epsilon, rate=1e4, beat_age_s=0
        )
        compare_epsilons([view], blueprint.config, MADE, steps_per_s=1e4, age_s=0.0)
    return BY_ID["epsilon"].run(snapshot(processes=[view]), ChecksConfig())


def test_the_runs_count_gives_the_planned_epsilon(tmp_path: Path) -> None:
    assert judged(tmp_path, MADE).state == "ok"


@pytest.mark.parametrize("told", [0, MADE // 2, 2 * MADE])
def test_a_wrong_count_is_seen(tmp_path: Path, told: int) -> None:
    row = judged(tmp_path, told)
    assert row.state == "fail"
    assert f"a0 acts with epsilon {1 - told / (2 * MADE):.2f}"[:-1] in row.advice
