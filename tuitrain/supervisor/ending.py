"""How a run can end, and the exit code of each way."""

from __future__ import annotations

from dataclasses import dataclass

from tuitrain.protocol import RunState

EXIT_OK = 0
EXIT_CONFIG = 2
EXIT_FAILED = 3
EXIT_INTERRUPTED = 130

EXIT_CODES: dict[RunState, int] = {
    "finished": EXIT_OK,
    "stopped": EXIT_OK,
    "failed": EXIT_FAILED,
    "interrupted": EXIT_INTERRUPTED,
}
"""0 finished or stopped by its user; 2 config or usage; 3 failed; 130 Ctrl-C."""

KILLED = "killed by its user"
"""The reason of an end that `tuitrain kill` has asked for."""


@dataclass(frozen=True)
class End:
    """Why a run ends.

    Attributes:
        reason: in full, for the summary and whoever has started the run.
        brief: the same in a few words, for events, where the reason is an event of its own.
        checkpoint: whether the learner saves before it stops.
        hard: workers are killed without being asked.
        check: id of the check whose failure ends the run; the workers that live are sound.
    """

    state: RunState
    reason: str
    checkpoint: bool = True
    hard: bool = False
    brief: str = ""
    check: str = ""
