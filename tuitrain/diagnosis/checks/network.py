"""The check of the network itself, by what was found when it was asked, and by what it says since.

What is certainly wrong is refused before a run begins (``learning.network_probe``).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks.row import Row, check, not_measured
from tuitrain.protocol import PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

_AT_LIMIT = 0.99
"""Of the largest value that a network can give: nearer than that is at it."""
_ERRORS_LEFT = 0.1
"""Of the same, mean |TD error|: of values that are at a limit and right, less is left."""


@check(
    "network",
    "network",
    "X.32",
    why="The network looks at all that it is shown, tells actions apart, says the same of the same "
    "input, and can say values as large as there are.",
    explains=("grad_flow", "learning"),
)
def network(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Nothing was found when it was asked, and its values are not held at a limit."""
    limit = "sound"
    known = [(p, p.network) for p in snapshot.policies if p.network is not None]
    found = [(policy, fault) for policy, asked in known for fault in asked.faults]
    found.sort(key=lambda pair: pair[1].state == "warn")
    for policy, fault in found:
        advice = f"{policy.name}: {fault.advice}"
        return Row(fault.says, limit, "warn" if fault.state == "warn" else "fail", advice)
    for policy, _ in known:
        if row := _held(policy, limit):
            return row
    if not known or not all(asked.asked for _, asked in known):
        return not_measured(limit, "not asked" if known else "n/a")
    return Row("sound", limit, "ok")


def _held(policy: PolicyView, limit: str) -> Row | None:
    """What is paid goes beyond what the network can say: it ends in a tanh, sigmoid or ReLU."""
    asked = policy.network
    assert asked is not None
    low, high = asked.low, asked.high
    end = "leave its last layer linear: values are sums of rewards, of any size and sign"
    best, worst = policy.reward_max, policy.reward_min
    only_costs = best is not None and worst is not None and best <= 0 and worst < 0
    if low is not None and low >= 0 and only_costs:
        told = (
            f"{policy.name}: no reward so far was above 0, and the network gives no value below: "
        )
        return Row(f"gives no value below {low:.3g}", limit, "warn", told + end)
    most = max(abs(low) if low is not None else inf, abs(high) if high is not None else inf)
    q, error = policy.q_max_abs, policy.td_abs_mean
    if most == inf or q is None or error is None:
        return None
    # a value beyond it shows that it was none: cosines stay where they are as weights grow
    if _AT_LIMIT * most <= q <= most / _AT_LIMIT and error >= _ERRORS_LEFT * most:
        told = (
            f"{policy.name}: the network gives no value beyond {most:.3g}, whatever its weights "
            f"are; values are there already, and still {error:.3g} off: "
        )
        return Row(f"gives no value beyond {most:.3g}", limit, "warn", told + end)
    return None
