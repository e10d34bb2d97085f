"""What lanes save and restore: the state of each environment, and what they know of it.

A state is plain (see ``leaves.py``): no code in it, none run by it but an environment's own
``load_state_dict``. Knows nothing of files or processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.saving.graph import Graph
from tuitrain.envs.saving.leaves import CannotRestore, CannotSave
from tuitrain.envs.saving.rebuild import made_from, put

__all__ = [
    "CannotRestore",
    "CannotSave",
    "SavesState",
    "array_from",
    "check_kind",
    "env_state",
    "flags_from",
    "restore_envs",
    "value_from",
    "value_state",
]


@runtime_checkable
class SavesState(Protocol):
    """Lanes that can save everything that decides what comes next."""

    def state(self) -> dict[str, Any]:
        """Plain values; nothing in it is shared with the lanes.

        Raises:
            CannotSave: an environment holds something whose state cannot be had; names it.
        """
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of lanes that were made with the same config.

        Called after ``reset``. Where it fails environments may be left in between: reset them.

        Raises:
            CannotRestore: the state is of other lanes, or damaged.
        """
        ...


def env_state(env: Any) -> list[dict[str, Any]]:
    """The state of one environment with its wrappers.

    Raises:
        CannotSave: it holds something whose state cannot be had; names the attribute.
    """
    return Graph(env).nodes


def restore_envs(envs: Sequence[Any], state: Any, kind: str) -> None:
    """Put a state of lanes of this kind into environments that were built the same way.

    Raises:
        CannotRestore: it does not fit; says which environment does not take its state back.
    """
    pairs = zip(envs, check_kind(state, kind, len(envs)), strict=True)
    for number, (env, saved) in enumerate(pairs):
        put(env, saved, f"env {number}")


def value_state(value: Any, called: str) -> list[dict[str, Any]]:
    """A value that an environment has given, however it is made up.

    Args:
        called: what messages call it.

    Raises:
        CannotSave: something in it has a state that cannot be had.
    """
    return Graph(value, called).nodes


def value_from(state: Any) -> Any:
    """The other way; such a value holds no objects of classes.

    Raises:
        CannotRestore: it does, or is damaged.
    """
    return made_from(state)


def flags_from(value: Any, shape: tuple[int, ...], name: str) -> NDArray[np.bool_]:
    """Flags of lanes, saved as lists or an array.

    Raises:
        CannotRestore: there are not as many.
    """
    return array_from(np.array(value), np.zeros(shape, np.bool_), name)


def array_from(value: Any, like: NDArray[Any], name: str) -> NDArray[Any]:
    """A copy of an array that must have this shape and dtype.

    Raises:
        CannotRestore: it has not.
    """
    if type(value) is not np.ndarray or value.shape != like.shape or value.dtype != like.dtype:
        found = f"{value.dtype}{list(value.shape)}" if type(value) is np.ndarray else repr(value)
        wanted = f"{like.dtype}{list(like.shape)}"
        raise CannotRestore(f"{name!r} of the state is {found:.80}, here it is {wanted}")
    return value.copy()


def check_kind(state: Any, kind: str, n_envs: int) -> list[Any]:
    """The environments' own states in a state of lanes.

    Raises:
        CannotRestore: it is of lanes of another kind or number.
    """
    saved = state.get("kind") if type(state) is dict else None
    if saved != kind:
        raise CannotRestore(f"a state of {saved!r:.40} lanes cannot be put into {kind!r} lanes")
    envs = state.get("envs")
    if type(envs) is not list or len(envs) != n_envs:
        found = len(envs) if type(envs) is list else "no"
        raise CannotRestore(f"the state is of {found} environments, here are {n_envs}")
    return envs
