"""The checks a user sees: one pure function per row, from a snapshot to its measured state.

Each row has a stable id, what was measured, the limit, a state and one line of advice; its
`catalogue_id` names the failures it guards against. A check whose input has not been measured is
``n/a``, never ``ok``. A check knows nothing but the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from tuitrain.protocol import CheckState, CheckView, PolicyView, ProcessView, Snapshot

BEAT_WARN_S = 5.0
"""A silent worker is worth a warning after this; it is judged hung by its own deadline."""

PROGRESS_WARN_S = 30.0

WARM_UP_WARN_S = 600.0
"""So long until the first update is worth a warning, once the speed is known."""

RATIO_TOLERANCE = 0.01
"""The achieved replay ratio must be this close (relative) once the band is below it."""

LAG_WARN_PUBLICATIONS = 20
"""Acting on weights this many limiter bands behind is called stale."""

_LIVE = ("running", "waiting", "paused", "finished")


def all_checks(snapshot: Snapshot) -> list[CheckView]:
    """Every check, worst first; ties keep the order of `CHECKS`."""
    order = {"fail": 0, "warn": 1, "ok": 2, "n/a": 3}
    return sorted((check(snapshot) for check in CHECKS), key=lambda row: order[row.state])


def processes(snapshot: Snapshot) -> CheckView:
    """Every worker that should run does; one that is started again does not yet."""
    views = snapshot.processes
    failed = [p for p in views if p.state == "failed"]
    again = [p for p in views if p.state == "starting" and (p.restarts or p.rolled_back)]
    up = bool(views) and snapshot.state in ("starting", "running", "paused")
    state: CheckState = "fail" if failed else "n/a" if not up else "warn" if again else "ok"
    advice = ""
    if failed:
        advice = f"{failed[0].name}: {failed[0].error or 'see its log'}"
    elif up and again:
        dead = next((p for p in again if p.died_of), again[0])
        advice = f"{dead.name} is started again: {dead.died_of or 'another worker had died'}"
    restarts = sum(p.restarts for p in views)
    up_now = f"{sum(p.state in _LIVE for p in views)} up"
    if restarts:
        up_now += f", {restarts} death{'s' * (restarts > 1)}"
    return CheckView(
        id="processes",
        name="processes",
        value=f"{', '.join(p.name for p in failed)} failed" if failed else up_now,
        limit=f"{len(views)} up",
        state=state,
        advice=advice,
        catalogue_id="12.2",
    )


def heartbeat(snapshot: Snapshot) -> CheckView:
    """No worker is silent."""
    oldest = _oldest(snapshot, lambda p: p.beat_age_s)
    return _age_check(
        "heartbeat",
        oldest,
        BEAT_WARN_S,
        "it is busy with one long unit of work, stopped (SIGSTOP) or hung; its stack tells which",
        "12.2",
    )


def progress(snapshot: Snapshot) -> CheckView:
    """Every worker that says it works gets something done. Waiting and pausing are healthy."""
    oldest = _oldest(snapshot, lambda p: p.progress_age_s if p.state == "running" else None)
    return _age_check(
        "progress",
        oldest,
        PROGRESS_WARN_S,
        "one unit of its work takes this long, or it is hung",
        "X.7",
    )


def replay_ratio(snapshot: Snapshot) -> CheckView:
    """Updates per transition are what was asked for, within 1 % after warm-up."""
    rows = [p for p in snapshot.policies if _ratio_is_settled(p)]
    if not rows:
        warm = any(p.ratio_achieved is not None for p in snapshot.policies)
        value = "settling" if warm else "warm-up"
        target = snapshot.policies[0].ratio_target if snapshot.policies else 0.0
        return _not_measured("replay_ratio", "replay ratio", f"{target:.4g} ±1%", "X.8", value)
    worst = max(rows, key=_ratio_error)
    error = _ratio_error(worst)
    return CheckView(
        id="replay_ratio",
        name="replay ratio",
        value=f"{worst.ratio_achieved:.4g}",
        limit=f"{worst.ratio_target:.4g} ±1%",
        state="ok" if error <= RATIO_TOLERANCE else "fail",
        advice=""
        if error <= RATIO_TOLERANCE
        else f"policy {worst.name} is {error:.1%} off: the rate limiter does not hold",
        catalogue_id="X.8",
    )


def policy_lag(snapshot: Snapshot) -> CheckView:
    """Transitions learned from were acted with recent weights."""
    rows = [(p, p.lag_updates_p95) for p in snapshot.policies if p.lag_updates_p95 is not None]
    if not rows:
        return _not_measured("policy_lag", "policy lag", "-", "3.1")
    policy, lag = max(rows, key=lambda row: row[1])
    # A ring of `capacity` transitions holds rows up to capacity*ratio updates old, by design.
    limit = policy.capacity * policy.ratio_target + LAG_WARN_PUBLICATIONS * max(
        1.0, policy.ratio_band_updates
    )
    over = lag > limit
    return CheckView(
        id="policy_lag",
        name="policy lag",
        value=f"p95 {lag:,.0f} u",
        limit=f"{limit:,.0f} u",
        state="warn" if over else "ok",
        advice=f"actors act for {policy.name} on old weights: lower publish_every_updates"
        if over
        else "",
        catalogue_id="3.1",
    )


def spec(snapshot: Snapshot) -> CheckView:
    """Every process built the same environment."""
    told = {p.name: p.spec_hash for p in snapshot.processes if p.spec_hash is not None}
    if snapshot.spec_hash is None or not told:
        return _not_measured("spec", "spec hash", "all equal", "1.2")
    other = sorted(name for name, value in told.items() if value != snapshot.spec_hash)
    return CheckView(
        id="spec",
        name="spec hash",
        value=f"{', '.join(other)} differ" if other else f"{len(told)} of {len(told)}",
        limit="all equal",
        state="fail" if other else "ok",
        advice="these processes see another environment than the probe did" if other else "",
        catalogue_id="0.4, 1.1-1.3, 10.3",
    )


def weights_hash(snapshot: Snapshot) -> CheckView:
    """Equal versions are equal bytes. Measured by a resync."""
    seen: dict[tuple[str, int], dict[str, str]] = {}
    for process in snapshot.processes:
        for policy, held in process.weights.items():
            seen.setdefault((policy, held.version), {})[process.name] = held.sha256
    if not seen:
        row = _not_measured("weights_hash", "weights hash", "all equal", "3.3")
        if snapshot.state in ("running", "paused"):
            row.advice = "resync measures it: key s, or `tuitrain resync`"
        return row
    split = sorted(key for key, held in seen.items() if len(set(held.values())) > 1)
    value = f"{len(seen)} version{'s' if len(seen) > 1 else ''}"
    if split:
        policy, version = split[0]
        value = f"{policy} v{version}: {', '.join(sorted(seen[split[0]]))} differ"
    return CheckView(
        id="weights_hash",
        name="weights hash",
        value=value,
        limit="all equal",
        state="fail" if split else "ok",
        advice="a process holds weights that were never published: stop the run" if split else "",
        catalogue_id="3.3",
    )


def non_finite(snapshot: Snapshot) -> CheckView:
    """Loss, Q and gradients are numbers."""
    rows = [(p.name, p.non_finite) for p in snapshot.policies if p.non_finite is not None]
    if not rows:
        return _not_measured("non_finite", "non-finite", "0", "7.1")
    total = sum(count for _, count in rows)
    bad = ", ".join(name for name, count in rows if count)
    return CheckView(
        id="non_finite",
        name="non-finite",
        value=str(total),
        limit="0",
        state="fail" if total else "ok",
        advice=f"{bad}: lower lr, clip gradients, or scale rewards" if total else "",
        catalogue_id="7.1",
    )


def target_updates(snapshot: Snapshot) -> CheckView:
    """The target network was updated exactly as often as the config says."""
    rows = [
        (p.name, p.target_updates - p.target_updates_expected)
        for p in snapshot.policies
        if p.target_updates is not None and p.target_updates_expected is not None
    ]
    if not rows:
        return _not_measured("target_updates", "target updates", "0", "0.3, 4.1")
    name, off = max(rows, key=lambda row: abs(row[1]))
    return CheckView(
        id="target_updates",
        name="target updates",
        value=f"{off:+d}" if off else "0 off",
        limit="0",
        state="fail" if off else "ok",
        advice=f"{name}: the target network has more than one owner" if off else "",
        catalogue_id="0.3, 4.1",
    )


def warm_up(snapshot: Snapshot) -> CheckView:
    """Learning starts when there is enough data, and not before."""
    if not snapshot.policies:
        return _not_measured("warm_up", "warm-up", "-", "5.1, 12.1")
    policy = min(snapshot.policies, key=_warm_share)
    done = min(policy.warm_up_transitions, policy.learning_starts)
    early = [
        p.name
        for p in snapshot.policies
        if p.ratio_updates > 0 and p.warm_up_transitions < p.learning_starts
    ]
    value = f"{done}/{policy.learning_starts}"
    state: CheckState = "ok"
    advice = ""
    if done < policy.learning_starts and snapshot.steps_per_s:
        per_step = policy.transitions / snapshot.steps if snapshot.steps else 1.0
        if per_step > 0:
            left_s = (policy.learning_starts - done) / (snapshot.steps_per_s * per_step)
            value += f" ETA {left_s:.0f}s"
            if left_s > WARM_UP_WARN_S and snapshot.elapsed_s > PROGRESS_WARN_S:
                state = "warn"
                advice = f"{policy.name}: lower replay.learning_starts, or add actors"
    if early:
        state, advice = "fail", f"{', '.join(early)} updated before learning_starts"
    return CheckView(
        id="warm_up",
        name="warm-up",
        value=value,
        limit="no update before",
        state=state,
        advice=advice,
        catalogue_id="5.1, 12.1",
    )


def left_behind(snapshot: Snapshot) -> CheckView:
    """No policy is still what it was at the start while others learn, or at the end."""
    learn = [p for p in snapshot.policies if p.updates]
    over = snapshot.state not in ("starting", "running", "paused")
    behind = [
        p
        for p in snapshot.policies
        if not p.updates
        and ((learn and (over or not p.transitions)) or snapshot.state == "finished")
    ]
    limit = "no policy without an update"
    if not learn and not behind:
        return _not_measured("left_behind", "left behind", limit, "X.15", "warm-up")
    advice = ""
    if behind:
        first = min(behind, key=lambda p: p.transitions)
        advice = f"policy {first.name} has never had a transition: do its agents ever have a turn?"
        if first.transitions:
            advice = (
                f"policy {first.name} has made no update: {first.warm_up_transitions:,} of "
                f"{first.learning_starts:,} transitions; lower replay.learning_starts, or run on"
            )
    return CheckView(
        id="left_behind",
        name="left behind",
        value=", ".join(p.name for p in behind) or "nobody",
        limit=limit,
        state="warn" if behind else "ok",
        advice=advice,
        catalogue_id="X.15",
    )


def lost_lines(snapshot: Snapshot) -> CheckView:
    """Everything that was measured is in the run's files."""
    lost = snapshot.lost_lines
    if lost is None:
        return _not_measured("lost_lines", "lost lines", "0", "X.13")
    return CheckView(
        id="lost_lines",
        name="lost lines",
        value=str(lost),
        limit="0",
        state="warn" if lost else "ok",
        advice="metrics or events could not be written: see the events, make space" if lost else "",
        catalogue_id="X.13",
    )


