"""Treasure hunt, the multi-agent task of our own: `tuitrain.envs.treasurehunt:make`."""

from tuitrain.envs.treasurehunt.world import make

__all__ = ["make"]
