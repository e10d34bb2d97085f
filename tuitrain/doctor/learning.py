"""Whether a config can learn: facts of a rehearsal and of short runs, and what they mean. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuitrain.diagnosis.contrast import LOOK
from tuitrain.diagnosis.verdict import TRAINED_UPDATES
from tuitrain.doctor.finding import Finding
from tuitrain.protocol import CheckState, CheckView

FEW_UPDATES = 200
"""Fewer say nothing: a batch that is not learned in them may be in more."""

SHOWN = ("target_updates", "q_bound", "reward_signal", "grad_flow")
"""Checks of the runs that are shown even where nothing is wrong with them."""

LEAST_LR = 1e-5
"""Of usual learning rates."""

STILL = 0.99
"""Of random play: where so many observations are the one before again, `step` hardly tells any."""

NAMED = 4
"""So many tensors are named."""


@dataclass(frozen=True)
class Tried:
    """One batch, learned again and again; see ``learning.overfit``.

    Attributes:
        before, after: mean absolute TD error; about `floor` of it is chance: equal observations
            and actions with different targets.
        unmoved: trainable tensors that are bit for bit what they were, of `tensors`.
        learned: whether most of what could be learned was.
    """

    lr: float
    updates: int
    before: float
    after: float
    floor: float
    unmoved: tuple[str, ...]
    tensors: int
    learned: bool

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Tried:
        """From what the aside has told."""
        return cls(**{**data, "unmoved": tuple(data["unmoved"])})


@dataclass(frozen=True)
class Score:
    """Mean return and the half-width of its 95 % interval."""

    mean: float
    ci95: float

    @classmethod
    def of(cls, mean: Any, ci95: Any) -> Score | None:
        """None where either was not measured."""
        known = all(isinstance(v, int | float) and math.isfinite(v) for v in (mean, ci95))
        return cls(float(mean), float(ci95)) if known else None

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.ci95:.2g}"

    def worse(self, other: Score) -> bool:
        """Whether the intervals do not meet, and this one is lower."""
        return other.beats(self)

    def beats(self, other: Score) -> bool:
        """Whether the intervals do not meet, and this one is higher."""
        return self.mean - self.ci95 > other.mean + other.ci95


@dataclass(frozen=True)
class Rehearsed:
    """One policy without a run.

    Attributes:
        random: random play, greedy evaluations' length and environment; None if it took too long.
        rewarded_share: of `transitions` of random play, those whose n-step return is not 0.
        still_share: of those that end no episode, those whose next observation is the same.
        tried: with the config's learning rate, and if that learned nothing with a usual one.
    """

    random: Score | None = None
    rewarded_share: float | None = None
    still_share: float | None = None
    transitions: int = 0
    tried: tuple[Tried, ...] = ()


@dataclass(frozen=True)
class Practice:
    """A short run.

    Attributes:
        error: why it did not come up or go on.
        wrong: what its diagnosis says, causes first: state, headline, what was measured.
        evaluated: by policy, greedy play at its end.
    """

    schedule: str
    error: str = ""
    ran_s: float = 0.0
    updates: int = 0
    wrong: tuple[tuple[CheckState, str], ...] = ()
    checks: tuple[CheckView, ...] = ()
    evaluated: dict[str, Score] = field(default_factory=dict)


@dataclass(frozen=True)
class Learned:
    """All that was tried. `error` is why there was no rehearsal."""

    rehearsed: dict[str, Rehearsed] = field(default_factory=dict)
    practices: tuple[Practice, ...] = ()
    error: str = ""


def findings(learned: Learned) -> tuple[Finding, ...]:
    """Every check, the verdict last."""
    found = [
        one_batch(learned),
        gradients(learned),
        random_rewards(learned),
        random_observations(learned),
        *(run(practice) for practice in learned.practices),
        *shown_checks(learned.practices),
        *(against_random(practice, learned.rehearsed) for practice in learned.practices),
    ]
    return (*found, verdict(found, learned))


def one_batch(learned: Learned) -> Finding:
    """A network like the run's learns one batch by heart."""
    name = "one batch"
    if learned.error:
        first, *more = learned.error.splitlines()
        return Finding("one_batch", name, "fail", first, "In full:" if more else "", tuple(more))
    worst: Finding | None = None
    for policy, rehearsed in learned.rehearsed.items():
        finding = _one_batch(name, _of(policy, learned), rehearsed)
        if worst is None or _grave(finding) < _grave(worst):
            worst = finding
    return worst or Finding("one_batch", name, "n/a", "not tried")


