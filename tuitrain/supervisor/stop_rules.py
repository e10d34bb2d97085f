"""When a run has had enough: the rules of `[stop]`, from its evaluations and its training time.

Pure: no clock, no processes. All rules look at one session's history, so that a resumed run is not
ended by what has ended it before; whoever resumes it is told which rule that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuitrain.config.unattended import StopConfig
from tuitrain.protocol import StopRuleView

Returns = Mapping[str, float | None]
"""One evaluation: mean return by policy; None where no episode counted."""


class Evaluations:
    """Puts `eval` records, which come one per policy, together into whole evaluations.

    Args:
        policies: names of all policies of the run.
    """

    def __init__(self, policies: Iterable[str]) -> None:
        self.history: list[Returns] = []
        self._steps: list[int] = []
        self._policies = frozenset(policies)
        self._open: dict[str, float | None] = {}

    def add(self, record: Mapping[str, Any]) -> bool:
        """Take in an `eval` record. Returns whether it has completed an evaluation."""
        name = str(record.get("policy"))
        if name in self._open:  # the rest of the one before was lost
            self._open = {}
        mean = record.get("return_mean")
        self._open[name] = float(mean) if isinstance(mean, int | float) else None
        if not self._policies <= self._open.keys():
            return False
        self.history.append(self._open)
        self._steps.append(int(record.get("steps") or 0))
        self._open = {}
        return True

    def forget_after(self, steps: int) -> None:
        """Training goes on from this step: evaluations of later ones are made anew."""
        kept = [place for place, at in enumerate(self._steps) if at <= steps]
        self.history = [self.history[place] for place in kept]
        self._steps = [self._steps[place] for place in kept]
        self._open = {}


def judge(rules: StopConfig, history: Sequence[Returns], trained_s: float) -> list[StopRuleView]:
    """Every rule that is given, and how far it is.

    Args:
        history: whole evaluations of this session, oldest first.
        trained_s: seconds of training in this session.
    """
    out = []
    if rules.eval_return is not None:
        out.append(_eval_return(rules.eval_return, rules.policy, history))
    if rules.wall_time_s is not None:
        limit_s = rules.wall_time_s
        out.append(
            StopRuleView(
                key="stop.wall_time_s",
                limit=limit_s,
                value=trained_s,
                met=trained_s >= limit_s,
                text=f"{trained_s:,.0f} s of training, ends at {limit_s:,g} s",
            )
        )
    if rules.no_improvement_evals is not None:
        out.append(_no_improvement(rules.no_improvement_evals, rules.policy, history))
    return out


def reason(views: Iterable[StopRuleView]) -> str | None:
    """Why the run should end: the first rule that is met; None if it should go on."""
    return next((f"{view.key}: {view.text}" for view in views if view.met), None)


def _eval_return(limit: float, policy: str | None, history: Sequence[Returns]) -> StopRuleView:
    view = StopRuleView(key="stop.eval_return", limit=limit, policy=policy)
    if not history:
        view.text = f"no evaluation yet, ends at a mean return of {limit:g}"
        return view
    returns = _wanted(history[-1], policy)
    view.policy = min(returns, key=lambda name: _or_least(returns[name]), default=policy)
    view.value = returns.get(view.policy or "")
    view.met = bool(returns) and all(_or_least(mean) >= limit for mean in returns.values())
    found = "unknown" if view.value is None else f"{view.value:.4g}"
    whose = f" of {view.policy}" if policy or len(history[-1]) > 1 else ""
    view.text = f"mean return {found}{whose} in the last evaluation, ends at {limit:g}"
    return view


def _no_improvement(limit: int, policy: str | None, history: Sequence[Returns]) -> StopRuleView:
    best: dict[str, float] = {}
    since = 0
    for evaluation in history:
        better = [
            name
            for name, mean in _wanted(evaluation, policy).items()
            if _or_least(mean) > best.get(name, float("-inf"))
        ]
        best |= {name: _or_least(evaluation[name]) for name in better}
        since = 0 if better else since + 1
    whose = f" of {policy}" if policy else ""
    return StopRuleView(
        key="stop.no_improvement_evals",
        limit=limit,
        value=since,
        policy=policy,
        met=since >= limit,
        text=f"{since} evaluations without a new best{whose}, ends at {limit}",
    )


def _wanted(evaluation: Returns, policy: str | None) -> Returns:
    if policy is None:
        return evaluation
    return {name: mean for name, mean in evaluation.items() if name == policy}


def _or_least(mean: float | None) -> float:
    """A return that is unknown, or not a number, is no better than any other."""
    return float("-inf") if mean is None or mean != mean else mean
