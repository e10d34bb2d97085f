"""`[supervisor]`: how long things may take, and how much memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuitrain.config.table import Table, unit


class SupervisorConfig(Table):
    """`[supervisor]`: deadlines and limits. Deadlines bound waits; none is a pause."""

    heartbeat_s: float = Field(
        0.5,
        gt=0,
        le=60,
        json_schema_extra=unit("seconds"),
        description="Seconds between heartbeats.",
    )
    startup_deadline_s: float = Field(
        120.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="A worker must report ready within this many seconds.",
    )
    progress_deadline_s: float = Field(
        300.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="A worker that neither advances nor waits for this long has hung: it is "
        "killed, and where it hung is told. One that has needed a third of it for a unit of work, "
        "or longer, gets three times what it has needed.",
    )
    phase_deadline_s: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        json_schema_extra=unit("seconds"),
        description="The same for single phases, instead of `progress_deadline_s`, e.g. "
        '`{ "env step" = 30.0, update = 60.0 }`. Phases: `act`, `env step`, `commit` of actors; '
        "`sample`, `copy`, `update`, `priorities`, `publish`, `save` of learners; `audit` of both; "
        "`evaluate` is a step of an evaluation.",
    )
    stop_deadline_s: float = Field(
        20.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="Workers get this long to stop before they are killed, saving included, which "
        "gets three fifths of it. One that does not end by SIGTERM then is killed 2 s later.",
    )
    lock_deadline_s: float = Field(
        10.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="A lock wait longer than this is an error that names the holder.",
    )
    max_restarts: int = Field(
        5,
        ge=0,
        le=1000,
        json_schema_extra=unit("restarts"),
        description="How often a worker that dies is started again within `restart_period_s`; one "
        "death more ends the run. 0: the first death does. Every worker is counted for itself, but "
        "in `sequential` and `lockstep`, where all go back to the newest checkpoint together, all "
        "deaths are.",
    )
    restart_period_s: float = Field(
        300.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="Period within which deaths are counted against `max_restarts`.",
    )
    worker_memory_limit_mib: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("MiB"),
        description="A worker that has grown over this is killed before the machine is short of "
        "memory. Shared memory does not count, processes of its environment do not either.",
    )
