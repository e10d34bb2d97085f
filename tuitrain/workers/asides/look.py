"""A look at an environment from a process of its own, for who has no supervisor to start a probe.

``python -P -m tuitrain.workers.asides.look RESULT_FD`` answers the fields of an ``EnvConfig`` (see
``aside``) with ``{"stage": ...}`` before each thing that may crash or hang, then ``{"seen": ...}``.
Imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.cycles import CycleLanes
from tuitrain.envs.lanes.turns import AnyLanes
from tuitrain.envs.make import build_env, make_lanes
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec
from tuitrain.workers.asides.aside import Tell, serve
from tuitrain.workers.evaluating.game import Row, game_on

MAX_STEPS = 2_000
MAX_SECONDS = 2.0
"""Random steps are taken until one of the two."""

COPIES = 2
"""Environments built, because a factory may give the same one twice."""


def look(config: EnvConfig, stage: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """What ``tuitrain.config.starter.Seen`` is made of, as plain JSON values.

    Args:
        config: the environment.
        stage: told what comes next.

    Raises:
        EnvError: it cannot be built, is not supported, or breaks its own declaration.
    """
    stage("building the environment")
    lanes = make_lanes(config, COPIES)
    try:
        highs = _highs(config, lanes.spec)
        stage("resetting the environment")
        lanes.reset(range(COPIES))
        stage("stepping the environment with random actions")
        steps, step_s, tried = _try(lanes)
    finally:
        stage("closing the environment")
        lanes.close()
    return {
        "policies": {
            name: {
                "shape": policy.observation_shape,
                "dtype": policy.observation_dtype,
                "high": highs.get(policy.agents[0], 0.0),
                "n_actions": policy.n_actions,
                "agents": policy.agents,
                "masked": policy.masked,
                "layout": policy.layout() if policy.is_row else [],
                **tried[name].told(),
            }
            for name, policy in lanes.spec.policies.items()
        },
        "steps": steps,
        "step_s": step_s,
    }


def _highs(config: EnvConfig, spec: EnvSpec) -> dict[str, float]:
    """The largest value each agent's space declares, by agent; 0 where it has no bound."""
    env = build_env(config)
    try:
        highs = {}
        for policy in spec.policies.values():
            for agent in policy.agents:
                space = env.observation_space
                if callable(space):
                    (its,) = (a for a in env.possible_agents if str(a) == agent)
                    space = space(its)
                for key in policy.parts[0].path if policy.parts else ():
                    space = space[key]
                high = float(np.max(getattr(space, "high", 0.0), initial=0.0))
                highs[agent] = high if np.isfinite(high) else 0.0
        return highs
    finally:
        close = getattr(env, "close", None)
        if close is not None:
            close()


class _Watch:
    """Seconds spent in environments: in calls of their lanes, but not in what these call back."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._since: float | None = None

    def inside(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, whose time counts."""

        def timed(*given: Any) -> Any:
            self._since = time.perf_counter()
            try:
                return call(*given)
            finally:
                self._stop()

        return timed

    def outside(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, whose time does not count where it is made inside of another."""

        def untimed(*given: Any) -> Any:
            running = self._since is not None
            self._stop()
            try:
                return call(*given)
            finally:
                self._since = time.perf_counter() if running else None

        return untimed

    def _stop(self) -> None:
        if self._since is not None:
            self.total_s += time.perf_counter() - self._since
            self._since = None


class _Tally:
    """What episodes of one policy's agents bring.

    Args:
        comings: whether a row without an agent means that it has left, or is yet to come. A game
            in which one moves at a time has such rows at the end of every episode.
    """

    def __init__(self, n_lanes: int, *, comings: bool) -> None:
        self._total, self._length = np.zeros(n_lanes), np.zeros(n_lanes, np.int64)
        self._returns: list[float] = []
        self._lengths: list[int] = []
        self._comings = comings
        self._absent = self._rewarded = False

    def add(self, row: Row, live: NDArray[np.bool_]) -> None:
        """A row, in which those that are `live` have made a transition."""
        self._total = np.where(live, self._total + row.reward, 0.0)
        self._length = np.where(live, self._length + 1, 0)
        self._rewarded |= bool((row.reward[live] != 0).any())
        over = row.terminated | row.truncated
        self._returns += self._total[over].tolist()
        self._lengths += self._length[over].tolist()
        if self._comings and row.absent is not None:
            self._absent |= bool(row.absent.any())

    def told(self) -> dict[str, Any]:
        """See ``SeenPolicy``."""
        several = max(1, len(self._returns))
        return {
            "absent": self._absent,
            "rewarded": self._rewarded,
            "episodes": len(self._returns),
            "return_mean": sum(self._returns) / several,
            "length_mean": sum(self._lengths) / several,
        }


def _try(lanes: AnyLanes) -> tuple[int, float, dict[str, _Tally]]:
    """Random steps: their number, seconds for each, and what episodes bring to each policy."""
    rng = np.random.default_rng(0)
    policies = lanes.spec.policies

    def act(
        policy: str, stacked: NDArray[Any], legal: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        draws = rng.random((len(stacked), policies[policy].n_actions))
        actions: NDArray[np.int64] = (draws if legal is None else draws * legal).argmax(1)
        return actions

    watch = _Watch()
    for name in ("step", "turn", "cycle"):
        if hasattr(lanes, name):
            setattr(lanes, name, watch.inside(getattr(lanes, name)))
    game = game_on(lanes, watch.outside(act))
    tallies = {
        name: _Tally(lanes.n_envs * len(policy.agents), comings=not isinstance(lanes, CycleLanes))
        for name, policy in policies.items()
    }
    steps = 0
    game.start(list(range(lanes.n_envs)))
    began = time.perf_counter()
    while steps < MAX_STEPS and time.perf_counter() - began < MAX_SECONDS:
        live = {name: ~idle for name, idle in game.idle.items()}
        for name, row in game.advance().items():
            tallies[name].add(row, live[name])
        steps += lanes.n_envs
    return steps, watch.total_s / steps, tallies


def _answer(question: dict[str, Any], tell: Tell) -> None:
    config = EnvConfig.model_validate(question)
    tell(seen=look(config, lambda text: tell(stage=text)))


if __name__ == "__main__":
    serve(_answer, (EnvError,))
