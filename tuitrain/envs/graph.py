"""An environment taken apart: everything that is reached from it, as plain values.

Every object that is met becomes a *node*, once, however many ways lead to it; where a value is one
of None, bool, int, float or str it stands where it is, anything else as ``[number of its node]``.
So two attributes that are one list stay one list, and a view stays a view. What has a state that
cannot be seen from Python (a window, a socket, a C library's world) is refused by name. No pickle:
``rebuild.py`` puts the nodes back into an environment that was built the same way.
"""

from __future__ import annotations

import enum
import functools
import logging
import random
import re
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from tuitrain.envs import leaves
from tuitrain.envs.leaves import CannotSave, type_name

INLINE = (type(None), bool, int, float, str)

MAX_NODES = 200_000
"""Of one environment: more would take longer to save than to wait for."""

SEQUENCES: dict[str, Any] = {kind.__name__: kind for kind in (list, tuple, set, frozenset, deque)}
MAPPINGS: dict[str, Any] = {
    kind.__name__: kind for kind in (dict, OrderedDict, defaultdict, Counter)
}
RANDOMS: dict[Any, Any] = {
    np.random.RandomState: ("RandomState", leaves.legacy_state),
    random.Random: ("Random", leaves.python_state),
}
WITH_METHODS = (list, dict, set, deque, np.random.Generator, np.random.RandomState, random.Random)
"""Built-in kinds of which an environment may keep a bound method, as in `draw = rng.random`."""

_CONSTANTS = (
    types.FunctionType,
    types.ModuleType,
    types.GenericAlias,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.EllipsisType,
    types.NotImplementedType,
    type,
    re.Pattern,
    functools.partial,
    logging.Logger,
    logging.LoggerAdapter,
    np.dtype,
    np.ufunc,
    EnvSpec,
    WrapperSpec,
)
"""What is as it was built: it stays what it is in the environment that a state is put into."""


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
        if (member := _member(it)) is not None:
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
                self._globals[module] = _globals_of(module)
            if (name := self._globals[module].get(id(it))) is not None:
                return f"{module}:{name}"
        return None


def constant(it: Any) -> str:
    """What names something that never changes; "" for everything else."""
    if (stream := leaves.GLOBAL_STREAMS.get(id(it))) is not None:
        return f"the process's {stream}"
    if isinstance(it, types.BuiltinFunctionType):
        of: Any = it.__self__
        if of is None or isinstance(of, types.ModuleType | type):
            return f"built-in {it.__qualname__}"
        known = leaves.GLOBAL_STREAMS.get(id(of))
        return f"built-in {known}.{it.__name__}" if known else ""
    if isinstance(it, types.MethodType):
        # of a class, or of the process's own random stream
        of = it.__self__
        fixed = isinstance(of, type) or id(of) in leaves.GLOBAL_STREAMS
        return f"method {function_name(it.__func__)}" if fixed else ""
    if isinstance(it, types.FunctionType | type):
        return f"{type(it).__name__} {function_name(it)}"
    if isinstance(it, functools.partial):
        return f"partial {constant(it.func) or type_name(it.func)}"
    if isinstance(it, EnvSpec | WrapperSpec):
        return f"{type(it).__name__} {getattr(it, 'id', None) or it.name}"
    if isinstance(it, logging.Logger | logging.LoggerAdapter):
        return f"logger {it.name if isinstance(it, logging.Logger) else it.logger.name}"
    return f"{type(it).__name__} {it!r:.200}" if isinstance(it, _CONSTANTS) else ""


def function_name(it: Any) -> str:
    """Module and name of a function or class."""
    module, name = getattr(it, "__module__", None), getattr(it, "__qualname__", type_name(it))
    return f"{module}.{name}"


def class_name(kind: type) -> str:
    """How a class is written in a node."""
    return f"{kind.__module__}:{kind.__qualname__}"


def offers_state(it: Any) -> bool:
    """Whether an object's class says itself what its state is: our protocol for environments."""
    calls = "state_dict", "load_state_dict"
    return all(callable(getattr(type(it), call, None)) for call in calls)


def is_ale(it: Any) -> bool:
    """Whether it is an Atari console of the Arcade Learning Environment."""
    kind = type(it)
    return kind.__name__ == "ALEInterface" and kind.__module__.split(".")[0] == "ale_py"


_HEAP_TYPE = 1 << 9
_POINTER = 8


def is_plain(kind: type) -> bool:
    """Whether all that objects of a class hold is in their attributes.

    So it is if Python made the class and every class before it, and none has room for more.
    """
    if not all(
        base in (object, types.SimpleNamespace) or base.__flags__ & _HEAP_TYPE
        for base in kind.__mro__
    ):
        return False
    words = len(slots_of(kind)) + (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    return kind.__basicsize__ <= object.__basicsize__ + words * _POINTER and not kind.__itemsize__


def slots_of(kind: type) -> dict[str, Any]:
    """The slots of a class and those before it, by name."""
    slots: dict[str, Any] = {}
    for base in kind.__mro__:
        if base.__flags__ & _HEAP_TYPE:
            for name, it in vars(base).items():
                if isinstance(it, types.MemberDescriptorType):
                    slots.setdefault(name, it)
    return slots


def is_dunder(name: str) -> bool:
    """Names of Python's own, which are never saved or set."""
    return name.startswith("__") and name.endswith("__")


def attributes_of(it: Any) -> dict[str, Any]:
    """What an object holds by name; no code of its class runs."""
    found: dict[str, Any] = {}
    for name, slot in slots_of(type(it)).items():
        try:
            found[name] = slot.__get__(it)
        except AttributeError:
            continue  # nothing in it
    own: Mapping[str, Any] = own_dict(it)
    return found | {name: value for name, value in own.items() if not is_dunder(name)}


def own_dict(it: Any) -> dict[str, Any]:
    """An object's ``__dict__``; one that belongs to nobody if it has none."""
    try:
        found: dict[str, Any] = object.__getattribute__(it, "__dict__")
    except AttributeError:
        return {}
    return found


def _all(name: str) -> bool:
    return True


def _of_space(name: str) -> bool:
    """A space is a constant but for its random stream, and those of the spaces in it."""
    return name in ("_np_random", "spaces")


def _member(it: Any) -> str | None:
    """The name of an enum's member, Python's or a C library's."""
    if isinstance(it, enum.Enum):
        return it._name_ if it._name_ in type(it).__members__ else None
    members, name = getattr(type(it), "__members__", None), getattr(it, "name", None)
    if isinstance(members, Mapping) and isinstance(name, str) and name in members:
        return name
    return None


def _globals_of(module: str) -> dict[int, str]:
    """Objects that a module or its classes have, by id; functions, classes and modules are not."""
    there = getattr(sys.modules.get(module), "__dict__", {})
    found: dict[int, str] = {}
    for name, it in list(there.items()):
        if isinstance(it, type) and it.__module__ == module:
            for inner, value in vars(it).items():
                if not is_dunder(inner):
                    found.setdefault(id(value), f"{name}.{inner}")
        elif not is_dunder(name):
            found[id(it)] = name
    return found
