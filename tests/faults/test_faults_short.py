"""The fault matrix in small: every role and every kind of fault once; `make faults` is all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import run_lot
from tests.faults.cases import Case

CASES = {
    "async": [
        "async/actor/committing:22/SIGKILL",
        "async/learner/publishing:14/SIGSEGV",
        "async/evaluator/evaluating:20/exit 0",
        "async/actor/holding a write lock:3/SIGSTOP",
        "async/client/reading:1/SIGKILL",
        "async/supervisor/writing metrics:write 1/ENOSPC",
        "async/supervisor/watching:9/SIGKILL",
        "async/supervisor/booting:fallocate 2/ENOMEM",
    ],
    "more of async": [
        "async/learner/checkpointing:rename 1/EIO",
        "async/supervisor/checkpointing:unlink 1/EIO",
        "async/supervisor/measuring:open 1/EMFILE",
        "async/supervisor/checkpointing:3/SIGTERM",
        "async/actor/waiting for the gate:2/SIGTERM",
        "async/learner/checkpointing:12/exception",
        "async/learner/checkpointing:write 1/ENOSPC",
        "async/evaluator/saving best:rename 1/EIO",
        "async/actor/paused:2/SIGKILL",
        "async/actor/stopping:1/SIGKILL",
    ],
    "lockstep": ["lockstep/actor/committing:7/SIGKILL"],
    "sequential": ["sequential/trainer/learning:5/SIGKILL"],
    "child": ["child/child/stepping:1/SIGKILL"],
}

LONG = pytest.mark.long
LONG_LOTS = "more of async", "lockstep", "sequential"
"""`make stress` has them. A run that goes back is in `tests/e2e/test_restarts.py`, too."""


@pytest.mark.timeout(900)  # on a machine that does much else besides
@pytest.mark.parametrize(
    "lot", [pytest.param(lot, marks=LONG) if lot in LONG_LOTS else lot for lot in CASES]
)
def test_faults(lot: str, tmp_path: Path) -> None:
    cases = list(enumerate(map(Case.parse, CASES[lot])))
    # the run of `child` differs from `async` in its environment, and no file is of that
    for _, result in run_lot(cases, 1, tmp_path, and_disk=lot != "child"):
        assert result.problems == [], result.name
        assert result.outcome != "passed"
