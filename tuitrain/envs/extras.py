"""Environments whose packages are extras of tuitrain: registered when asked for, missed by name."""

from __future__ import annotations

import gymnasium

from tuitrain.envs import atari, minatar

BOX2D_INSTALL = "pip install 'tuitrain[box2d]'"


def register_for(env_id: str) -> None:
    """Make gymnasium know `env_id` if one of the extras brings it.

    Raises:
        EnvError: its package is not there; says how to get it.
    """
    for package in (minatar, atari):
        if env_id.startswith(package.NAMESPACE):
            package.register()


def how_to_get(error: Exception) -> str:
    """What to install after `gymnasium.make` has failed, or nothing."""
    missing = isinstance(error, gymnasium.error.DependencyNotInstalled)
    return f" Get it with: {BOX2D_INSTALL}" if missing and "box2d" in str(error).lower() else ""
