"""What has to come of a fault, for every cell of the matrix. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.faults.cases import ERRORS, Case, Outcome
from tuitrain.config.supervision import SupervisorConfig

SILENT = ("SIGKILL", "SIGSEGV", "exit 0")

TOLD_S = 1.5
"""From a worker's end until an event says so. A second is promised; in 500 cases on a machine with
four times the work that it can do 0.35 s were the most. The rest is for worse moments."""


@dataclass(frozen=True)
class Expected:
    """Attributes:
    outcomes: any of these is right.
    states: of an ended run, in its summary; its exit code must be that state's.
    named: the cause of a failed run names the worker.
    summary: whether an ended run must have one; a session that has not come up has none.
    """

    outcomes: frozenset[Outcome]
    states: frozenset[str] = frozenset()
    named: bool = False
    summary: bool = True


GOES_ON = Expected(frozenset({"goes on"}))
STOPPED = Expected(frozenset({"ends"}), frozenset({"stopped"}))
FAILED = Expected(frozenset({"ends"}), frozenset({"failed"}))
DIES = Expected(frozenset({"dies"}))


def expected(case: Case) -> Expected:
    """The declaration of a case's cell."""
    if case.role == "supervisor":
        return _of_supervisor(case)
    if case.moment == "booting":
        # nobody has worked yet: something is wrong with the program or the machine, and is told
        return Expected(frozenset({"ends"}), frozenset({"failed"}), named=True, summary=False)
    if case.moment == "booting again" and case.fault == "exception":
        return Expected(frozenset({"ends"}), frozenset({"failed"}), named=True)
    if case.where.provoke == "stop" or case.moment == "stopping":
        # whoever has nothing to save may fail on the way out; a learner that has not saved not
        return Expected(frozenset({"ends"}), frozenset({"stopped", "failed"}), named=True)
    return GOES_ON


def _of_supervisor(case: Case) -> Expected:
    ending = case.where.provoke == "stop"
    if case.fault in SILENT:
        return DIES
    if case.fault == "SIGSTOP":
        return STOPPED if ending else GOES_ON
    if case.fault == "SIGTERM":
        return replace(STOPPED, summary=case.moment != "booting")
    if case.fault in ERRORS:
        if case.moment == "booting":
            # what the run cannot do without ends it, or lets it not begin; anything else is told
            states = frozenset({"failed", "refused"})
            return Expected(frozenset({"ends", "goes on"}), states, summary=False)
        if ending:
            return Expected(frozenset({"ends"}), frozenset({"stopped"}), summary=False)
        return GOES_ON
    if ending:
        return Expected(frozenset({"ends"}), frozenset({"failed", "stopped"}), summary=False)
    if case.moment in ("watching", "booting", "listening"):
        return replace(FAILED, summary=case.moment != "booting")
    # of a command, or of something that is written, only that is lost
    return Expected(frozenset({"goes on", "ends"}), frozenset({"failed"}))


def deadline_s(case: Case, limits: SupervisorConfig) -> float:
    """How long a process that is stopped there may give no sign of life."""
    if case.moment == "booting" and case.role != "supervisor":
        return limits.startup_deadline_s
    if case.where.provoke == "stop" or case.moment == "stopping":
        return limits.stop_deadline_s
    return limits.progress_deadline_s


def told_within_s(case: Case, limits: SupervisorConfig) -> float | None:
    """How long after the fault an event must tell of it; None if none has to."""
    if case.role in ("supervisor", "client", "child"):
        return None
    if case.fault == "SIGSTOP":
        # a successor's start-up has a deadline that is longer than it is stopped
        return None if case.where.provoke == "restart" else deadline_s(case, limits) + TOLD_S
    if case.fault == "exit 0" and case.where.provoke == "stop":
        return None  # as it was asked to
    return TOLD_S if case.fault in (*SILENT, "SIGTERM", "exception") else None
