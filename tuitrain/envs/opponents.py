"""A game by the AEC API, with chance at the other seats: what evaluations of self-play need.

In a zero-sum game the sides of one policy earn 0 together, however well it plays. With
``env.eval_kwargs = { opponents = "chance" }`` it trains against itself and is evaluated against
random legal moves. Knows nothing of lanes, networks or processes.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tuitrain.envs.masks import mask_in
from tuitrain.loading import load_object


def make(game: str, opponents: Literal["self", "chance"] = "self", **settings: Any) -> Any:
    """The game, or the game against chance.

    Args:
        game: its factory, ``package.module:factory`` or ``file.py:factory``.
        opponents: "self" is the game as it is, all of whose agents are there; with "chance" one of
            them is there in each game, drawn anew every time, and the others are moved at random.
        settings: of the factory.

    Raises:
        LoadError: there is no such factory.
        ValueError: there are no such opponents.
    """
    if opponents not in ("self", "chance"):
        raise ValueError(f'opponents must be "self" or "chance", not {opponents!r}')
    env = load_object(game)(**settings)
    return env if opponents == "self" else AgainstChance(env)


class AgainstChance:
    """An AEC environment with one agent at a time; what is not here, the game itself answers."""

    def __init__(self, env: Any) -> None:
        self._env = env
        self._rng = np.random.default_rng()
        self._seat: Any = None

    def __getattr__(self, name: str) -> Any:
        if name == "_env":  # not there yet: a copy that is being unpickled
            raise AttributeError(name)
        return getattr(self._env, name)

    @property
    def agents(self) -> list[Any]:
        """The one that is there, until it has been told how the game has ended for it."""
        return [self._seat] if self._seat in self._env.agents else []

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin a game in a seat that is drawn, and play until its first turn."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._env.reset(seed=seed, options=options)
        self._seat = self._env.agents[int(self._rng.integers(len(self._env.agents)))]
        self._play_on()

    def step(self, action: int | None) -> None:
        """The agent's move, and those of the others until it is its turn again."""
        self._env.step(action)
        self._play_on()

    def _play_on(self) -> None:
        env = self._env
        while env.agents and env.agent_selection != self._seat:
            seen, _, terminated, truncated, info = env.last()
            env.step(None if terminated or truncated else self._at_random(seen, info))

    def _at_random(self, seen: Any, info: Any) -> int:
        mask = mask_in(seen)
        if mask is None:
            mask = mask_in(info)
        if mask is None:
            return int(self._rng.integers(self._env.action_space(self._env.agent_selection).n))
        return int(self._rng.choice(np.flatnonzero(mask)))
