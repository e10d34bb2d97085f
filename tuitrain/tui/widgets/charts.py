"""Which curves belong on which chart, in the order of the screen."""

from __future__ import annotations

from dataclasses import dataclass

MOST_POLICIES = 12
"""On one chart: as many as colours and patterns tell apart."""


@dataclass(frozen=True)
class Shown:
    """One curve of a chart: a field of a record kind."""

    label: str
    kind: str
    field: str
    best: bool = False
    """Show the running maximum instead of the values."""
    single: bool = False
    """Every value counts by itself and is shown as it is, not in means of stretches."""
    span: tuple[str, str] | None = None
    """Fields with the lowest and the highest of what the field is the mean of."""


@dataclass(frozen=True)
class Chart:
    """A chart of the screen."""

    title: str
    curves: tuple[Shown, ...]
    unit: str = ""
    log_y: bool = False
    main: int = 0
    """Which curve stands for the chart where each policy, or another run, has room for one."""


RETURN = Chart(
    "Return",
    (
        Shown("train", "train", "return_mean", span=("return_min", "return_max")),
        Shown("eval", "eval", "return_mean", single=True),
        Shown("best", "eval", "return_mean", best=True, single=True),
    ),
    main=1,
)
LOSS_TD = Chart(
    "Loss, |TD| p95",
    (Shown("loss", "learner", "loss"), Shown("|TD| p95", "learner", "td_p95")),
    log_y=True,
)
Q_VALUES = Chart(
    "Q", (Shown("Q mean", "learner", "q_mean"), Shown("max |Q|", "learner", "q_max_abs"))
)
LEARNING: tuple[Chart, ...] = (
    RETURN,
    Chart("Loss", (Shown("loss", "learner", "loss"),), log_y=True),
    Q_VALUES,
    Chart(
        "TD error",
        (Shown("|TD| mean", "learner", "td_abs_mean"), Shown("|TD| p95", "learner", "td_p95")),
        log_y=True,
    ),
    Chart("Gradient norm", (Shown("grad norm", "learner", "grad_norm"),), log_y=True),
    Chart("Learning rate", (Shown("lr", "learner", "lr", single=True),)),
    Chart(
        "Episode length",
        (Shown("train", "train", "length_mean"), Shown("eval", "eval", "length_mean", single=True)),
        unit="st",
    ),
    Chart("Exploration", (Shown("ε", "train", "epsilon"),)),
)
REPLAY: tuple[Chart, ...] = (
    Chart("Age of sampled rows", (Shown("age p95", "learner", "sample_age_p95"),), unit="tr"),
    Chart(
        "Policy lag of sampled rows",
        (
            Shown("p50", "learner", "lag_updates_p50"),
            Shown("p95", "learner", "lag_updates_p95"),
        ),
        unit="u",
    ),
)
