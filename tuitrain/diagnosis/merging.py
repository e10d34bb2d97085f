"""Records of one policy, from several actors and over time, as what checks look at. Pure.

Sums and extremes are over all that has come; of what a record measures anew the newest counts, of
probabilities the one that is surest of an effect. What happened has happened: going back to a
checkpoint takes none of it back, but what the weights of then no longer have is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from tuitrain.diagnosis.returns import Returns, together
from tuitrain.diagnosis.verdict import MIN_EVALUATIONS
from tuitrain.measurements import Measurements
from tuitrain.metrics.counters import CHANCE_EPSILON
from tuitrain.metrics.rewind import is_number

FEW = 3
"""Records that a check which could be wrong about one of them waits for."""

FEW_FOR_BOUND = 5
"""Learner records until the largest return drawn is taken for about the largest there is."""

UNTRAINED_EPSILON = 0.5
"""Of weights without an update this is chance enough: nothing of it was learned."""

FIRST_EPISODES = 20
"""So many show what comes by chance, or more where there are many environments."""
FIRST_OF_EACH = 4
"""So many of each environment: the very first that end, of many that began together, are short."""

_LARGEST = {
    "learner": (
        *("returns_abs_max", "observation_spread", "observation_abs_max", "observation_size"),
    ),
    "train": (
        *("length_max", "truncated_length_max", "reward_max", "begins_differ"),
        *("resets_kept_share", "changes_within"),
        *("action_effect_rows", "action_effect_rows_wanted"),
    ),
}
_SMALLEST = {"train": ("length_min", "truncated_length_min", "reward_min")}
_SUMS = {
    "train": (
        *("episodes", "truncated", "at_once", "over_soon", "cut_at_once"),
        "resets_unchanged",
    )
}
_NEWEST = {
    "learner": ("returns_nonzero_share", "td_abs_mean"),
    "eval": ("reset_difference_p",),
}
_RESTARTED = {
    "learner": ("audited", "stack_disagreements", "cross_episode_samples", "checksum_failures")
}
"""Counts of one process, which its successor begins anew."""

_EVAL = {"reward_min": ("eval_reward_min", min), "reward_max": ("eval_reward_max", max)}

_WHOLE = {
    name for name, field in Measurements.model_fields.items() if field.annotation == int | None
}
"""Counts and lengths, though a file may say otherwise."""


class Merged:
    """What records have said of one policy since a session began.

    Args:
        environments: of all actors.
        untrained: whether the run began with weights that nobody has trained.
    """

    def __init__(self, environments: int = 1, *, untrained: bool = True) -> None:
        self._untrained = untrained
        self._first_wanted = max(FIRST_EPISODES, FIRST_OF_EACH * environments)
        self.learner_records = 0
        self._values: dict[str, Any] = {}
        self._before: dict[str, float] = {}
        """Of counts that have been begun anew: those of the processes before."""
        self._counted: dict[str, float] = {}
        self._gradients: deque[tuple[float, str]] = deque(maxlen=FEW)
        self._clipped: deque[float] = deque(maxlen=FEW)
        self._effects: dict[str, float] = {}
        self._cut_alike = True
        self._cut_returns: set[float] = set()
        """Of all evaluations, the least and the largest of each."""
        self._first = Returns()
        """By chance: all before the first update, or until enough."""
        self._recent = deque([Returns()], maxlen=MIN_EVALUATIONS)
        """Between the newest evaluations, and since the last."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a record of this policy; numbers that are missing, or none, say nothing."""
        kind = str(record.get("kind"))
        if kind == "rows":  # what a `train` record would say, had an episode ended
            kind = "train"
        if kind == "train":
            self._count_longest(record)
        for names, merge in ((_LARGEST, max), (_SMALLEST, min), (_SUMS, _sum)):
            for name in names.get(kind, ()):
                if is_number(value := record.get(name)):
                    held = self._values.get(name)
                    self._values[name] = value if held is None else merge(held, value)
        for name in _NEWEST.get(kind, ()):
            if is_number(value := record.get(name)):
                self._values[name] = value
        for name in _RESTARTED.get(kind, ()):
            if is_number(value := record.get(name)):
                self._count(name, value)
        if kind == "learner":
            self.learner_records += 1
            if is_number(clipped := record.get("returns_clipped_share")):
                self._clipped.append(clipped)
            if is_number(share := record.get("grad_zero_share")):
                self._gradients.append((share, str(record.get("grad_zero_in", ""))))
        if kind == "train":
            self._add_first(record)
            self._recent[-1].add(record)
        if kind == "train" and is_number(p := record.get("action_effect_p")):
            self._effects[str(record.get("actor"))] = p
        if kind == "eval":
            self._recent.append(Returns())
            cut, episodes = record.get("cut"), record.get("episodes")
            if is_number(cut) and is_number(episodes):
                before = self._values.get("evals_all_cut", 0)
                self._values["evals_all_cut"] = before + 1 if cut >= episodes > 0 else 0
                self._compare_cut(record, cut >= episodes > 0)
            for name, (field, merge) in _EVAL.items():
                if is_number(value := record.get(name)):
                    self._values[field] = merge(self._values.get(field, value), value)

    def rewind(self) -> None:
        """Training goes on from weights of before: their gradients and errors are others."""
        self._gradients.clear()
        self._clipped.clear()
        self._values.pop("td_abs_mean", None)
        self._recent.clear()
        self._recent.append(Returns())

    def fields(self) -> dict[str, Any]:
        """By name as in ``Measurements``; what is not known is left out."""
        out = dict(self._values)
        if self.learner_records < FEW:  # one batch may have happened to be all alike
            out.pop("observation_spread", None)
        if len(self._gradients) == FEW:
            out["grad_zero_share"], out["grad_zero_in"] = min(self._gradients)
        if len(self._clipped) == FEW:
            out["returns_clipped_share"] = min(self._clipped)
        if self._first.episodes >= self._first_wanted:
            out["first_return_mean"], out["first_return_ci95"] = self._first.mean, self._first.ci95
        recent = together(self._recent)
        if recent.episodes >= FIRST_EPISODES:
            out["recent_return_mean"], out["recent_return_ci95"] = recent.mean, recent.ci95
        if self._effects:
            out["action_effect_p"] = min(self._effects.values())
        return {k: int(v) if k in _WHOLE else v for k, v in out.items()}

    def _add_first(self, record: Mapping[str, Any]) -> None:
        """Those of a `train` record's episodes that were played by chance.

        A record of one second may reach from there far into what was learned.
        """
        before = record.get("updates") == 0
        if not before and self._first.episodes >= self._first_wanted:
            return
        epsilon = record.get("epsilon")  # as the record was made: the least of its episodes
        if not is_number(epsilon):
            epsilon = 0.0
        if epsilon >= CHANCE_EPSILON or (
            before and self._untrained and epsilon >= UNTRAINED_EPSILON
        ):
            self._first.add(record)
        else:
            self._first.add(record, "chance_")

    def _compare_cut(self, record: Mapping[str, Any], all_cut: bool) -> None:
        """Whether this evaluation was cut like all before it, and brought what they did."""
        least, most = record.get("return_min"), record.get("return_max")
        if not is_number(least) or not is_number(most):
            return
        self._cut_alike &= all_cut
        self._cut_returns |= {least, most}
        so_far = self._values.get("evals_cut_alike", 0)
        alike = self._cut_alike and len(self._cut_returns) == 1
        self._values["evals_cut_alike"] = so_far + 1 if alike else 0

    def _count_longest(self, record: Mapping[str, Any]) -> None:
        """Before the longest of this record is merged: those shorter than it are none of them."""
        longest, count = record.get("length_max"), record.get("longest_terminated")
        if not is_number(longest) or not is_number(count):
            return
        so_far = self._values.get("length_max", 0)
        if longest >= so_far:
            held = self._values.get("longest_terminated", 0) if longest == so_far else 0
            self._values["longest_terminated"] = held + count

    def _count(self, name: str, value: float) -> None:
        held = self._counted.get(name, 0)
        if value < held:
            self._before[name] = self._before.get(name, 0) + held
        self._counted[name] = value
        self._values[name] = value + self._before.get(name, 0)


def _sum(held: float, value: float) -> float:
    return held + value
