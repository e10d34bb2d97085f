"""Treasure hunt, the multi-agent task of our own: `tuitrain.envs.treasurehunt:make`."""

from tuitrain.envs.treasurehunt.lanes import make

__all__ = ["make"]
