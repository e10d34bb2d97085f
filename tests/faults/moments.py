"""The moments at which a fault can strike, by role: which functions of the program, what makes the
process come by them, and which of their system calls may fail. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Provoke = Literal[
    "", "start", "restart", "gate", "pause", "checkpoint", "stop", "evaluate", "beside"
]
"""What the harness does: nothing; start the run; kill the worker so that its successor starts; hold
the locks for a moment; pause; save; stop; ask for an evaluation; send the fault from outside."""

SIGNALS = ("SIGKILL", "SIGSEGV", "SIGTERM", "SIGSTOP")
FAULTS = (*SIGNALS, "exception", "exit 0")
ERRORS = ("ENOSPC", "EIO", "ENOMEM")


@dataclass(frozen=True)
class Moment:
    """Attributes:
    places: functions, `module:Qualified.name`, below `tuitrain.`.
    provoke: how the process is brought there.
    lines: `at` of drawn cases is between 1 and this.
    calls: system calls that may fail, with how many are tried of each; those made in `within`.
    errors: with which they do.
    schedules: in which the moment exists.
    """

    places: tuple[str, ...] = ()
    provoke: Provoke = ""
    lines: int = 12
    calls: tuple[tuple[str, int], ...] = ()
    schedules: tuple[str, ...] = ("async", "lockstep")
    faults: tuple[str, ...] = FAULTS
    within: tuple[str, ...] = ()
    errors: tuple[str, ...] = ERRORS


_ASYNC = ("async",)
_NO_FILE = ("EIO", "ENOMEM", "EMFILE")
_SAVE = (("open", 3), ("write", 2), ("fsync", 3), ("rename", 2), ("unlink", 1))
_MAKE = ("schedules.saving:Saves.make",)
_PULL = ("learning.weights:WeightStore.pull",)
_ACQUIRE = ("replay.lock:RWLock._acquire",)
_ASSEMBLE = "workers.stores:_assemble"
_ACTOR = "workers.acting.actor:Actor.__init__"
_LEARNER = ("workers.learners.learner:Learner.__init__", "schedules.learning:LearnerDesk.start")
_EVALUATOR = "workers.evaluating.evaluator:Evaluator.__init__"


def _boots(lines: int, *places: str) -> Moment:
    return Moment(places, "start", lines, (("mmap", 3),), within=("schedules.attaching:attached",))


def _boots_again(lines: int, *places: str) -> Moment:
    return Moment(places, "restart", lines, schedules=_ASYNC)


_OPENING_ITS_LOG = Moment(
    provoke="start",
    calls=(("open", 2),),
    schedules=_ASYNC,
    faults=(),
    within=("workers.child:_open_log",),
)
_GATE = Moment(("replay.lock:RWLock._wait_for",), "gate", 4, schedules=_ASYNC)
_WRITE = Moment(("replay.limiter:Limiter._add",))
_PAUSED = Moment(("workers.link:Link._hold",), "pause", 6)
_BESIDE = Moment(provoke="beside", lines=1, schedules=_ASYNC, faults=SIGNALS)
_CHILD = replace(_BESIDE, schedules=("child",))

_OF_ACTOR = {
    "booting": _boots(40, _ASSEMBLE, _ACTOR),
    "opening its log": _OPENING_ITS_LOG,
    "booting again": _boots_again(40, _ASSEMBLE, _ACTOR),
    "waiting for the gate": _GATE,
    "passing the gate": Moment(_ACQUIRE, lines=30),
    "holding a read lock": Moment(_PULL),
    "holding a write lock": _WRITE,
    "reserving": Moment(
        ("replay.limiter:Limiter.reserve", "replay.limiter_rule:LimiterRule.may_insert"),
        lines=40,
        schedules=_ASYNC,
    ),
    "reserving rows": Moment(
        ("replay.shard:ShardWriter.begin", "replay.shard:ShardWriter._move_tail"), lines=24
    ),
    "writing rows": Moment(
        ("replay.shard:ShardWriter.put_marks", "replay.shard:ShardWriter.put_outcome"), lines=30
    ),
    "committing": Moment(
        (
            "workers.acting.actor:Actor.commit",
            "replay.shard:ShardWriter.commit",
            "replay.limiter:Limiter.commit",
        ),
        lines=40,
    ),
    "stepping": Moment(("envs.lanes.vector:GymLanes.step",), lines=20),
    "checkpointing": Moment(
        (
            "workers.beginning.state_files:save_actor",
            "checkpoint.state:save_state",
            "checkpoint.files:put_durably",
            "schedules.saving:Saves.make",
        ),
        "checkpoint",
        40,
        (("open", 3), ("write", 5), ("fsync", 3), ("rename", 2), ("unlink", 1)),
        within=_MAKE,
    ),
    "paused": _PAUSED,
    "stopping": Moment(("schedules.acting:ActorDesk._last_words",), "stop", 2),
}

_OF_LEARNER = {
    "booting": _boots(40, _ASSEMBLE, *_LEARNER),
    "opening its log": _OPENING_ITS_LOG,
    "booting again": _boots_again(30, *_LEARNER),
    "waiting for the gate": _GATE,
    "passing the gate": Moment(_ACQUIRE, lines=30),
    "holding a read lock": Moment(("replay.reader:ReplayReader._pin_all",), lines=20),
    "holding a write lock": _WRITE,
    "pinning": Moment(("replay.reader:ReplayReader.pin",), lines=24),
    "sampling": Moment(("replay.reader:ReplayReader.sample",), lines=30),
    "learning": Moment(
        ("learning.dqn:DQN.update", "workers.learners.policy_learner:PolicyLearner.update"),
        lines=30,
    ),
    "publishing": Moment(
        (
            "learning.weights:WeightStore.publish",
            "learning.weights:WeightStore._fill",
            "learning.weights:WeightStore._record",
            "learning.weights:WeightStore._move",
        ),
        lines=20,
    ),
    "checkpointing": Moment(
        (
            "workers.learners.learner:Learner.save",
            "checkpoint.payload:save_part",
            "checkpoint.files:put_durably",
            "schedules.saving:Saves.make",
        ),
        "checkpoint",
        30,
        _SAVE,
        within=("workers.learners.learner:Learner.save",),
    ),
    "paused": _PAUSED,
    "stopping": Moment(("schedules.learning:LearnerDesk._last_words",), "stop", 2),
}

_OF_EVALUATOR = {
    "booting": _boots(30, _ASSEMBLE, _EVALUATOR),
    "opening its log": _OPENING_ITS_LOG,
    "booting again": _boots_again(30, _ASSEMBLE, _EVALUATOR),
    "waiting for the gate": _GATE,
    "passing the gate": Moment(_ACQUIRE, "evaluate", 10),
    "holding a read lock": Moment(_PULL, "evaluate", 10),
    "evaluating": Moment(("workers.evaluating.evaluator:Evaluator.evaluate",), "evaluate", 25),
    "saving best": Moment(
        ("workers.evaluating.best:Best.consider", "checkpoint.payload:write"),
        "evaluate",
        12,
        _SAVE,
        _ASYNC,
        within=("workers.evaluating.best:Best.consider",),
    ),
    "paused": _PAUSED,
    "stopping": Moment(("workers.link:Link._obey",), "stop", 8),
}

_OF_TRAINER = {
    "booting": Moment((_ASSEMBLE, "schedules.sequential:Trainer.__init__"), "start", 30),
    "holding a write lock": _WRITE,
    "committing": Moment(
        ("workers.acting.actor:Actor.commit", "replay.shard:ShardWriter.commit"), lines=30
    ),
    "learning": Moment(("learning.dqn:DQN.update",), lines=20),
    "publishing": Moment(
        ("learning.weights:WeightStore.publish", "learning.weights:WeightStore._move")
    ),
    "checkpointing": Moment(
        (
            "workers.learners.learner:Learner.save",
            "workers.beginning.state_files:save_actor",
            "checkpoint.files:put_durably",
        ),
        "checkpoint",
        40,
        (("open", 5), ("write", 6), ("fsync", 5), ("rename", 3)),
        within=_MAKE,
    ),
    "paused": _PAUSED,
}

_OF_SUPERVISOR = {
    "booting": Moment(
        (
            "supervisor.supervisor:Supervisor._start",
            "supervisor.house.house:House.claim",
            "workers.stores:create",
            "replay.segment:create",
        ),
        "start",
        60,
        (
            ("open", 36),
            ("write", 12),
            ("fsync", 3),
            ("rename", 3),
            ("fallocate", 4),
            ("mmap", 4),
        ),
        _ASYNC,
        within=(
            "supervisor.supervisor:Supervisor.run",
            "supervisor.supervisor:Supervisor._start",
        ),
    ),
    "watching": Moment(
        ("supervisor.watch:Watch.tick", "supervisor.snapshot:build_snapshot"), lines=60
    ),
    "measuring": Moment(
        calls=(("open", 12),),
        schedules=_ASYNC,
        faults=(),
        within=("supervisor.crew.gauges:Gauges.read",),
        errors=_NO_FILE,
    ),
    "looking at its house": Moment(
        calls=(("open", 1),),
        schedules=_ASYNC,
        faults=(),
        within=("supervisor.house.keeper:Keeper.look",),
        errors=_NO_FILE,
    ),
    "listening": Moment(("supervisor.crew.crew:Crew._on_message",), lines=20),
    "writing metrics": Moment(
        ("metrics.sinks:JsonlSink.write",),
        lines=8,
        calls=(("write", 2),),
        schedules=_ASYNC,
        within=("metrics.sinks:JsonlSink.write",),
    ),
    "checkpointing": Moment(
        (
            "supervisor.clients.requests:Requests._checkpoint",
            "supervisor.saving:checkpoint_of",
            "checkpoint.joining:join",
            "checkpoint.pruning:prune",
        ),
        "checkpoint",
        50,
        (("open", 14), *_SAVE[1:-1], ("unlink", 3)),
        within=("supervisor.saving:checkpoint_of",),
    ),
    "paused": Moment(
        ("supervisor.clients.requests:Requests._pause", "supervisor.watch:Watch.tick"),
        "pause",
        20,
    ),
    "stopping": Moment(
        (
            "supervisor.stopping:stop_crew",
            "supervisor.supervisor:Supervisor._clean_up",
            "supervisor.house.house:House.release",
        ),
        "stop",
        50,
    ),
    "summing up": Moment(
        ("supervisor.summary:summarise", "supervisor.summary:write_summary"),
        "stop",
        4,
        (("open", 2), ("write", 2), ("fsync", 2), ("rename", 2)),
        _ASYNC,
        within=("supervisor.summary:write_summary",),
    ),
}

MOMENTS: dict[str, dict[str, Moment]] = {
    "actor": _OF_ACTOR,
    "learner": _OF_LEARNER,
    "evaluator": _OF_EVALUATOR,
    "trainer": {
        name: replace(moment, schedules=("sequential",)) for name, moment in _OF_TRAINER.items()
    },
    "supervisor": _OF_SUPERVISOR,
    "client": {"reading": _BESIDE, "waiting for an answer": _BESIDE},
    "child": {
        "stepping": _CHILD,
        "paused": _CHILD,
        "stopping": _CHILD,
        "orphaned": replace(_CHILD, faults=SIGNALS[:3]),
    },
}
"""`child` as a schedule is `async` with environments that have processes of their own. `orphaned`:
the fault strikes the actor, and none of these may be left."""