def _one_batch(name: str, whose: str, rehearsed: Rehearsed) -> Finding:
    tried = rehearsed.tried
    if rehearsed.rewarded_share == 0:  # its targets are what a random network says: nothing is so
        return Finding("one_batch", name, "n/a", f"{whose}nothing to learn: see rewards")
    if not tried:
        return Finding("one_batch", name, "n/a", f"{whose}random play gave no batch in time")
    own, last = tried[0], tried[-1]
    told = f"{whose}TD error {_fell(own)}"
    if own.learned:
        return Finding("one_batch", name, "ok", told)
    if own.updates < FEW_UPDATES:  # whatever another rate does in them
        few = f"{told}: only so many in the time; --learn-s gives more"
        return Finding("one_batch", name, "n/a", few)
    if last.learned:
        told += f"; with lr {last.lr:g} {_fell(last)}"
        fix = (f"--set learner.lr={last.lr:g}",)
        if LEAST_LR <= own.lr <= last.lr:
            advice = "The learning rate is a usual one that learns slowly here. A larger one:"
            return Finding("one_batch", name, "warn", told, advice, fix)
        usual = f"between {LEAST_LR:.0e} and {last.lr:g}".replace("e-0", "e-")
        advice = f"The learning rate does not learn. Set learner.lr {usual}:"
        return Finding("one_batch", name, "fail", told, advice, fix)
    advice = (
        "Not even the same batch is learned: does the network use its input, do all its layers "
        "get a gradient, is learner.max_grad_norm far too small?"
    )
    return Finding("one_batch", name, "fail", told, advice)


def _fell(tried: Tried) -> str:
    floor = f" (about {tried.floor:.2g} is chance)" if tried.floor > 0.01 * tried.before else ""
    return f"{tried.before:.3g} → {tried.after:.3g}{floor} in {tried.updates} updates"


def gradients(learned: Learned) -> Finding:
    """Every trainable tensor moves when a batch is learned."""
    name, tensors = "gradients", 0
    for policy, rehearsed in learned.rehearsed.items():
        if not rehearsed.tried:
            continue
        last = rehearsed.tried[-1]
        tensors += last.tensors
        if not last.unmoved:
            continue
        many = len(last.unmoved)
        named = ", ".join(last.unmoved[:NAMED]) + (", …" if many > NAMED else "")
        told = f"{_of(policy, learned)}{many} of {last.tensors} weight tensors never move: {named}"
        advice = "No gradient reaches them: is their output detached, unused, or always clamped?"
        return Finding("gradients", name, "fail", told, advice)
    if not tensors:
        return Finding("gradients", name, "n/a", "not tried")
    return Finding("gradients", name, "ok", f"reach all {tensors} weight tensors")


def random_rewards(learned: Learned) -> Finding:
    """Random play meets rewards."""
    name = "rewards"
    shares = {
        policy: one.rewarded_share
        for policy, one in learned.rehearsed.items()
        if one.rewarded_share is not None
    }
    if not shares:
        return Finding("rewards", name, "n/a", "not measured")
    policy, share = min(shares.items(), key=lambda item: item[1])
    whose = _of(policy, learned)
    if share > 0:
        told = f"{whose}{share:.1%} of the n-step returns of random play are not 0"
        return Finding("rewards", name, "ok", told)
    told = (
        f"{whose}no reward other than 0 in {learned.rehearsed[policy].transitions:,} transitions "
        "of random play: does step() return it?"
    )
    advice = (
        "Without any there is nothing to learn from. If it is only rare: give rewards on the way, "
        "or explore longer."
    )
    return Finding("rewards", name, "warn", told, advice)


def random_observations(learned: Learned) -> Finding:
    """What is done in random play changes what is seen."""
    name = "observations"
    shares = {
        policy: one.still_share
        for policy, one in learned.rehearsed.items()
        if one.still_share is not None
    }
    if not shares:
        return Finding("observations", name, "n/a", "not measured")
    policy, share = max(shares.items(), key=lambda item: item[1])
    told = f"{_of(policy, learned)}{share:.1%} of random play's are the one before again"
    if share < STILL:
        return Finding("observations", name, "ok", told)
    advice = "Within an episode they stand still: does step() return a new one?"
    return Finding("observations", name, "warn", told, advice)


def run(practice: Practice) -> Finding:
    """A short run comes up, learns, and none of its checks is raised."""
    id_, name = f"run_{practice.schedule}", practice.schedule
    if practice.error:
        first, *more = practice.error.splitlines()
        return Finding(id_, name, "fail", first, "In full:" if more else "", tuple(more))
    told = f"{practice.updates:,} updates in {practice.ran_s:.0f} s"
    if not practice.wrong and not practice.updates:
        return Finding(id_, name, "n/a", f"no update in {practice.ran_s:.0f} s; --learn-s helps")
    if not practice.wrong:
        return Finding(id_, name, "ok", told)
    state: CheckState = "fail" if any(s == "fail" for s, _ in practice.wrong) else "warn"
    causes = [f"{number}. {words}" for number, (_, words) in enumerate(practice.wrong, 1)]
    return Finding(id_, name, state, told, f"Causes first: {' '.join(causes)}")


