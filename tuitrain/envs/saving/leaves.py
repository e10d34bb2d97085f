"""Arrays and random streams as plain values, and back.

Plain are None, bool, int, float, str, lists, dicts with str keys and arrays of numbers or bools:
what a file can hold without any code in it. Knows nothing of environments.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.spaces import EnvError


class CannotSave(EnvError):
    """Something has a state that cannot be had from outside; the message names it."""


class CannotRestore(EnvError):
    """A saved state does not fit, or is damaged; the message says where."""


NUMBERS = "biufc"
"""Kinds of dtype that are plain; those in ``_AS_BYTES`` are kept as their bytes."""

_AS_BYTES = "USmM"

_BITS = {
    kind.__name__: kind
    for kind in (
        np.random.MT19937,
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.Philox,
        np.random.SFC64,
    )
}

GLOBAL_STREAMS: dict[int, str] = {
    id(stream): name
    for name, stream in (
        ("random", getattr(random, "_inst", None)),
        ("numpy.random", np.random.mtrand._rand),
    )
    if stream is not None
}
"""The process's own streams by id: they belong to whoever fences them, see ``GlobalRandom``."""


def plain_copy(value: Any, where: str = "state") -> Any:
    """The same value with arrays copied; proves that it is plain.

    Raises:
        CannotSave: something in it is not plain; says where.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [plain_copy(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise CannotSave(f"{where}: {key!r:.80} is a key, but keys must be text")
        return {key: plain_copy(item, f"{where}.{key}") for key, item in value.items()}
    if type(value) is np.ndarray and value.dtype.kind in NUMBERS:
        return value.copy()
    raise CannotSave(f"{where} is a {type_name(value)}, not a plain value")


def type_name(value: Any) -> str:
    """What something is, for an error."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else _dotted(kind)


def _dotted(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


# ---- arrays ----------------------------------------------------------------------------------


def can_be_data(dtype: np.dtype[Any]) -> bool:
    """Whether ``array_data`` takes arrays of this dtype."""
    return dtype.kind in NUMBERS + _AS_BYTES


def array_data(array: NDArray[Any]) -> dict[str, Any]:
    """An array's contents as plain values; a copy."""
    # C order makes 0-d arrays out of nothing but themselves, unlike ascontiguousarray
    copied = array.copy(order="C")
    if copied.dtype.kind in NUMBERS:
        return {"data": copied}
    raw = np.frombuffer(copied.tobytes(), np.uint8)
    return {"data": raw, "dtype": copied.dtype.str, "shape": list(copied.shape)}


def array_from(node: Mapping[str, Any]) -> NDArray[Any]:
    """The other way; a copy in C order.

    Raises:
        CannotRestore: it is not what ``array_data`` makes.
    """
    data = node.get("data")
    if type(data) is not np.ndarray or data.dtype.kind not in NUMBERS:
        raise CannotRestore(f"an array's data is a {type_name(data)}")
    if "dtype" not in node:
        return data.copy(order="C")
    dtype = np.dtype(str(node["dtype"]))
    if dtype.kind not in _AS_BYTES or data.dtype != np.uint8:
        raise CannotRestore(f"an array's dtype is {dtype}")
    whole = np.frombuffer(data.tobytes(), dtype)
    return whole.reshape(shape_from(node)).copy()


def shape_from(node: Mapping[str, Any], name: str = "shape") -> tuple[int, ...]:
    """A list of whole numbers as a tuple.

    Raises:
        CannotRestore: it is none.
    """
    found = node.get(name)
    if type(found) is not list or not all(type(n) is int for n in found):
        raise CannotRestore(f"an array's {name} is {found!r:.80}")
    return tuple(found)


# ---- random streams --------------------------------------------------------------------------


def bits_state(bits: np.random.BitGenerator) -> dict[str, Any] | None:
    """Where a numpy bit generator is, and what it was seeded with; None if its kind is unknown.

    The seed is needed by ``Generator.spawn``, which gives out its children.
    """
    if _BITS.get(type(bits).__name__) is not type(bits):
        return None
    return {
        "state": _plain_words(dict(bits.state)),
        "seed": _seed_state(getattr(bits, "seed_seq", None)),
    }


def bits_from(node: Mapping[str, Any]) -> np.random.BitGenerator:
    """A new bit generator that goes on from there.

    Raises:
        CannotRestore: it is not what ``bits_state`` makes.
    """
    state = node["state"]
    kind = _BITS.get(str(state.get("bit_generator"))) if type(state) is dict else None
    if kind is None:
        raise CannotRestore("a random stream of an unknown kind")
    seed = node["seed"]
    bits: np.random.BitGenerator = kind(0 if seed is None else _seed_from(seed))
    bits.state = state
    return bits


def legacy_state(stream: np.random.RandomState) -> dict[str, Any]:
    """Where a ``numpy.random.RandomState`` is."""
    return {"state": _plain_words(dict(stream.get_state(legacy=False)))}


def legacy_from(node: Mapping[str, Any]) -> np.random.RandomState:
    """A new one that goes on from there."""
    stream = np.random.RandomState()
    stream.set_state(node["state"])
    return stream


def python_state(stream: random.Random) -> dict[str, Any]:
    """Where a ``random.Random`` is."""
    version, words, gauss = stream.getstate()
    return {"version": version, "words": np.array(words, np.uint32), "gauss": gauss}


def python_from(node: Mapping[str, Any]) -> random.Random:
    """A new one that goes on from there."""
    stream = random.Random()
    words = tuple(int(word) for word in node["words"].tolist())
    stream.setstate((int(node["version"]), words, node["gauss"]))
    return stream


def _plain_words(state: dict[str, Any]) -> dict[str, Any]:
    """A bit generator's own dict with whole numbers as int."""
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, dict):
            plain[key] = _plain_words(value)
        elif isinstance(value, np.integer):
            plain[key] = int(value)
        elif isinstance(value, np.ndarray):
            plain[key] = value.copy()
        else:
            plain[key] = value
    return plain


def _seed_state(seed: Any) -> dict[str, Any] | None:
    if type(seed) is not np.random.SeedSequence:
        return None
    entropy: Any = seed.entropy
    if entropy is not None:
        entropy = int(entropy) if np.ndim(entropy) == 0 else [int(word) for word in entropy]
    return {
        "entropy": entropy,
        "spawn_key": [int(word) for word in seed.spawn_key],
        "pool_size": int(seed.pool_size),
        "children": int(seed.n_children_spawned),
    }


def _seed_from(node: Mapping[str, Any]) -> np.random.SeedSequence:
    return np.random.SeedSequence(
        node["entropy"],
        spawn_key=tuple(node["spawn_key"]),
        pool_size=node["pool_size"],
        n_children_spawned=node["children"],
    )
