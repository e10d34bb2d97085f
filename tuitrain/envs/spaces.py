"""Which observation and action spaces are supported, and the errors that say so.

Everything later (shared-memory columns, networks, the spec hash) relies on an observation having
exactly the declared shape and dtype, so an environment that breaks its own declaration is refused
here, by name, instead of being broadcast or cast into something that trains on the wrong numbers.
What is *declared* bool or float64 is kept as uint8 and float32 (see ``spec.STORED_DTYPES``).
Knows nothing of how environments are built or stepped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from tuitrain.envs.spec import STORED_DTYPES

SUPPORTED = (
    "supported: Box observations with 1 dimension (vector) or 2 to 3 dimensions (image), Discrete, "
    "MultiDiscrete and MultiBinary ones, Dicts and Tuples of all these, and Discrete actions "
    "starting at 0"
)


class EnvError(RuntimeError):
    """An environment cannot be built or does not keep to its own API; the message says which."""


class UnsupportedSpace(EnvError):
    """The environment works but its spaces are not among those supported."""


class BadObservation(EnvError):
    """An observation has not the shape or dtype that the environment declares."""


def box_form(space: spaces.Box, where: str) -> tuple[tuple[int, ...], str]:
    """Shape and declared dtype name of a supported Box.

    Args:
        space: the declared observation space.
        where: whose space it is, for the error.

    Raises:
        UnsupportedSpace: not of a dtype in ``STORED_DTYPES`` with 1 to 3 dimensions, none of them
            empty.
    """
    shape, dtype = tuple(int(n) for n in space.shape), np.dtype(space.dtype)
    if dtype.name not in STORED_DTYPES:
        raise UnsupportedSpace(
            f"{where}: its observations are Box{list(shape)} of dtype {dtype}; known are "
            f"{', '.join(STORED_DTYPES)}. A factory that wraps it in "
            "gymnasium.wrappers.DtypeObservation(env, numpy.float32) makes it usable."
        )
    if not 1 <= len(shape) <= 3 or 0 in shape:
        raise UnsupportedSpace(
            f"{where}: its observations have shape {shape}; {SUPPORTED}. "
            "gymnasium.wrappers.ReshapeObservation or FlattenObservation may help."
        )
    return shape, dtype.name


def action_count(space: Any, where: str) -> int:
    """Number of actions of a supported action space.

    Raises:
        UnsupportedSpace: anything but ``Discrete`` starting at 0.
    """
    if not isinstance(space, spaces.Discrete):
        raise UnsupportedSpace(f"{where}: its action space is {shown(space)}; {SUPPORTED}.")
    if int(space.start) != 0:
        raise UnsupportedSpace(
            f"{where}: its action space is Discrete({int(space.n)}, start={int(space.start)}); "
            f"{SUPPORTED}."
        )
    return int(space.n)


def check_observation(
    observation: Any, shape: tuple[int, ...], dtype: np.dtype[Any], where: str
) -> None:
    """Refuse an observation that is not an array of exactly the declared shape and dtype.

    float32 where float64 is declared passes, since float32 is what is kept.

    Args:
        dtype: the declared one.

    Raises:
        BadObservation: the message shows both shapes and dtypes.
    """
    if (
        isinstance(observation, np.ndarray)
        and observation.shape == shape
        and (
            observation.dtype == dtype or (dtype == np.float64 and observation.dtype == np.float32)
        )
    ):
        return
    if isinstance(observation, np.ndarray | np.generic):
        got = f"shape {observation.shape}, dtype {observation.dtype}"
    else:
        got = f"a {type(observation).__name__}, not a numpy array"
    raise BadObservation(
        f"{where}: an observation has {got}, but its observation space declares "
        f"shape {shape}, dtype {dtype}. Make the environment return what it declares."
    )


_MAX_REWARD = float(np.finfo(np.float32).max)


def check_reward(reward: Any, where: str) -> float:
    """Refuse a reward that is no number, NaN or infinite: one of them makes every weight NaN.

    Raises:
        EnvError: the message shows what it is.
    """
    try:
        value = float(reward)
    except (TypeError, ValueError):
        raise EnvError(f"{where}: the reward is {reward!r:.100}, not a number.") from None
    if not -_MAX_REWARD <= value <= _MAX_REWARD:  # nor is NaN
        raise EnvError(f"{where}: the reward is {value}, not a finite float32.")
    return value


def check_flag(value: Any, name: str, where: str) -> bool:
    """An end of an episode as a plain bool. Refuses what is neither a boolean nor 0 or 1.

    Args:
        name: of what it says, "terminated" or "truncated".

    Raises:
        EnvError: the message shows what it is.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    found = np.asarray(value)
    if found.size == 1 and found.dtype.kind in "biuf" and found.item() in (0, 1):
        return bool(found.item())
    raise EnvError(f"{where}: {name} is {value!r:.100}, neither True nor False.")


def checked_actions(actions: Any, lanes: int, n_actions: int, policy: str) -> list[int]:
    """Actions as plain ints. Refuses what is not ``int64[lanes]`` in 0 … n_actions-1.

    Raises:
        ValueError: wrong type, shape, dtype or range.
    """
    if (
        not isinstance(actions, np.ndarray)
        or actions.shape != (lanes,)
        or actions.dtype != np.int64
    ):
        got = (
            f"shape {actions.shape}, dtype {actions.dtype}"
            if isinstance(actions, np.ndarray)
            else type(actions).__name__
        )
        raise ValueError(f"actions of policy {policy!r} must be int64[{lanes}], not {got}")
    chosen: list[int] = actions.tolist()
    if min(chosen) < 0 or max(chosen) >= n_actions:
        raise ValueError(
            f"actions of policy {policy!r} must lie in 0 … {n_actions - 1}, "
            f"not {min(chosen)} … {max(chosen)}"
        )
    return chosen


def shown(space: Any) -> str:
    """A space for an error, cut where it is long."""
    text = repr(space)
    return text if len(text) <= 120 else f"{type(space).__name__} ({text[:100]}…)"
