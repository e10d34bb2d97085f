"""Checks of the way from actor to learner and back: rows, their number, their age, the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks.row import (
    WORKING,
    Row,
    agents,
    check,
    judged,
    not_measured,
)
from tuitrain.protocol import CheckState, PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

_SPEED_KNOWN_S = 30.0
"""How long the warm-up will take is not said of a run that is younger."""


@check(
    "replay_ratio",
    "replay ratio",
    "X.8",
    why="Updates per transition are what the config asks for: another ratio is another experiment.",
    explains=("policy_lag", "learning"),
)
def replay_ratio(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Updates per transition are what was asked for, after warm-up."""
    allowed = limits.replay_ratio_error
    rows = [p for p in snapshot.policies if _ratio_is_settled(p, allowed)]
    if not rows:
        warm = any(p.ratio_achieved is not None for p in snapshot.policies)
        target = snapshot.policies[0].ratio_target if snapshot.policies else 0.0
        return not_measured(f"{target:.4g} ±{allowed:.0%}", "settling" if warm else "warm-up")
    worst = max(rows, key=_ratio_error)
    error = _ratio_error(worst)
    return judged(
        f"{worst.ratio_achieved:.4g}",
        f"{worst.ratio_target:.4g} ±{allowed:.0%}",
        "fail" if error > allowed else None,
        f"policy {worst.name} is {error:.1%} off: the rate limiter does not hold",
    )


