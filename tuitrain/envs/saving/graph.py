"""An environment taken apart: everything that is reached from it, as plain values.

Every object that is met becomes a *node*, once, however many ways lead to it; where a value is one
of None, bool, int, float or str it stands where it is, anything else as ``[number of its node]``.
So two attributes that are one list stay one list, and a view stays a view. What has a state that
cannot be seen from Python (a window, a socket, a C library's world) is refused by name. No pickle:
``rebuild.py`` puts the nodes back into an environment that was built the same way.
"""

from __future__ import annotations

import random
import types
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np

from tuitrain.envs.saving import leaves
from tuitrain.envs.saving.kinds import (
    INLINE,
    MAPPINGS,
    SEQUENCES,
    WITH_METHODS,
    attributes_of,
    class_name,
    constant,
    function_name,
    globals_of,
    is_ale,
    is_plain,
    member_name,
    offers_state,
)
from tuitrain.envs.saving.leaves import CannotSave, type_name

MAX_NODES = 200_000
"""Of one environment: more would take longer to save than to wait for."""

RANDOMS: dict[Any, Any] = {
    np.random.RandomState: ("RandomState", leaves.legacy_state),
    random.Random: ("Random", leaves.python_state),
}


class Graph:
    """Everything that is reached from `root`.

    Args:
        root: an environment, with its wrappers.
        called: what messages call it.
        bare: only see what there is, without the contents of arrays and streams, to find the
            places of a saved state.

    Attributes:
        nodes: plain; the first is the root's.
        objects: what each node was made from.

    Raises:
        CannotSave: the message names the attribute and what it is.
    """

    def __init__(self, root: Any, called: str = "env", *, bare: bool = False) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.objects: list[Any] = []
        self._bare = bare
        self._called = called
        self._numbers: dict[int, int] = {}
        self._ways: list[tuple[int, str]] = []  # for each node, from which one and how it was met
        self._wholes: dict[int, Any] = {}  # arrays of objects whose only view is saved as theirs
        self._globals: dict[str, dict[int, str]] = {}
        self._root, self._innermost = root, getattr(root, "unwrapped", root)
        self._number_of(root, -1, "")
        while len(self.nodes) < len(self.objects):
            self.nodes.append(self._node(len(self.nodes)))

    # ---- walking -----------------------------------------------------------------------------

    def _value(self, value: Any, of: int, way: str) -> Any:
        """How `value` stands in a node."""
        return value if type(value) in INLINE else [self._number_of(value, of, way)]

    def _values(self, values: Iterable[Any], of: int) -> list[Any]:
        return [self._value(value, of, f"[{place}]") for place, value in enumerate(values)]

    def _number_of(self, value: Any, of: int, way: str) -> int:
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self.objects)
            self.objects.append(value)  # and so it lives on, and its id is its own
            self._ways.append((of, way))
            if number >= MAX_NODES:
                raise CannotSave(f"{self._called} holds more than {MAX_NODES:,} objects")
        return number

    def path(self, number: int) -> str:
        """How a node is reached, as one would write it."""
        way = ""
        while number >= 0 and self.objects[number] is not self._innermost:
            number, step = self._ways[number]
            way = step + way
        inner = self._innermost is not self._root and number >= 0
        return self._called + (".unwrapped" if inner else "") + way

    def _refused(self, number: int, why: str = "") -> CannotSave:
        what = why or f"a {type_name(self.objects[number])}"
        return CannotSave(f"attribute {self.path(number)} is {what}")

    # ---- nodes -------------------------------------------------------------------------------

    def _node(self, at: int) -> dict[str, Any]:
        it = self.objects[at]
        kind = type(it)
        if SEQUENCES.get(kind.__name__) is kind:
            return self._sequence(at, it)
        if MAPPINGS.get(kind.__name__) is kind:
            return self._mapping(at, it)
        if kind is np.ndarray:
            return self._array(at, it)
        if isinstance(it, np.generic) and leaves.can_be_data(it.dtype):
            return {"is": "scalar"} | leaves.array_data(np.asarray(it))
        if fixed := constant(it):
            return {"is": "constant", "name": fixed}
        return self._stream(at, it) or self._other(at, it)

    def _stream(self, at: int, it: Any) -> dict[str, Any] | None:
        """Random streams."""
        if type(it) is np.random.Generator:
            return {"is": "Generator", "bits": self._value(it.bit_generator, at, ".bit_generator")}
        if isinstance(it, np.random.BitGenerator):
            state = leaves.bits_state(it)
            if state is None:
                raise self._refused(at)
            return {"is": "bits"} | state
        if (known := RANDOMS.get(type(it))) is not None:
            name, state_of = known
            state = state_of(it)
            return {"is": name, **state}
        return None

    def _other(self, at: int, it: Any) -> dict[str, Any]:
        """Small values, methods and objects."""
        kind = type(it)
        if kind in (bytes, bytearray):
            return {"is": kind.__name__, "data": np.frombuffer(bytes(it), np.uint8)}
        if kind in (range, slice, complex):
            parts = [it.real, it.imag] if kind is complex else [it.start, it.stop, it.step]
            return {"is": kind.__name__, "items": self._values(parts, at)}
        if kind in (types.MethodType, types.BuiltinFunctionType):
            built_in = type(it.__self__) in WITH_METHODS
            if not built_in and kind is types.BuiltinFunctionType:
                raise self._refused(at, f"a method of a {type_name(it.__self__)}")
            return {
                "is": "built-in method" if built_in else "method",
                "of": self._value(it.__self__, at, ".__self__"),
                "name": it.__name__ if built_in else function_name(it.__func__),
            }
        named = class_name(kind)
        if (member := member_name(it)) is not None:
            return {"is": "member", "class": named, "name": member}
        if isinstance(it, tuple) and hasattr(kind, "_fields") and kind.__bases__ == (tuple,):
            return {"is": "named", "class": named, "items": self._values(it, at)}
        if offers_state(it):
            told = None if self._bare else self._value(it.state_dict(), at, ".state_dict()")
            return {"is": "own", "class": named, "state": told}
        if is_ale(it):
            if it.getFloat("repeat_action_probability"):
                why = "an Atari console with sticky actions, which does not tell its last action"
                raise self._refused(at, why)
            data = b"" if self._bare else it.cloneState(include_rng=True).serialize()
            return {"is": "ale", "class": named, "data": np.frombuffer(data, np.uint8)}
        if isinstance(it, gymnasium.Space):
            return {"is": "space", "class": named, "attributes": self._attributes(at, _of_space)}
        if not is_plain(kind):
            raise self._refused(at)
        node = {"is": "object", "class": named, "attributes": self._attributes(at, _all)}
        if (shared := self._global_name(it)) is not None:
            node["global"] = shared
        return node

    def _sequence(self, at: int, it: Any) -> dict[str, Any]:
        node = {"is": type(it).__name__, "items": self._values(it, at)}
        return node | {"maxlen": it.maxlen} if type(it) is deque else node

    def _mapping(self, at: int, it: Any) -> dict[str, Any]:
        pairs = [
            [self._value(key, at, f" (key {key!r:.40})"), self._value(value, at, f"[{key!r:.40}]")]
            for key, value in it.items()
        ]
        node = {"is": type(it).__name__, "items": pairs}
        if type(it) is defaultdict:
            node["default"] = self._value(it.default_factory, at, ".default_factory")
        return node

    def _array(self, at: int, it: Any) -> dict[str, Any]:
        base = it
        while isinstance(base.base, np.ndarray):
            base = base.base
        if it.dtype == object:
            return self._objects(at, it, base)
        if not leaves.can_be_data(it.dtype):
            raise self._refused(at, f"an array of dtype {it.dtype}")
        # what nobody writes through arrays, such as the bytes of np.frombuffer, may be copied
        if type(base) is not np.ndarray or (base.base is not None and base.flags.writeable):
            of = base if base.base is None else base.base
            raise self._refused(at, f"an array over the memory of a {type_name(of)}")
        if base is it:
            strides = [int(n) for n in it.strides]
            contents = {} if self._bare else leaves.array_data(it)
            return {"is": "array", "strides": strides, "fixed": not it.flags.writeable} | contents
        start = [array.__array_interface__["data"][0] for array in (base, it)]
        return {
            "is": "view",
            "base": self._value(base, at, ".base"),
            "dtype": it.dtype.str,
            "shape": [int(n) for n in it.shape],
            "strides": [int(n) for n in it.strides],
            "offset": int(start[1] - start[0]),
        }

    def _objects(self, at: int, it: Any, base: Any) -> dict[str, Any]:
        """An array of objects; a view if it shows all of an array that nobody else has."""
        if self._wholes.setdefault(id(base), it) is not it or base.size != it.size:
            raise self._refused(at, "a view of an array of objects")
        items = self._values(it.reshape(-1), at)
        return {"is": "objects", "shape": [int(n) for n in it.shape], "items": items}

    def _attributes(self, at: int, wanted: Any) -> dict[str, Any]:
        found = attributes_of(self.objects[at])
        return {n: self._value(v, at, f".{n}") for n, v in found.items() if wanted(n)}

    def _global_name(self, it: Any) -> str | None:
        """Where an object is kept that a module or class has for all, such as a sentinel."""
        if it is self._root or it is self._innermost:
            return None
        for kind in (type(it), type(self._innermost)):
            module = kind.__module__
            if module not in self._globals:
                self._globals[module] = globals_of(module)
            if (name := self._globals[module].get(id(it))) is not None:
                return f"{module}:{name}"
        return None


def _all(name: str) -> bool:
    return True


def _of_space(name: str) -> bool:
    """A space is a constant but for its random stream, and those of the spaces in it."""
    return name in ("_np_random", "spaces")