CHECKS: tuple[Callable[[Snapshot], CheckView], ...] = (
    processes,
    heartbeat,
    progress,
    replay_ratio,
    policy_lag,
    spec,
    weights_hash,
    non_finite,
    target_updates,
    warm_up,
    left_behind,
    lost_lines,
)

WHY: dict[str, str] = {
    "processes": "Every worker lives: without actors no data comes, without learner none is used.",
    "heartbeat": "Every worker says that it lives, whatever it does: a silent one is stopped, "
    "hung, or gets no processor.",
    "progress": "Every worker that says it works gets something done: one that lives and does "
    "nothing holds up the others.",
    "replay_ratio": "Updates per transition are what the config asks for: another ratio is "
    "another experiment.",
    "policy_lag": "How many updates older than the learner's the weights were that acted the "
    "sampled rows: the older, the more is learned from a policy that is no more.",
    "spec": "All processes have built the same environment, by the hash (SHA-256) of its spaces, "
    "agents and frames: another one's rows would spoil the replay unseen.",
    "weights_hash": "Who holds the same version of the weights holds the same bytes (SHA-256): "
    "otherwise somebody acts with weights that were never learned.",
    "non_finite": "No update had a loss, Q or gradient that is no number (NaN, infinity): "
    "weights do not recover from that.",
    "target_updates": "The target network was updated as often as the config says, by a count of "
    "its own: more or less often, and Q chases itself or stands still.",
    "warm_up": "No update is made before replay holds learning_starts transitions: from a few rows "
    "a network learns them by heart.",
    "left_behind": "No policy is without an update once the others learn: among many nobody "
    "would see the one that never does.",
    "lost_lines": "All that was measured is in the run's files: what could not be written is "
    "on no curve, and missing after the end.",
}
"""By a row's id, what is checked and why that matters: one sentence, true in every state."""


