"""MinAtar (Young & Tian 2019) by its gymnasium ids: `MinAtar/Breakout-v1` and the other four.

Nothing is wrapped: observations are bool[10, 10, C], actions are sticky with probability 0.1, and
`-v1` has each game's own actions only where `-v0` has all six. The package is the extra `minatar`.
"""

from __future__ import annotations

import gymnasium

from tuitrain.envs.spaces import EnvError

NAMESPACE = "MinAtar/"
GAMES = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
INSTALL = "pip install 'tuitrain[minatar]'"


def register() -> None:
    """Make gymnasium know the games. Calling it again changes nothing.

    Raises:
        EnvError: the package is not there; says how to get it.
    """
    if f"{NAMESPACE}{GAMES[0]}-v1" in gymnasium.registry:
        return
    try:
        from minatar.gym import register_envs
    except ImportError as error:
        raise EnvError(f"MinAtar cannot be imported ({error}). Get it with: {INSTALL}") from error
    register_envs()
