"""From what an environment declares and returns to the array that is kept of it.

A Box is kept as it is. Anything else that is supported becomes a row of float32: the parts of a
Dict or Tuple side by side in the order of its space, a Box as its numbers, a choice (Discrete) as
a one-hot. The layout is part of the spec, so that who would mix columns up is refused.
Which actions are legal (``masks.KEY`` of a Dict) is no part of what a network sees.
Knows nothing of how environments are built or stepped.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tuitrain.envs import masks
from tuitrain.envs.spaces import (
    SUPPORTED,
    BadObservation,
    UnsupportedSpace,
    box_form,
    check_observation,
    shown,
)
from tuitrain.envs.spec import STORED_DTYPES, Part, PolicySpec, is_array

Write = Callable[[NDArray[Any], int, Any, str], None]
"""``write(rows, lane, observation, where)``: check an observation and put it into its row."""

_Put = Callable[[NDArray[Any], Any, str], None]
"""The same of one part, into a row of float32."""


class Form(NamedTuple):
    """What is kept of an observation, see ``PolicySpec``; `masked`: it brings a mask itself."""

    shape: tuple[int, ...]
    dtype: str
    masked: bool
    parts: tuple[Part, ...]


def form_of(space: Any, n_actions: int, where: str) -> Form:
    """Form of a supported observation space.

    Args:
        space: the declared observation space.
        n_actions: as many must a mask have.
        where: whose space it is, for the error.

    Raises:
        UnsupportedSpace: the message names the part.
    """
    if isinstance(space, spaces.Box):
        return Form(*box_form(space, where), False, ())
    masked = isinstance(space, spaces.Dict) and masks.KEY in space.spaces
    if masked:
        masks.check_space(space[masks.KEY], n_actions, where)
    parts: list[Part] = []
    column = 0
    for part in _parts(space, (), where, masked):
        parts.append(replace(part, column=column))
        column += part.columns
    if not column:
        raise UnsupportedSpace(f"{where}: there is nothing to see in {shown(space)}; {SUPPORTED}.")
    if is_array(parts):
        return Form(parts[0].shape, parts[0].dtype, masked, tuple(parts))
    return Form((column,), "float32", masked, tuple(parts))


def writer_of(policy: PolicySpec) -> Write:
    """What puts a policy's observations into rows, as fast as may be.

    It raises ``BadObservation`` for what is not as declared, naming the part.
    """
    if not policy.parts:
        return _array_writer(policy.observation_shape, policy.declared_dtype)
    if not policy.is_row:
        return _part_writer(policy.parts[0])
    puts = [(part, part.path, _put_of(part)) for part in policy.parts]
    sparse = any(part.kind == "one_hot" for part in policy.parts)

    def write_row(rows: NDArray[Any], lane: int, observation: Any, where: str) -> None:
        row = rows[lane]
        if sparse:
            row.fill(0.0)
        for part, path, put in puts:
            value = observation
            try:
                for key in path:
                    value = value[key]
            except (KeyError, IndexError, TypeError):
                raise _missing(part, where) from None
            put(row, value, where)

    return write_row


# ---- spaces ----------------------------------------------------------------------------------


def _parts(space: Any, path: tuple[str | int, ...], where: str, masked: bool) -> Iterator[Part]:
    """The parts of a space in its own order, columns not yet given out."""
    match space:
        case spaces.Dict():
            for key, inner in space.spaces.items():
                if not isinstance(key, str):
                    raise UnsupportedSpace(
                        f"{where}: {key!r} is a key of its observation space; keys must be text."
                    )
                if not (masked and key == masks.KEY):
                    yield from _parts(inner, (*path, key), where, False)
        case spaces.Tuple():
            for place, inner in enumerate(space.spaces):
                yield from _parts(inner, (*path, place), where, False)
        case spaces.Box() if np.dtype(space.dtype).name in STORED_DTYPES:
            yield Part(path, "box", _ints(space.shape), np.dtype(space.dtype).name)
        case spaces.Discrete():
            yield Part(path, "one_hot", (), "int", 0, (int(space.n),), (int(space.start),))
        case spaces.MultiDiscrete():
            values, lowest = _ints(space.nvec.reshape(-1)), _ints(space.start.reshape(-1))
            dtype = np.dtype(space.dtype).name
            yield Part(path, "one_hot", _ints(space.shape), dtype, 0, values, lowest)
        case spaces.MultiBinary():
            yield Part(path, "binary", _ints(space.shape), np.dtype(space.dtype).name)
        case _:
            which = f"part {Part(path, '', (), '').name!r} of its" if path else "its"
            hint = " gymnasium.wrappers.FilterObservation(env, keys) keeps others." if path else ""
            raise UnsupportedSpace(
                f"{where}: {which} observation space is {shown(space)}; {SUPPORTED}.{hint}"
            )


def _ints(numbers: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)


# ---- observations ----------------------------------------------------------------------------


def _array_writer(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Write:
    def write(rows: NDArray[Any], lane: int, observation: Any, where: str) -> None:
        if (
            type(observation) is not np.ndarray
            or observation.shape != shape
            or observation.dtype != dtype
        ):
            check_observation(observation, shape, dtype, where)
        rows[lane] = observation

    return write


def _part_writer(part: Part) -> Write:
    """Of an array that is a part of something."""
    shape, dtype = part.shape, np.dtype(part.dtype)

    def write(rows: NDArray[Any], lane: int, observation: Any, where: str) -> None:
        value = observation
        try:
            for key in part.path:
                value = value[key]
        except (KeyError, IndexError, TypeError):
            raise _missing(part, where) from None
        if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
            check_observation(value, shape, dtype, _of(where, part))
        rows[lane] = value

    return write


def _put_of(part: Part) -> _Put:
    if part.kind == "one_hot":
        return _put_choices(part) if part.shape else _put_choice(part)
    first, behind = part.column, part.column + part.columns
    shape, dtype, binary = part.shape, np.dtype(part.dtype), part.kind == "binary"

    def put_numbers(row: NDArray[Any], value: Any, where: str) -> None:
        if not shape and isinstance(value, np.generic):
            value = np.asarray(value)
        if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
            check_observation(value, shape, dtype, _of(where, part))
        row[first:behind] = value.reshape(-1)
        if binary and np.count_nonzero(value & ~1):
            raise _outside(part, value, where)

    return put_numbers


def _put_choice(part: Part) -> _Put:
    (values,), (lowest,), first = part.values, part.lowest, part.column

    def put_choice(row: NDArray[Any], value: Any, where: str) -> None:
        try:
            place = operator.index(value) - lowest
        except TypeError:
            raise BadObservation(
                f"{_of(where, part)}: it is {value!r:.80}, not a whole number."
            ) from None
        if not 0 <= place < values:
            raise _outside(part, value, where)
        row[first + place] = 1.0

    return put_choice


def _put_choices(part: Part) -> _Put:
    values, lowest = (np.array(n, np.int64).reshape(part.shape) for n in (part.values, part.lowest))
    ends = np.cumsum(part.values)
    firsts = part.column + (ends - part.values)
    shape, dtype = part.shape, np.dtype(part.dtype)

    def put_choices(row: NDArray[Any], value: Any, where: str) -> None:
        if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
            check_observation(value, shape, dtype, _of(where, part))
        places = value - lowest
        if np.count_nonzero((places < 0) | (places >= values)):
            raise _outside(part, value, where)
        row[firsts + places.reshape(-1)] = 1.0

    return put_choices


def _of(where: str, part: Part) -> str:
    return f"{where}, part {part.name!r}" if part.path else where


def _missing(part: Part, where: str) -> BadObservation:
    return BadObservation(
        f"{where}: an observation has no part {part.name!r}, which its observation space declares."
    )


def _outside(part: Part, value: Any, where: str) -> BadObservation:
    allowed = "0 and 1"
    if part.kind == "one_hot":
        ends = [low + count - 1 for low, count in zip(part.lowest, part.values, strict=True)]
        several = len(ends) > 1
        allowed = f"{list(part.lowest)} to {ends}" if several else f"{part.lowest[0]} to {ends[0]}"
    got = " ".join(str(value).split())
    return BadObservation(f"{_of(where, part)}: it is {got:.80}; its space allows {allowed}.")
