"""The `[algorithm]` table: what is learned about returns. See ``schema`` for the others."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuitrain.config.table import Table, unit


class AlgorithmConfig(Table):
    """`[algorithm]`: what is learned about returns. `learner.double`, `learner.dueling`,
    `learner.n_step` and `replay.prioritized` go with each name; see `munchausen`."""

    preset: Literal["dqn", "ddqn", "c51", "qr-dqn", "iqn", "m-iqn", "rainbow"] | None = Field(
        None,
        description="Sets the defaults of this and other tables to a published algorithm's; keys "
        "that are given win.",
    )
    name: Literal["dqn", "c51", "qr-dqn", "iqn"] = Field(
        "dqn",
        description="`dqn`: expected returns (Mnih et al. 2015); their distribution as `c51` "
        "(Bellemare et al. 2017), `qr-dqn` (Dabney et al. 2018a) or `iqn` (Dabney et al. 2018b).",
    )
    noisy: bool = Field(
        False,
        description="Noisy layers in the heads instead of epsilon (Fortunato et al. 2018); set "
        "`exploration.epsilon_start` and `epsilon_end` to 0 to explore by noise alone.",
    )
    noisy_sigma: float = Field(0.5, gt=0, le=10, description="Initial noise of noisy layers.")
    atoms: int = Field(
        51,
        ge=2,
        le=1001,
        json_schema_extra=unit("atoms"),
        description="`c51`: returns that probabilities are given to.",
    )
    v_min: float = Field(
        -10.0, json_schema_extra=unit("return"), description="`c51`: the lowest of them."
    )
    v_max: float = Field(
        10.0, json_schema_extra=unit("return"), description="`c51`: the highest of them."
    )
    quantiles: int = Field(
        64,
        ge=1,
        le=1024,
        json_schema_extra=unit("quantiles"),
        description="`qr-dqn`: quantiles per action. `iqn`: fractions drawn for each state.",
    )
    target_quantiles: int = Field(
        64,
        ge=1,
        le=1024,
        json_schema_extra=unit("quantiles"),
        description="`iqn`: fractions drawn for each next state.",
    )
    acting_quantiles: int = Field(
        32,
        ge=1,
        le=1024,
        json_schema_extra=unit("quantiles"),
        description="`iqn`: evenly spaced fractions that actions are chosen by.",
    )
    cosines: int = Field(
        64,
        ge=1,
        le=1024,
        json_schema_extra=unit("features"),
        description="`iqn`: cosines that a fraction is described by.",
    )
    kappa: float = Field(
        1.0,
        gt=0,
        json_schema_extra=unit("TD error"),
        description="`qr-dqn`, `iqn`: where the quantile Huber loss becomes linear.",
    )
    munchausen: bool = Field(
        False,
        description="Add the scaled log-probability of the action to the reward, and bootstrap "
        "from a softmax policy (Vieillard et al. 2020); with `iqn` this is M-IQN. Needs "
        "`learner.n_step = 1`; `learner.double` then has no meaning.",
    )
    munchausen_scale: float = Field(
        0.9, ge=0, le=1, description="Share of the log-probability that is added."
    )
    munchausen_temperature: float = Field(
        0.03, gt=0, json_schema_extra=unit("Q"), description="Temperature of the softmax policy."
    )
    munchausen_clip: float = Field(
        -1.0,
        le=0,
        json_schema_extra=unit("reward"),
        description="The least that temperature times log-probability may be.",
    )
