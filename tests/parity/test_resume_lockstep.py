"""▣ A `lockstep` run that went on from a checkpoint is the one that was never interrupted.

Through real processes: all save at one boundary between two rounds, while nobody moves, and go on
from there, the evaluator too.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet, Outcome
from tests.parity.cases import config
from tests.parity.savers import ROUND
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.parts import Part, State
from tuitrain.checkpoint.payload import load
from tuitrain.config.schema import Config

pytestmark = pytest.mark.xdist_group("fleet")

SAVER = {
    "learner": "tests.parity.savers:run_learner",
    "actor": "tests.parity.savers:run_actor",
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "prioritized, noisy, stacked frames": (
        "cartpole",
        {
            "n_frames": 3,
            "n_step": 3,
            "replay": {"prioritized": True},
            "algorithm": {"noisy": True},
        },
    ),
    "two policies, two learners": ("two-policies", {"learner": {"processes": 2}}),
}


def evaluations(outcome: Outcome, after: int = 0) -> list[Any]:
    """In order; of those after so many steps."""
    return sorted(found for found in outcome.evaluations() if found[1] > after)


def episodes(outcome: Outcome, until: float = math.inf) -> int:
    """How many its `train` records tell of, up to so many steps."""
    told = [r for r in outcome.records if r["kind"] == "train" and r["steps"] <= until]
    return sum(r["episodes"] for r in told)


def join_saved(outcome: Outcome, folder: Path) -> Path:
    """What its workers have saved becomes one checkpoint."""
    parts = [Part.read(answer["part"]) for answer in outcome.saved if "part" in answer]
    states = [State.read(fields) for answer in outcome.saved for fields in answer.get("states", ())]
    return join(folder / "checkpoints", parts, sorted(outcome.fingerprint), keep=3, states=states)


@pytest.mark.parametrize("name", CASES)
def test_it_ends_with_the_same_bytes(fleet: Fleet, name: str, tmp_path: Path) -> None:
    environment, tables = CASES[name]
    case: Config = config(environment, "lockstep", **tables)
    straight = fleet.run(case)
    saved = fleet.run(case, folder=tmp_path, save=True, entries=SAVER)
    assert saved.fingerprint == straight.fingerprint, "saving has changed what was trained"
    checkpoint = join_saved(saved, tmp_path)

    resumed = fleet.run(case, folder=tmp_path)

    assert resumed.fingerprint == straight.fingerprint
    assert resumed.totals == straight.totals
    first = min(found[1] for found in evaluations(resumed))
    later = [found for found in evaluations(straight) if found[1] >= first]
    assert evaluations(resumed) == later
    before = episodes(saved, until=load(checkpoint)["steps"])
    assert before + episodes(resumed) == episodes(straight), "episodes told of twice, or never"
    assert 0 < len(later) < len(evaluations(straight)), f"not saved after round {ROUND}"


def test_all_can_save_after_the_last_round(fleet: Fleet, tmp_path: Path) -> None:
    """Nobody has left for the end by then, and what is owed is made by who goes on."""
    environment, tables = CASES["two policies, two learners"]
    case: Config = config(environment, "lockstep", **tables)
    last = {"learner": "tests.parity.savers:run_learner_to_the_end"}
    saved = fleet.run(case, folder=tmp_path, save=True, entries=last)
    join_saved(saved, tmp_path)

    resumed = fleet.run(case, folder=tmp_path)

    assert resumed.fingerprint == saved.fingerprint
    assert resumed.totals == saved.totals
    assert saved.totals.steps >= case.run.total_steps
