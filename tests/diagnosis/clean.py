"""Runs in which nothing is wrong, as different as they come: no check may be raised in them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from tests.diagnosis.cases import CONFIGS, ROOT, Case, Tables

LEARNED = ROOT / "tests" / "envs" / "learned.py"
ODD = ROOT / "tests" / "envs" / "odd.py"
GAMES = ROOT / "tests" / "envs" / "aec.py"
SHORT = 40_000
"""Steps of runs of the small task."""


def _short(steps: int, **run: Any) -> dict[str, Any]:
    return {"total_steps": steps, **run}


def shipped(name: str, steps: int, needs: str = "", **tables: Any) -> Case | None:
    """A config of configs/, stopped early; None where what it needs is not installed."""
    if needs and find_spec(needs) is None:
        return None
    path = CONFIGS / f"{name}.toml"
    return Case(name, file=path, tables=tables, stop_steps=steps, deadline_s=180.0)


def variant(name: str, **tables: Any) -> Case:
    """The small task otherwise."""
    tables["run"] = {"total_steps": SHORT, **tables.get("run", {})}
    return Case(name, tables=tables, deadline_s=120.0)


PIXELS: Tables = {
    "env": {"id": f"{LEARNED}:Catch", "n_frames": 2},
    "learner": {"network": "minatar", "network_kwargs": {}},
}

_CASES: tuple[Case | None, ...] = (
    shipped("cartpole", 60_000),
    shipped("cleanrl-dqn", 30_000),
    shipped("cleanrl-c51", 30_000),
    shipped("lunarlander", 20_000, "Box2D"),
    shipped("minatar-breakout", 30_000, "minatar"),
    shipped("treasurehunt", 20_000),
    shipped("treasurehunt-original", 2_000),
    shipped("atari-pong", 3_000, "ale_py", replay={"capacity": 20_000, "learning_starts": 1_000}),
    variant("async"),
    variant("sequential", run={"schedule": "sequential"}),
    variant("lockstep", run={"schedule": "lockstep"}, actors={"count": 2}),
    variant("two-actors", actors={"count": 2}, exploration={"ladder_alpha": 7.0}),
    variant("qr-dqn", algorithm={"preset": "qr-dqn", "quantiles": 32}, learner={"n_step": 3}),
    variant("iqn", algorithm={"preset": "iqn", "quantiles": 16}, learner={"n_step": 3}),
    variant("rainbow", algorithm={"preset": "rainbow"}),
    variant("noisy", algorithm={"noisy": True}, exploration={"epsilon_end": 0.0}),
    variant("n-step", learner={"n_step": 5, "lr_schedule": "linear"}),
    variant("frames", env={"n_frames": 4}),
    variant("tau", learner={"tau": 0.005, "target_update_every_updates": None}),
    variant("prioritized", replay={"prioritized": True}),
    variant("pixels", **{k: dict(v) for k, v in PIXELS.items()}),
    variant("chain", env={"id": f"{LEARNED}:Chain"}),
    variant("agents", env={"id": f"{LEARNED}:TwoPolicies"}),
    variant("turns", env={"id": f"{LEARNED}:Relay"}),
    variant("two-frames", env={"id": f"{ODD}:Orbit", "n_frames": 2}, learner={"gamma": 0.8}),
    variant("bandit", env={"id": f"{ODD}:Levers"}),
    variant("endless", env={"id": f"{ODD}:Queues"}, eval={"max_episode_steps": 300}),
    Case(
        "resumed",
        tables={"run": _short(SHORT)},
        resumed=_short(2 * SHORT),
        deadline_s=120.0,
    ),
    variant("game", env={"id": f"{GAMES}:TicTacToe"}, policies={"map": "shared"}),
)

CLEAN: tuple[Case, ...] = tuple(case for case in _CASES if case is not None)
