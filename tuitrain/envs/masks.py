"""Which actions are legal: where an environment says so, and that it says it rightly.

A mask comes as the part `KEY` of a Dict observation (PettingZoo's classic games), as `KEY` of an
info (gymnasium's Taxi, parallel environments) or from a turn-taking world's method ``legal``. It
belongs to the state that the observation beside it shows. Knows nothing of how environments are
stepped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tuitrain.envs.spaces import EnvError, UnsupportedSpace, shown

KEY = "action_mask"

_FORM = "a mask is a numpy array of bool or whole numbers, one for each action; 0 forbids it"


def check_space(space: Any, n_actions: int, where: str) -> None:
    """Refuse a declared mask that has not one number for each action.

    Raises:
        UnsupportedSpace: shows the space.
    """
    if (
        not isinstance(space, spaces.Box | spaces.MultiBinary)
        or space.shape != (n_actions,)
        or np.dtype(space.dtype).kind not in "biu"
    ):
        raise UnsupportedSpace(
            f"{where}: {KEY!r} of its observation space is {shown(space)}, but there are "
            f"{n_actions} actions, and {_FORM}."
        )


def write_mask(row: NDArray[np.bool_], mask: Any, where: str) -> None:
    """Put a mask into its row, bool [n_actions].

    Args:
        mask: what the environment said; None if it said nothing.

    Raises:
        EnvError: it is no mask, or forbids everything.
    """
    if type(mask) is not np.ndarray or mask.shape != row.shape or mask.dtype.kind not in "biu":
        raise _no_mask(mask, len(row), where)
    np.not_equal(mask, 0, out=row)
    if not np.count_nonzero(row):
        raise EnvError(
            f"{where}: no action is legal. A state in which nothing can be done must be a terminal "
            "one (terminated); where an episode is only cut, its last state needs a mask too."
        )


def mask_in(told: Any) -> Any:
    """The mask in an observation or info; None if there is none."""
    return told.get(KEY) if isinstance(told, dict) else None


def any_legal(observation: Any, info: Any) -> int:
    """An action that is legal by one of them, for who only wants to see how it goes on."""
    said = [mask for told in (observation, info) if (mask := mask_in(told)) is not None]
    return int(np.argmax(said[0])) if said else 0


def unexpected(where: str) -> EnvError:
    """The error for an info with a mask where the first one had none."""
    return EnvError(
        f"{where}: info[{KEY!r}] says which actions are legal, but after the first reset nothing "
        f"did. Say it at every reset and step, or never. If the first agents have no mask and one "
        f"that comes later has, declare it: {KEY!r} as a part of its observation space (a Dict)."
    )


def _no_mask(mask: Any, n_actions: int, where: str) -> EnvError:
    if mask is None:
        return EnvError(
            f"{where}: there is no {KEY!r}, though there was one before. An environment that says "
            "which actions are legal must say it at every reset and step."
        )
    got = (
        f"an array of shape {mask.shape}, dtype {mask.dtype}"
        if isinstance(mask, np.ndarray)
        else f"a {type(mask).__name__}"
    )
    return EnvError(f"{where}: {KEY!r} is {got}, but there are {n_actions} actions, and {_FORM}.")
