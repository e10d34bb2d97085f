"""Keys that can be changed while a run goes on, and what schedules have made of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuitrain.config.live import LIVE, value_of
from tuitrain.config.schema import Config
from tuitrain.protocol import PolicyView, ProcessView, SettingView


def settings_of(
    config: Config, given: Config, policies: Sequence[PolicyView], processes: Sequence[ProcessView]
) -> list[SettingView]:
    """Each key with the value that holds, that of config.toml, and what is in use.

    A learning rate with a schedule, and epsilon on its way to its floor, are elsewhere than their
    keys say: who changes them wants to know where.
    """
    now = {
        "learner.lr": _spread("lr", (p.lr for p in policies), config.learner.lr),
        "exploration.epsilon_end": _spread(
            "ε", (p.epsilon for p in processes if p.role in ("actor", "trainer")),
            config.exploration.epsilon_end,
        ),
    }  # fmt: skip
    return [
        SettingView(
            key=key,
            value=value_of(config, key),
            given=value_of(given, key),
            now=now.get(key, ""),
        )
        for key in LIVE
    ]


def rescheduled(before: Config, config: Config, policies: Sequence[PolicyView]) -> str:
    """What a change makes of the learning rates in use: `lr 4.6e-05`; nothing if that is not known.

    A schedule goes from `lr` to `lr_end`; a change moves its ends, not how far it has come.
    """
    old, new = before.learner, config.learner
    span = old.lr - old.lr_end
    if new.lr_schedule == "constant" or not span:
        return ""
    left = ((p.lr - old.lr_end) / span for p in policies if p.lr is not None)
    return _spread("lr", (new.lr_end + share * (new.lr - new.lr_end) for share in left), new.lr)


def _spread(name: str, measured: Iterable[float | None], value: float) -> str:
    """`lr 0.00023` or `ε 0.1 to 0.42`; nothing if that is the value, or was not measured."""
    found = [one for one in measured if one is not None]
    if not found:
        return ""
    low, high = f"{min(found):.3g}", f"{max(found):.3g}"
    if low == high == f"{value:.3g}":
        return ""
    return f"{name} {low}" if low == high else f"{name} {low} to {high}"
