"""`[stop]` and `[hooks]`: what ends a run before its last step, and what it starts on its way."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuitrain.config.table import Table, unit

Command = Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)]
"""A command line for /bin/sh, or a program and its arguments."""


class StopConfig(Table):
    """`[stop]`: what ends a run before `run.total_steps`, as a planned end.

    Every rule looks at the present session alone: a resumed run starts anew.
    """

    eval_return: float | None = Field(
        None,
        json_schema_extra=unit("return"),
        description="End when one evaluation's mean return is at least this, of every policy (or "
        "of `stop.policy`). The mean of one evaluation is a matter of luck too: `eval.episodes` "
        "says how much.",
    )
    policy: str | None = Field(
        None,
        min_length=1,
        description="The policy whose evaluations `eval_return` and `no_improvement_evals` look "
        "at, instead of at all.",
    )
    wall_time_s: float | None = Field(
        None,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="End after so much training. Start-up, pauses and the machine's suspend do "
        "not count.",
    )
    no_improvement_evals: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("evaluations"),
        description="End when so many evaluations in a row have brought no policy (or not "
        "`stop.policy`) a new best mean return.",
    )


class HooksConfig(Table):
    """`[hooks]`: commands that the run starts when something has happened.

    Text is run by `/bin/sh -c`, a list as a program with arguments, both in the run's folder, with
    the facts in the environment (`TUITRAIN_...`) and as JSON on stdin. Training never waits for
    them; see the guide about unattended runs.
    """

    on_eval: Command | None = Field(
        None, description="After each evaluation (one at a time; if several come, the newest)."
    )
    on_checkpoint: Command | None = Field(
        None, description="After each checkpoint (one at a time; if several come, the newest)."
    )
    on_end: Command | None = Field(
        None,
        description="When the run has ended, also if it has failed; its end waits for the command.",
    )
    timeout_s: float = Field(
        60.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="A command that takes longer is killed, with all it has started.",
    )
