"""What is said of a restart before it is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tui.fixtures import snapshot
from tuitrain.diagnosis.restarting import cost_of_restart


@pytest.mark.parametrize(
    ("worker", "fields", "words"),
    [
        ("a0", {}, "its episodes begin anew"),
        ("eval", {}, "is made again"),
        ("learner", {}, "from the newest checkpoint (60 s old): its updates since are lost"),
        ("learner", {"last_checkpoint": None}, "the weights that this session began with"),
        ("a0", {"schedule": "lockstep"}, "all workers go back together, to the newest checkpoint"),
        ("a0", {"schedule": "lockstep", "last_checkpoint": None}, "where this session began"),
        ("nobody", {}, ""),
    ],
)
def test_what_a_restart_costs(worker: str, fields: dict[str, Any], words: str) -> None:
    now = snapshot(
        **{"schedule": "async", "last_checkpoint": "x", "last_checkpoint_age_s": 60.0} | fields
    )
    said = cost_of_restart(now, worker)
    assert words in said
    assert bool(words) == bool(said)
