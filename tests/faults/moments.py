"""The moments at which a fault can strike, by role: which functions of the program, what makes the
process come by them, and which of their system calls may fail. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Provoke = Literal[
    "", "start", "restart", "gate", "pause", "checkpoint", "stop", "evaluate", "beside"
]
"""What the harness does: nothing; start the run; kill the worker so that its successor starts; hold
the locks for a moment; pause; save; stop; ask for an evaluation; send the fault from outside."""

SIGNALS = ("SIGKILL", "SIGSEGV", "SIGTERM", "SIGSTOP")
FAULTS = (*SIGNALS, "exception", "exit 0")


@dataclass(frozen=True)
class Moment:
    """Attributes:
    places: functions, `module:Qualified.name`, below `tuitrain.`.
    provoke: how the process is brought there.
    lines: `at` of drawn cases is between 1 and this.
    calls: system calls that may fail, with how many are tried of each; those made in `within`.
    schedules: in which the moment exists.
    """

    places: tuple[str, ...] = ()
    provoke: Provoke = ""
    lines: int = 12
    calls: tuple[tuple[str, int], ...] = ()
    schedules: tuple[str, ...] = ("async", "lockstep")
    faults: tuple[str, ...] = FAULTS
    within: tuple[str, ...] = ()


_SAVE = (("open", 3), ("write", 2), ("fsync", 3), ("rename", 2))
_MAP = (("mmap", 3),)
_ATTACHED = ("schedules.attaching:attached",)
_MAKE = ("schedules.saving:Saves.make",)
_GATE = Moment(("replay.lock:RWLock._wait_for",), "gate", 4, schedules=("async",))
_WRITE = Moment(("replay.limiter:Limiter._add",), "", 12)
_PAUSED = Moment(("workers.link:Link._hold",), "pause", 6)
_LOG = Moment(
    (),
    "start",
    calls=(("open", 2),),
    schedules=("async",),
    faults=(),
    within=("workers.child:_open_log",),
)

MOMENTS: dict[str, dict[str, Moment]] = {
    "actor": {
        "booting": Moment(
            ("workers.stores:_assemble", "workers.acting.actor:Actor.__init__"),
            "start",
            40,
            _MAP,
            within=_ATTACHED,
        ),
        "opening its log": _LOG,
        "booting again": Moment(
            ("workers.stores:_assemble", "workers.acting.actor:Actor.__init__"),
            "restart",
            40,
            schedules=("async",),
        ),
        "waiting for the gate": _GATE,
        "passing the gate": Moment(("replay.lock:RWLock._acquire",), "", 30),
        "holding a read lock": Moment(("learning.weights:WeightStore.pull",), "", 12),
        "holding a write lock": _WRITE,
        "reserving": Moment(
            ("replay.limiter:Limiter.reserve", "replay.limiter_rule:LimiterRule.may_insert"),
            "",
            40,
            schedules=("async",),
        ),
        "reserving rows": Moment(
            ("replay.shard:ShardWriter.begin", "replay.shard:ShardWriter._move_tail"), "", 24
        ),
        "writing rows": Moment(
            ("replay.shard:ShardWriter.put_marks", "replay.shard:ShardWriter.put_outcome"), "", 30
        ),
        "committing": Moment(
            (
                "workers.acting.actor:Actor.commit",
                "replay.shard:ShardWriter.commit",
                "replay.limiter:Limiter.commit",
            ),
            "",
            40,
        ),
        "stepping": Moment(("envs.lanes.vector:GymLanes.step",), "", 20),
        "checkpointing": Moment(
            (
                "workers.beginning.state_files:save_actor",
                "checkpoint_state:save_state",
                "checkpoint_files:put_durably",
                "schedules.saving:Saves.make",
            ),
            "checkpoint",
            40,
            (("open", 3), ("write", 5), ("fsync", 3), ("rename", 2)),
            within=_MAKE,
        ),
        "paused": _PAUSED,
        "stopping": Moment(("schedules.acting:ActorDesk._last_words",), "stop", 2),
    },
    "learner": {
        "booting": Moment(
            (
                "workers.stores:_assemble",
                "workers.learners.learner:Learner.__init__",
                "schedules.learning:LearnerDesk.start",
            ),
            "start",
            40,
            _MAP,
            within=_ATTACHED,
        ),
        "opening its log": _LOG,
        "booting again": Moment(
            ("workers.learners.learner:Learner.__init__", "schedules.learning:LearnerDesk.start"),
            "restart",
            30,
            schedules=("async",),
        ),
        "waiting for the gate": _GATE,
        "passing the gate": Moment(("replay.lock:RWLock._acquire",), "", 30),
        "holding a read lock": Moment(("replay.reader:ReplayReader._pin_all",), "", 20),
        "holding a write lock": _WRITE,
        "pinning": Moment(("replay.reader:ReplayReader.pin",), "", 24),
        "sampling": Moment(("replay.reader:ReplayReader.sample",), "", 30),
        "learning": Moment(
            ("learning.dqn:DQN.update", "workers.learners.policy_learner:PolicyLearner.update"),
            "",
            30,
        ),
        "publishing": Moment(
            (
                "learning.weights:WeightStore.publish",
                "learning.weights:WeightStore._fill",
                "learning.weights:WeightStore._record",
                "learning.weights:WeightStore._move",
            ),
            "",
            20,
        ),
        "checkpointing": Moment(
            (
                "workers.learners.learner:Learner.save",
                "checkpoint:save_part",
                "checkpoint_files:put_durably",
                "schedules.saving:Saves.make",
            ),
            "checkpoint",
            30,
            _SAVE,
            within=("workers.learners.learner:Learner.save",),
        ),
        "paused": _PAUSED,
        "stopping": Moment(("schedules.learning:LearnerDesk._last_words",), "stop", 2),
    },
    "evaluator": {
        "booting": Moment(
            ("workers.stores:_assemble", "workers.evaluating.evaluator:Evaluator.__init__"),
            "start",
            30,
            _MAP,
            within=_ATTACHED,
        ),
        "opening its log": _LOG,
        "booting again": Moment(
            ("workers.stores:_assemble", "workers.evaluating.evaluator:Evaluator.__init__"),
            "restart",
            30,
            schedules=("async",),
        ),
        "waiting for the gate": _GATE,
        "passing the gate": Moment(("replay.lock:RWLock._acquire",), "evaluate", 10),
        "holding a read lock": Moment(("learning.weights:WeightStore.pull",), "evaluate", 10),
        "evaluating": Moment(("workers.evaluating.evaluator:Evaluator.evaluate",), "evaluate", 25),
        "saving best": Moment(
            ("workers.evaluating.best:Best.consider", "checkpoint:write"),
            "evaluate",
            12,
            _SAVE,
            ("async",),
            within=("workers.evaluating.best:Best.consider",),
        ),
        "paused": _PAUSED,
        "stopping": Moment(("workers.link:Link._obey",), "stop", 8),
    },
    "trainer": {
        "booting": Moment(
            ("workers.stores:_assemble", "schedules.sequential:Trainer.__init__"),
            "start",
            30,
            schedules=("sequential",),
        ),
        "holding a write lock": Moment(
            ("replay.limiter:Limiter._add",), "", 12, schedules=("sequential",)
        ),
        "committing": Moment(
            ("workers.acting.actor:Actor.commit", "replay.shard:ShardWriter.commit"),
            "",
            30,
            schedules=("sequential",),
        ),
        "learning": Moment(("learning.dqn:DQN.update",), "", 20, schedules=("sequential",)),
        "publishing": Moment(
            ("learning.weights:WeightStore.publish", "learning.weights:WeightStore._move"),
            "",
            12,
            schedules=("sequential",),
        ),
        "checkpointing": Moment(
            (
                "workers.learners.learner:Learner.save",
                "workers.beginning.state_files:save_actor",
                "checkpoint_files:put_durably",
            ),
            "checkpoint",
            40,
            (("open", 5), ("write", 6), ("fsync", 5), ("rename", 3)),
            ("sequential",),
            within=_MAKE,
        ),
        "paused": Moment(("workers.link:Link._hold",), "pause", 6, schedules=("sequential",)),
    },
    "supervisor": {
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
            ("async",),
            within=(
                "supervisor.supervisor:Supervisor.run",
                "supervisor.supervisor:Supervisor._start",
            ),
        ),
        "watching": Moment(
            ("supervisor.watch:Watch.tick", "supervisor.snapshot:build_snapshot"), "", 60
        ),
        "listening": Moment(("supervisor.crew.crew:Crew._on_message",), "", 20),
        "writing metrics": Moment(
            ("metrics.sinks:JsonlSink.write",),
            "",
            8,
            (("write", 2),),
            ("async",),
            within=("metrics.sinks:JsonlSink.write",),
        ),
        "checkpointing": Moment(
            (
                "supervisor.clients.requests:Requests._checkpoint",
                "supervisor.saving:checkpoint_of",
                "checkpoint_files:join",
                "checkpoint_files:prune",
            ),
            "checkpoint",
            50,
            (("open", 14), *_SAVE[1:]),
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
            ("async",),
            within=("supervisor.summary:write_summary",),
        ),
    },
    "client": {
        "reading": Moment((), "beside", 1, schedules=("async",), faults=SIGNALS),
        "waiting for an answer": Moment((), "beside", 1, schedules=("async",), faults=SIGNALS),
    },
    "child": {
        "stepping": Moment((), "beside", 1, schedules=("child",), faults=SIGNALS),
        "paused": Moment((), "beside", 1, schedules=("child",), faults=SIGNALS),
        "stopping": Moment((), "beside", 1, schedules=("child",), faults=SIGNALS),
        "orphaned": Moment((), "beside", 1, schedules=("child",), faults=SIGNALS[:3]),
    },
}
"""`child` as a schedule is `async` with environments that have processes of their own. `orphaned`:
the fault strikes the actor, and none of these may be left."""
