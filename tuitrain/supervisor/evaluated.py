"""What evaluations say of every policy of a run, as clients are shown it. Pure: no clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from tuitrain.diagnosis.verdict import (
    MIN_WINDOW,
    Evaluation,
    Judged,
    alike,
    judge,
    level,
    newest,
    worst,
)
from tuitrain.protocol import LearningView, PolicyView


@dataclass
class Evaluated:
    """All evaluations of a run, and the verdict on them: made when one comes, not when asked."""

    made: dict[str, list[Evaluation]] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    said: dict[str, list[Judged]] = field(default_factory=dict)
    """Per policy: what was judged after each evaluation."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Per policy: those that were due in this session and not made."""
    levels: dict[str, tuple[Any, tuple[float, float]]] = field(default_factory=dict)
    """Per policy: the level that was worked out last, and of what."""
    at: dict[str, float] = field(default_factory=dict)
    """Per policy: when its newest came, in this session."""

    def add(
        self, record: Mapping[str, Any], now: float, *, every_steps: int, base_steps: int
    ) -> None:
        """Take in an `eval` record.

        Args:
            every_steps: as the config says now.
            base_steps: where this session began: nothing was due before.
        """
        policy = str(record.get("policy", ""))
        evaluation = Evaluation.from_record(record)
        if evaluation is None:
            return
        made = self.made.setdefault(policy, [])
        before = max(base_steps, made[-1].steps if made else 0)
        # of what is due while one runs, only the newest is made after it
        due = evaluation.steps // every_steps - before // every_steps
        self.skipped[policy] = self.skipped.get(policy, 0) + max(0, due - 1)
        made.append(evaluation)
        self.judged[policy] = judge(made)
        self.said.setdefault(policy, []).append(self.judged[policy])
        self.at[policy] = now

    def begin(self) -> None:
        """What has come so far is of earlier sessions: of unknown age, and not missed here."""
        self.at, self.skipped = {}, {}

    def rewind(self, steps: int) -> None:
        """Training goes on from there: forget what was measured later."""
        for policy, made in self.made.items():
            self.made[policy] = [e for e in made if e.steps <= steps]
            self.judged[policy] = judge(self.made[policy])
            del self.said[policy][len(self.made[policy]) :]

    def learning(self, policy: str, now: float, level_steps: float = math.inf) -> LearningView:
        """The verdict on one policy.

        Args:
            level_steps: environment steps whose evaluations make its level.
        """
        made = self.made.get(policy, [])
        judged = self.judged.get(policy) or judge(made)
        at = self.at.get(policy)
        said = self.said.get(policy, [])
        mean, error = self._level(policy, level_steps) or (None, None)
        last, last_ci95 = newest(made) or (None, None)
        return LearningView(
            policy=policy,
            verdict=judged.verdict,
            mean=made[-1].mean if made else None,
            ci95=made[-1].ci95 if made else None,
            best=max((e.mean for e in made), default=None),
            n_evals=len(made),
            skipped=self.skipped.get(policy, 0),
            age_s=None if at is None else max(0.0, now - at),
            slope_per_1m_steps=judged.slope_per_1m_steps,
            slope_ci95=judged.slope_ci95,
            newest_alone=judged.newest_alone,
            window=judged.window,
            lowest=judged.lowest,
            highest=judged.highest,
            unlike=judged.unlike,
            reason=judged.reason,
            held_evals=_in_a_row(j.verdict == judged.verdict for j in reversed(said)),
            under_best_evals=_in_a_row(j.under_best for j in reversed(said)),
            level=mean,
            level_error=error,
            newest=last,
            newest_ci95=last_ci95,
            alike=alike(made),
        )

    def _level(self, policy: str, steps: float) -> tuple[float, float] | None:
        """Mean of the newest evaluations, and its standard error; worked out when one comes."""
        made = self.made.get(policy, [])
        if len(made) < MIN_WINDOW or made[-1].steps < steps:
            return None
        key = (len(made), made[-1], steps)
        if policy not in self.levels or self.levels[policy][0] != key:
            newest = [e for e in made if e.steps > made[-1].steps - steps]
            self.levels[policy] = (key, level(max(newest, made[-MIN_WINDOW:], key=len)))
        return self.levels[policy][1]


def _in_a_row(true: Iterable[bool]) -> int:
    """How many there are before the first that is not true."""
    return sum(1 for _ in takewhile(bool, true))


def not_evaluated(policy: str = "") -> LearningView:
    """The verdict on who is never evaluated."""
    reason = "eval.enabled is false: nothing is measured"
    return LearningView(policy=policy, verdict="n/a", reason=reason)


def worst_of(policies: Sequence[PolicyView]) -> LearningView:
    """The verdict that needs attention first; of several policies its reason says whose it is."""
    if not policies:
        return LearningView(verdict="n/a", reason="no policy is known yet")
    learnings = {policy.name: policy.learning for policy in policies}
    name = worst({name: learning.verdict for name, learning in learnings.items()})
    if len(policies) == 1:
        return learnings[name]
    reason = f"{name}: {learnings[name].reason}"
    return learnings[name].model_copy(update={"reason": reason})
