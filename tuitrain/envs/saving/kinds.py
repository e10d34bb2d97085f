"""Kinds of things that environments hold: what never changes, what attributes are all of.

Only looks at one thing at a time, and runs no code of its class. Knows nothing of environments.
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
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from tuitrain.envs.saving import leaves
from tuitrain.envs.saving.leaves import type_name

INLINE = (type(None), bool, int, float, str)

SEQUENCES: dict[str, Any] = {kind.__name__: kind for kind in (list, tuple, set, frozenset, deque)}
MAPPINGS: dict[str, Any] = {
    kind.__name__: kind for kind in (dict, OrderedDict, defaultdict, Counter)
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


def member_name(it: Any) -> str | None:
    """The name of an enum's member, Python's or a C library's."""
    if isinstance(it, enum.Enum):
        return it._name_ if it._name_ in type(it).__members__ else None
    members, name = getattr(type(it), "__members__", None), getattr(it, "name", None)
    if isinstance(members, Mapping) and isinstance(name, str) and name in members:
        return name
    return None


def globals_of(module: str) -> dict[int, str]:
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