@check(
    "policy_lag",
    "policy lag",
    "3.1",
    why="How many updates older than the learner's the weights were that acted the sampled rows: "
    "the older, the more is learned from a policy that is no more.",
    explains=("learning",),
)
def policy_lag(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Transitions learned from were acted with recent weights."""
    rows = [(p, p.lag_updates_p95) for p in snapshot.policies if p.lag_updates_p95 is not None]
    if not rows:
        return not_measured("-")
    policy, lag = max(rows, key=lambda row: row[1])
    # A ring of `capacity` transitions holds rows up to capacity*ratio updates old, by design.
    by_design = policy.capacity * policy.ratio_target
    limit = by_design + limits.policy_lag_bands * max(1.0, policy.ratio_band_updates)
    return judged(
        f"p95 {lag:,.0f} u",
        f"{limit:,.0f} u",
        "warn" if lag > limit else None,
        f"actors act for {policy.name} on old weights: lower publish_every_updates",
    )


@check(
    "weights_hash",
    "weights hash",
    "3.3",
    why="Who holds the same version of the weights holds the same bytes (SHA-256): otherwise "
    "somebody acts with weights that were never learned.",
    explains=("learning",),
)
def weights_hash(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Equal versions are equal bytes. Measured by a resync."""
    seen: dict[tuple[str, int], dict[str, str]] = {}
    for process in snapshot.processes:
        for policy, held in process.weights.items():
            seen.setdefault((policy, held.version), {})[process.name] = held.sha256
    if not seen:
        can = snapshot.state in ("running", "paused")
        advice = "resync measures it: key s, or `tuitrain resync`" if can else ""
        return not_measured("all equal", advice=advice)
    split = sorted(key for key, held in seen.items() if len(set(held.values())) > 1)
    value = f"{len(seen)} version{'s' if len(seen) > 1 else ''}"
    if split:
        policy, version = split[0]
        value = f"{policy} v{version}: {', '.join(sorted(seen[split[0]]))} differ"
    advice = "a process holds weights that were never published: stop the run"
    return judged(value, "all equal", "fail" if split else None, advice)


@check(
    "warm_up",
    "warm-up",
    "5.1, 12.1",
    why="No update is made before replay holds learning_starts transitions: from a few rows a "
    "network learns them by heart.",
    explains=("left_behind", "learning"),
)
def warm_up(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Learning starts when there is enough data, not before, and not near the run's end."""
    limit = "no update before"
    if not snapshot.policies:
        return not_measured("-")
    policy = min(snapshot.policies, key=_warm_share)
    done = min(policy.warm_up_transitions, policy.learning_starts)
    early = [
        p.name
        for p in snapshot.policies
        if p.ratio_updates > 0 and p.warm_up_transitions < p.learning_starts
    ]
    late = [
        p
        for p in snapshot.policies
        if p.learned_share is not None and p.learned_share < limits.learned_share_min
    ]
    value = f"{done}/{policy.learning_starts}"
    state: CheckState = "ok"
    advice = ""
    if done < policy.learning_starts and snapshot.steps_per_s:
        per_step = policy.transitions / snapshot.steps if snapshot.steps else 1.0
        if per_step > 0:
            left_s = (policy.learning_starts - done) / (snapshot.steps_per_s * per_step)
            value += f" ETA {left_s:.0f}s"
            if left_s > limits.warm_up_s and snapshot.elapsed_s > _SPEED_KNOWN_S:
                state = "warn"
                advice = f"{policy.name}: lower replay.learning_starts, or add actors"
    if late and state == "ok":
        state = "warn"
        advice = (
            f"{late[0].name}: only {late[0].learned_share or 0.0:.1%} of the run's transitions "
            f"come after replay.learning_starts = {late[0].learning_starts:,}: lower it, or raise "
            "run.total_steps"
        )
    if early:
        state, advice = "fail", f"{', '.join(early)} updated before learning_starts"
    return Row(value, limit, state, advice)


@check(
    "overwritten",
    "overwritten",
    "5.2",
    why="No row is overwritten before the first update: what was gathered for learning would be "
    "gone unseen.",
    explains=("learning",),
)
def overwritten(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """The rings hold the whole warm-up.

    Of several agents nothing is said: of one that is seldom there rings fill with its absence.
    """
    rows = snapshot.policies[0].overwritten if agents(snapshot) == 1 else None
    if rows is None:
        return not_measured("0")
    advice = f"{rows:,} rows were overwritten before the first update: raise replay.capacity"
    return judged(f"{rows:,} rows", "0", "fail" if rows else None, advice)


@check(
    "left_behind",
    "left behind",
    "X.15",
    why="No policy is without an update once the others learn: among many nobody would see the "
    "one that never does.",
    explains=("learning",),
)
def left_behind(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No policy is still what it was at the start while others learn, or at the end."""
    learn = [p for p in snapshot.policies if p.updates]
    over = snapshot.state not in WORKING
    behind = [
        p
        for p in snapshot.policies
        if not p.updates
        and ((learn and (over or not p.transitions)) or snapshot.state == "finished")
    ]
    limit = "no policy without an update"
    if not learn and not behind:
        return not_measured(limit, "warm-up")
    advice = ""
    if behind:
        first = min(behind, key=lambda p: p.transitions)
        advice = f"policy {first.name} has never had a transition: do its agents ever have a turn?"
        if first.transitions:
            advice = (
                f"policy {first.name} has made no update: {first.warm_up_transitions:,} of "
                f"{first.learning_starts:,} transitions; lower replay.learning_starts, or run on"
            )
    value = ", ".join(p.name for p in behind) or "nobody"
    return judged(value, limit, "warn" if behind else None, advice)


def _ratio_error(policy: PolicyView) -> float:
    assert policy.ratio_achieved is not None
    return abs(policy.ratio_achieved / policy.ratio_target - 1)


def _ratio_is_settled(policy: PolicyView, allowed: float) -> bool:
    """One width of the limiter's band is below what is allowed: only now that can be asked."""
    return (
        policy.ratio_achieved is not None
        and policy.ratio_target > 0
        and policy.ratio_updates > 0
        and policy.ratio_band_updates <= allowed * policy.ratio_updates
    )


def _warm_share(policy: PolicyView) -> float:
    return policy.warm_up_transitions / max(1, policy.learning_starts)