def shown_checks(practices: Sequence[Practice]) -> Iterator[Finding]:
    """What a run has to measure to be believed, of the run where it looks worst."""
    for id_ in SHOWN:
        rows = [check for p in practices for check in p.checks if check.id == id_]
        if rows:
            worst = min(rows, key=lambda check: _ORDER[check.state])
            told = f"{worst.value} (limit {worst.limit})"
            yield Finding(id_, worst.name, worst.state, told, worst.advice)


def against_random(practice: Practice, rehearsed: Mapping[str, Rehearsed]) -> Finding:
    """Greedy play after the run against random play: beaten, worse, or too early to say."""
    id_, name = f"beats_random_{practice.schedule}", "beats random"
    pairs = {
        policy: (score, one.random)
        for policy, score in practice.evaluated.items()
        if (one := rehearsed.get(policy)) is not None and one.random is not None
    }
    if not pairs:
        return Finding(id_, name, "n/a", f"{practice.schedule}: not measured")
    many = len(pairs) > 1
    said = [
        f"{policy + ': ' if many else ''}{score}, at random {random}"
        for policy, (score, random) in pairs.items()
    ]
    told = f"{practice.schedule}: {'; '.join(said)}"
    if all(score.beats(random) for score, random in pairs.values()):
        return Finding(id_, name, "ok", told)
    if not all(score.worse(random) for score, random in pairs.values()):  # of rivals one is
        return Finding(id_, name, "n/a", f"{told}: TOO EARLY")
    if practice.updates < TRAINED_UPDATES:  # a greedy policy of chance sits in some corner
        return Finding(id_, name, "n/a", f"{told}: worse so far, but TOO EARLY")
    advice = f"{LOOK[0].upper()}{LOOK[1:]}. A hard task may take longer: --learn-s."
    return Finding(id_, name, "warn", f"{told}: WORSE THAN RANDOM", advice)


def verdict(found: Sequence[Finding], learned: Learned) -> Finding:
    """Does it learn? In words.

    Where a batch is learned, and greedy play beats random play after every run, it does, whatever
    has failed besides. Without the first, a network of chance may have beaten random play.
    """
    name = "verdict"
    failed = [finding for finding in found if finding.state == "fail"]
    beaten = [f for f in found if f.id.startswith("beats_random_") and f.state == "ok"]
    all_beaten = bool(beaten) and len(beaten) == len(learned.practices)
    if failed and all_beaten and not any(f.id == "one_batch" for f in failed):
        named = ", ".join(dict.fromkeys(finding.name for finding in failed))
        return Finding("verdict", name, "warn", f"it learns all the same, but look at {named}")
    if failed:
        # what a run was diagnosed with is a cause; a batch that is not learned may follow from it
        causes = [w for p in learned.practices for state, w in p.wrong if state == "fail"]
        first = causes[0] if causes else f"{failed[0].name}: {failed[0].found}"
        return Finding("verdict", name, "fail", f"it does not learn like this: {first}")
    if all_beaten:
        return Finding("verdict", name, "ok", "it learns: greedy play clearly beats random play")
    doubts = list(dict.fromkeys(finding.name for finding in found if finding.state == "warn"))
    worse = [f for f in found if f.id.startswith("beats_random_") and f.state == "warn"]
    told = "TOO EARLY: nothing failed, but greedy play does not clearly beat random play yet"
    if beaten:
        told = f"TOO EARLY: it learns in {beaten[0].id.removeprefix('beats_random_')} alone so far"
    rewards = next((f for f in found if f.id == "rewards" and f.state == "warn"), None)
    if rewards is not None and not beaten:
        told = f"nothing to learn from: {rewards.found}"
        return Finding("verdict", name, "warn", told)
    if worse and not beaten:
        told = (
            "WORSE THAN RANDOM: nothing failed, but greedy play is clearly worse than random play"
        )
    if doubts:
        return Finding("verdict", name, "warn", f"{told}; look at {', '.join(doubts)}")
    return Finding("verdict", name, "n/a", f"{told}; --learn-s gives it longer")


_ORDER: dict[CheckState, int] = {"fail": 0, "warn": 1, "ok": 2, "n/a": 3}


def _grave(finding: Finding) -> int:
    return _ORDER[finding.state]


def _of(policy: str, learned: Learned) -> str:
    return f"{policy}: " if len(learned.rehearsed) > 1 else ""
