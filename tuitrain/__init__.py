"""tuitrain: an actor-learner trainer for the DQN family, watched in the terminal.

``import tuitrain`` stays light: the supervisor and the terminal UI import this package and must
not pull in torch, so the public names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Policy", "RunResult", "TrainingFailed", "__version__", "load_policy", "train"]

if TYPE_CHECKING:
    from tuitrain.api import Policy, RunResult, TrainingFailed, load_policy, train


def __getattr__(name: str) -> Any:
    if name in set(__all__):
        return getattr(import_module("tuitrain.api"), name)
    raise AttributeError(f"module 'tuitrain' has no attribute {name!r}")