def _ratio_error(policy: PolicyView) -> float:
    assert policy.ratio_achieved is not None
    return abs(policy.ratio_achieved / policy.ratio_target - 1)


def _ratio_is_settled(policy: PolicyView) -> bool:
    """One width of the limiter's band is below the tolerance: only now 1 % can be asked."""
    return (
        policy.ratio_achieved is not None
        and policy.ratio_target > 0
        and policy.ratio_updates > 0
        and policy.ratio_band_updates <= RATIO_TOLERANCE * policy.ratio_updates
    )


def _warm_share(policy: PolicyView) -> float:
    return policy.warm_up_transitions / max(1, policy.learning_starts)


def _oldest(
    snapshot: Snapshot, age: Callable[[ProcessView], float | None]
) -> tuple[ProcessView, float] | None:
    if snapshot.state not in ("running", "paused"):
        return None
    rows = [(p, value) for p in snapshot.processes if (value := age(p)) is not None]
    return max(rows, key=lambda row: row[1], default=None)


def _age_check(
    id_: str, oldest: tuple[ProcessView, float] | None, limit_s: float, advice: str, catalogue: str
) -> CheckView:
    if oldest is None:
        return _not_measured(id_, id_, f"{limit_s:g}s", catalogue)
    process, age_s = oldest
    late = age_s > limit_s
    return CheckView(
        id=id_,
        name=id_,
        value=f"{process.name} {age_s:.1f}s",
        limit=f"{limit_s:g}s",
        state="warn" if late else "ok",
        advice=f"{process.name}: {advice}" if late else "",
        catalogue_id=catalogue,
    )


def _not_measured(id_: str, name: str, limit: str, catalogue: str, value: str = "n/a") -> CheckView:
    return CheckView(
        id=id_, name=name, value=value, limit=limit, state="n/a", catalogue_id=catalogue
    )
