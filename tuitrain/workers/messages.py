"""The typed messages on the pipe between supervisor and worker, as JSON bytes.

Every message is small (under 16 KiB), so one ``send_bytes`` is one write and a worker stopped
half-way cannot leave the supervisor waiting for the rest of it. Torch-free: both ends import this.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_MESSAGE_BYTES = 16_000
"""Larger messages are refused by ``encode``; long texts are cut by whoever makes them."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


# ---- worker → supervisor ---------------------------------------------------------------------


class Ready(_Message):
    """The worker has built everything it needs."""

    kind: Literal["ready"] = "ready"
    pid: int
    spec_hash: str | None = None
    device: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class Heartbeat(_Message):
    """How far the worker is. Sent from the work loop itself; when the pipe is full it is skipped.

    Attributes:
        state: what the loop does now.
        wait: what it waits for, in words, when `state` is "waiting".
        progress: grows with every unit of work done; what hang detection looks at.
        counters: totals since the process started (steps, transitions, updates, episodes, ...)
            and gauges (epsilon, version, lag_updates, ...), each name with its unit.
        phases_s: seconds spent per phase since the process started.
    """

    kind: Literal["heartbeat"] = "heartbeat"
    state: Literal["running", "waiting", "paused", "finished"]
    wait: str | None = None
    progress: int = 0
    counters: dict[str, float] = Field(default_factory=dict)
    phases_s: dict[str, float] = Field(default_factory=dict)


class Record(_Message):
    """One line for metrics.jsonl. The supervisor adds `time_s` and `wall_s`."""

    kind: Literal["record"] = "record"
    record: dict[str, Any]


class Notice(_Message):
    """Something a user should read: it goes to events.jsonl, the event panel and the log."""

    kind: Literal["notice"] = "notice"
    level: Literal["info", "warning", "error"] = "info"
    text: str
    data: dict[str, Any] = Field(default_factory=dict)


class Ack(_Message):
    """A command has been carried out (not: received)."""

    kind: Literal["ack"] = "ack"
    command_id: int
    ok: bool = True
    result: dict[str, Any] = Field(default_factory=dict)


class Failed(_Message):
    """The last words of a worker that ends by an exception.

    Attributes:
        where: the line that raised, as `my_env.py:41 in step`; the user's own if there is one.
        progress: units of work it had done by then.
        blames_pid: the process that held a lock for which this worker has waited too long.
    """

    kind: Literal["failed"] = "failed"
    error_type: str
    message: str
    traceback: str
    where: str = ""
    progress: int = 0
    blames_pid: int | None = None


class Finished(_Message):
    """The worker has done all its work and waits for `Stop`."""

    kind: Literal["finished"] = "finished"
    result: dict[str, Any] = Field(default_factory=dict)


FromWorker = Annotated[
    Ready | Heartbeat | Record | Notice | Ack | Failed | Finished, Field(discriminator="kind")
]

# ---- supervisor → worker ---------------------------------------------------------------------


class Pause(_Message):
    """Stop between two units of work and acknowledge."""

    kind: Literal["pause"] = "pause"
    command_id: int


class Unpause(_Message):
    """Go on."""

    kind: Literal["unpause"] = "unpause"
    command_id: int


class Resync(_Message):
    """Actors take the newest weights (in `async`) and report the version and hash they hold."""

    kind: Literal["resync"] = "resync"
    command_id: int


class Checkpoint(_Message):
    """Learners write a checkpoint, or their parts of one, and acknowledge with what they wrote.

    Attributes:
        state: actors write their state too, and in schedules with rounds all wait with it for the
            end of the round: what is written then is of one moment.
        hold: who has saved does nothing more, as if paused: the run is about to stop.
    """

    kind: Literal["checkpoint"] = "checkpoint"
    command_id: int
    state: bool = False
    hold: bool = False


class Evaluate(_Message):
    """The evaluator evaluates the newest weights now."""

    kind: Literal["evaluate"] = "evaluate"
    command_id: int


class See(_Message):
    """Actor 0 tells what it sees of a policy; `workers.acting.sight` says how."""

    kind: Literal["see"] = "see"
    command_id: int
    policy: str


class Conclude(_Message):
    """The first learner (or the trainer) ends training as if the last step had been made.

    What is due is still learnt, the last weights are published, evaluated and saved.
    """

    kind: Literal["conclude"] = "conclude"
    command_id: int


class Set(_Message):
    """Go by other values from now on, or where there are rounds from the next one on.

    Attributes:
        number: of the change, one more than that of the one before.
        values: by dotted key of the config, all of ``config.live``.
    """

    kind: Literal["set"] = "set"
    command_id: int
    number: int
    values: dict[str, Any]


class Stop(_Message):
    """End cleanly; the learner writes a checkpoint first if asked."""

    kind: Literal["stop"] = "stop"
    command_id: int
    checkpoint: bool = True


ToWorker = Annotated[
    Pause | Unpause | Resync | Checkpoint | Evaluate | See | Conclude | Set | Stop,
    Field(discriminator="kind"),
]

_from_worker: TypeAdapter[FromWorker] = TypeAdapter(FromWorker)
_to_worker: TypeAdapter[ToWorker] = TypeAdapter(ToWorker)


def encode(message: FromWorker | ToWorker) -> bytes:
    """JSON bytes of a message.

    Raises:
        ValueError: the message is longer than ``MAX_MESSAGE_BYTES``.
    """
    data = message.model_dump_json().encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a {message.kind} message of {len(data)} bytes is too long to send")
    return data


def decode_from_worker(data: bytes) -> FromWorker:
    """Read what a worker sent. Raises ``pydantic.ValidationError`` on anything else."""
    return _from_worker.validate_json(data)


def decode_to_worker(data: bytes) -> ToWorker:
    """Read what the supervisor sent. Raises ``pydantic.ValidationError`` on anything else."""
    return _to_worker.validate_json(data)
