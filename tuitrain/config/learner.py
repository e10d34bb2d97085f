"""`[learner]`: the network, its update, and how updates are dealt over processes."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field

from tuitrain.config.table import Table, unit


class LearnerConfig(Table):
    """`[learner]`: the update."""

    network: str = Field(
        "mlp",
        description="`mlp`, `nature`, `minatar`, `package.module:factory` or `file.py:factory`.",
    )
    network_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Keyword arguments for the network, e.g. `{hidden = [120, 84]}` for `mlp`.",
    )
    dueling: bool = Field(False, description="Dueling heads (Wang et al. 2016), own networks only.")
    double: bool = Field(True, description="Double DQN target (van Hasselt et al. 2016).")
    n_step: int = Field(
        1,
        ge=1,
        le=64,
        json_schema_extra=unit("environment steps"),
        description="Steps summed before the bootstrap.",
    )
    gamma: float = Field(
        0.99,
        ge=0,
        le=1,
        json_schema_extra=unit("per environment step"),
        description="Discount per environment step.",
    )
    batch_size: int = Field(
        128,
        ge=1,
        le=65_536,
        json_schema_extra=unit("transitions"),
        description="Transitions per gradient batch.",
    )
    grad_accumulation: int = Field(
        1,
        ge=1,
        le=1024,
        json_schema_extra=unit("batches"),
        description="Batches whose gradients are averaged into one update.",
    )
    replay_ratio: float = Field(
        0.1,
        ge=1e-4,
        le=64,
        json_schema_extra=unit("updates per transition"),
        description="Updates per committed transition, of each policy.",
    )
    loss: Literal["huber", "mse"] = Field(
        "huber",
        description="Loss on the TD error, of algorithm `dqn`; others have losses of their own.",
    )
    huber_delta: float = Field(
        1.0,
        gt=0,
        json_schema_extra=unit("TD error"),
        description="Where the Huber loss becomes linear.",
    )
    lr: float = Field(5e-4, gt=0, le=1, description="Learning rate of Adam at update 0.")
    lr_end: float = Field(0.0, ge=0, le=1, description="Learning rate when a schedule has ended.")
    lr_schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="Course of the learning rate, in updates."
    )
    lr_schedule_updates: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("updates"),
        description="Length of the lr schedule in updates; default: the updates the run will make, "
        "planned for agents that are always there. The policy of one that is often absent makes "
        "fewer, and comes to no end of its schedule unless you say less here.",
    )
    adam_eps: float = Field(1e-8, gt=0, le=1, description="Adam's epsilon.")
    max_grad_norm: float = Field(
        10.0,
        ge=0,
        json_schema_extra=unit("L2 norm"),
        description="Gradient norm above which gradients are scaled down; 0 is never.",
    )
    target_update_every_updates: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("updates"),
        description="Copy the online network to the target every so many updates. "
        "Not together with `tau`; if neither is given, 500.",
    )
    tau: float | None = Field(
        None,
        gt=0,
        le=1,
        json_schema_extra=unit("per update"),
        description="Soft target update per update: target += tau*(online-target).",
    )
    publish_every_updates: int = Field(
        10,
        ge=1,
        json_schema_extra=unit("updates"),
        description="`async`: updates between two publications of weights to actors.",
    )
    processes: Annotated[int, Field(ge=1, le=1024)] | Literal["per-policy"] = Field(
        1,
        json_schema_extra=unit("learner processes"),
        description="`lockstep` and `async`: processes that learn; policies are dealt to them in "
        "order, at most one process each. `per-policy` is one for every policy.",
    )
    stacked: bool | Literal["auto"] = Field(
        "auto",
        description="Train policies that learn in one process and have networks of one form as one "
        "stacked model: the built-in `mlp` of algorithm `dqn` on the CPU. `auto`: where that is "
        "faster, that is with at most 4,000,000 parameters × `batch_size`.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto` (cuda if there is one), `cpu` or `cuda[:N]`.",
    )

    @property
    def updates_per_transition(self) -> Fraction:
        """`replay_ratio` as the exact fraction that the limiter counts with."""
        return Fraction(str(self.replay_ratio)).limit_denominator(1_000_000)
