"""A saved state put back into an environment that was built the same way.

Objects stay the ones that are there, found by the way to them; lists, arrays and streams are made
anew. Nothing in a state can name code to be run: classes are those of the objects that are there,
or of the modules these classes are from; functions are those that are there. Every attribute ends
up as it was saved.
"""

from __future__ import annotations

import sys
import types
from collections import defaultdict, deque
from typing import Any

import numpy as np

from tuitrain.envs.saving import leaves
from tuitrain.envs.saving.graph import Graph
from tuitrain.envs.saving.kinds import (
    INLINE,
    MAPPINGS,
    SEQUENCES,
    WITH_METHODS,
    class_name,
    function_name,
    is_dunder,
    is_plain,
    own_dict,
    slots_of,
)
from tuitrain.envs.saving.leaves import CannotRestore, shape_from, type_name
from tuitrain.envs.saving.matching import alike, as_list, pairs, reference

_STAY = ("object", "own", "space", "ale", "constant")
"""Kinds of nodes that are the objects already there."""


def put(root: Any, nodes: Any, called: str = "env") -> None:
    """Make `root` and everything that is reached from it as it was saved.

    Args:
        root: an environment, built and reset.
        nodes: ``Graph(...).nodes`` of one that was built the same way.
        called: what messages call it.

    Raises:
        CannotRestore: the state does not fit. Nothing has been changed if it is the state that is
            wrong; an environment's own ``load_state_dict`` may fail later.
        CannotSave: something is there that could never have been saved.
    """
    _check_nodes(nodes, called)
    there = Graph(root, called, bare=True)
    if not alike(nodes[0], there.nodes[0]):
        saved, now = (node.get("class", node.get("is")) for node in (nodes[0], there.nodes[0]))
        raise CannotRestore(f"{called}: the state is of a {saved!s:.80}, this one is a {now}")
    _rebuild(nodes, there, called)


def made_from(nodes: Any, called: str = "value") -> Any:
    """A value that is made up of nothing but built-in kinds and arrays.

    Raises:
        CannotRestore: it is not, or is damaged.
    """
    _check_nodes(nodes, called)
    return _rebuild(nodes, Graph((), called), called)


def _check_nodes(nodes: Any, called: str) -> None:
    if type(nodes) is not list or not nodes or not all(type(node) is dict for node in nodes):
        raise CannotRestore(f"{called}: a saved state is a list of nodes")


def _rebuild(nodes: list[dict[str, Any]], there: Graph, called: str) -> Any:
    """The first node's object, complete."""
    try:
        rebuilt = _Rebuilt(nodes, there)
        rebuilt.make()
        return rebuilt.fill()
    except CannotRestore as error:
        raise CannotRestore(f"{called}: {error}") from error
    except Exception as error:
        raise CannotRestore(f"{called}: {type(error).__name__}: {error}") from error


class _Rebuilt:
    """The objects of a saved state, node by node."""

    def __init__(self, nodes: list[dict[str, Any]], there: Graph) -> None:
        self._nodes = nodes
        self._there = there
        self._pairs = pairs(nodes, there.nodes)
        self._made: dict[int, Any] = {}
        self._open: set[int] = set()
        self._classes: dict[str, type] = {}
        for it in there.objects:
            for kind in (type(it), it) if isinstance(it, type) else (type(it),):
                self._classes.setdefault(class_name(kind), kind)
        self._modules = {kind.__module__ for kind in self._classes.values()} - {"builtins"}
        self._constants = {
            node["name"]: there.objects[n]
            for n, node in enumerate(there.nodes)
            if node["is"] == "constant"
        }

    def make(self) -> None:
        """Find or make the object of every node; those that can change are still empty."""
        for number in range(len(self._nodes)):
            self._object(number)
            self._check(number)

    def fill(self) -> Any:
        """Give them their contents, those first on which a hash may depend; the first object."""
        late: list[int] = []
        last: list[int] = []
        for number, node in enumerate(self._nodes):
            kind = node["is"]
            if kind in MAPPINGS or kind == "set":
                late.append(number)
            elif kind in ("own", "ale"):
                last.append(number)
            else:
                self._fill(self._made[number], node)
        for number in late + last:
            self._fill(self._made[number], self._nodes[number])
        return self._made[0]

    # ---- making ------------------------------------------------------------------------------

    def _value(self, value: Any) -> Any:
        if type(value) in INLINE:
            return value
        return self._object(reference(value, len(self._nodes)))

    def _values(self, values: Any) -> list[Any]:
        return [self._value(value) for value in as_list(values)]

    def _object(self, number: int) -> Any:
        if number not in self._made:
            if number in self._open:
                raise CannotRestore("something that cannot change holds itself")
            self._open.add(number)
            self._made[number] = self._new(number)
            self._open.discard(number)
        return self._made[number]

    def _new(self, number: int) -> Any:
        node = self._nodes[number]
        match kind := node.get("is"):
            case "list" | "set":
                return SEQUENCES[kind]()
            case "tuple" | "frozenset":
                return SEQUENCES[kind](self._values(node["items"]))
            case "deque":
                return deque(maxlen=node["maxlen"])
            case "defaultdict":
                return defaultdict(self._value(node["default"]))
            case "dict" | "OrderedDict" | "Counter":
                return MAPPINGS[kind]()
            case "array":
                return _array(node)
            case "view":
                return _view(node, self._value(node["base"]))
            case "objects":
                return np.empty(shape_from(node), object)
            case "scalar":
                return leaves.array_from(node)[()]
            case "bits":
                return leaves.bits_from(node)
            case "Generator":
                return np.random.Generator(self._value(node["bits"]))
            case "RandomState":
                return leaves.legacy_from(node)
            case "Random":
                return leaves.python_from(node)
            case "bytes" | "bytearray":
                raw = leaves.array_from(node).tobytes()
                return raw if kind == "bytes" else bytearray(raw)
            case "range" | "slice":
                return (range if kind == "range" else slice)(*self._values(node["items"]))
            case "complex":
                return complex(*self._values(node["items"]))
            case "method" | "built-in method":
                return self._method(node)
            case "member":
                return self._class(node["class"]).__members__[node["name"]]  # type: ignore[attr-defined]  # an enum
            case "named":
                return self._named(node)
        return self._staying(number, node)

    def _named(self, node: dict[str, Any]) -> Any:
        kind: Any = self._class(node["class"])
        if not (issubclass(kind, tuple) and hasattr(kind, "_fields")):
            raise CannotRestore(f"{node['class']} is no named tuple")
        items = self._values(node["items"])
        if len(items) != len(kind._fields):
            raise CannotRestore(f"{node['class']} has {len(kind._fields)} fields")
        return tuple.__new__(kind, items)

    def _staying(self, number: int, node: dict[str, Any]) -> Any:
        """Objects that are there already; one of a plain class may also be new."""
        kind, there = node.get("is"), self._there
        if kind not in _STAY:
            raise CannotRestore(f"nothing is a {kind!r:.40}")
        if "global" in node:
            return self._global(node)
        pair = self._pairs.get(number)
        if pair is not None and "global" not in there.nodes[pair]:
            return there.objects[pair]
        if kind == "constant" and node["name"] in self._constants:
            return self._constants[node["name"]]
        if kind != "object":
            what = node["name"] if kind == "constant" else node["class"]
            raise CannotRestore(f"there is no {what!s:.120} in an environment just built")
        cls = self._class(node["class"])
        if not is_plain(cls) or hasattr(cls, "__del__"):
            raise CannotRestore(f"{node['class']} cannot be made")
        return object.__new__(cls)

    def _global(self, node: dict[str, Any]) -> Any:
        """What a module or class has for all."""
        module, _, path = str(node["global"]).partition(":")
        found = self._found(module, path)
        if class_name(type(found)) != node["class"] or not is_plain(type(found)):
            raise CannotRestore(f"{node['global']!s:.120} is no {node['class']}")
        return found

    def _class(self, name: Any) -> type:
        """A class by its name: of something that is there, or from the same module."""
        found = self._classes.get(str(name))
        if found is None:
            module, _, path = str(name).partition(":")
            found = self._found(module, path)
            if not isinstance(found, type) or class_name(found) != name:
                raise CannotRestore(f"there is no class {name!s:.120}")
            self._classes[str(name)] = found
        return found

    def _found(self, module: str, path: str) -> Any:
        if module not in self._modules or module not in sys.modules:
            raise CannotRestore(f"{module!r:.120} is no module of this environment")
        found: Any = sys.modules[module]
        for name in path.split("."):
            inside = vars(found) if isinstance(found, types.ModuleType | type) else {}
            if is_dunder(name) or name not in inside:
                raise CannotRestore(f"there is no {path!r:.120} in {module!r:.120}")
            found = inside[name]
        return found

    def _method(self, node: dict[str, Any]) -> Any:
        of, name = self._value(node["of"]), str(node["name"])
        if node["is"] == "built-in method":
            if type(of) not in WITH_METHODS or name.startswith("_"):
                raise CannotRestore(f"no method {name!r:.80} of a {type_name(of)}")
            return getattr(of, name)
        for base in type(of).__mro__:
            for function in vars(base).values():
                if isinstance(function, types.FunctionType) and function_name(function) == name:
                    return types.MethodType(function, of)
        raise CannotRestore(f"a {type_name(of)} has no method {name!r:.120}")

    # ---- filling -----------------------------------------------------------------------------

    def _check(self, number: int) -> None:
        """Refuse contents that cannot be filled in, before anything is changed."""
        node, kind = self._nodes[number], self._nodes[number]["is"]
        if kind in ("object", "space"):
            attributes = node.get("attributes")
            if type(attributes) is not dict or any(type(n) is not str for n in attributes):
                raise CannotRestore("attributes are no dict by name")
            made = self._made[number]
            slots, own = slots_of(type(made)), hasattr(made, "__dict__")
            for name, value in attributes.items():
                if is_dunder(name) or not (own or name in slots):
                    raise CannotRestore(f"a {type_name(made)} has no attribute {name!r:.80}")
                self._value(value)
        elif kind in MAPPINGS:
            for pair in as_list(node["items"]):
                key, value = as_list(pair)
                self._value(key), self._value(value)
        elif kind in SEQUENCES or kind == "objects":
            items = self._values(node["items"])
            if kind == "objects" and len(items) != self._made[number].size:
                raise CannotRestore("an array of objects has too many or too few")
        elif kind == "own":
            self._value(node["state"])

    def _fill(self, it: Any, node: dict[str, Any]) -> None:
        match node["is"]:
            case "list" | "deque":
                it.extend(self._values(node["items"]))
            case "set":
                it.update(self._values(node["items"]))
            case "dict" | "OrderedDict" | "defaultdict" | "Counter":
                for key, value in node["items"]:
                    it[self._value(key)] = self._value(value)
            case "objects":
                flat = it.reshape(-1)
                for place, value in enumerate(self._values(node["items"])):
                    flat[place] = value
            case "object":
                self._set(it, node["attributes"], all_of_it=True)
            case "space":
                self._set(it, node["attributes"], all_of_it=False)
            case "ale":
                import ale_py

                state = ale_py.ALEState(leaves.array_from(node).tobytes())
                it.restoreState(state)
            case "own":
                it.load_state_dict(self._value(node["state"]))

    def _set(self, it: Any, attributes: dict[str, Any], *, all_of_it: bool) -> None:
        """Set attributes past whatever code the class has for that."""
        values = {name: self._value(value) for name, value in attributes.items()}
        slots, own = slots_of(type(it)), own_dict(it)
        for name, slot in slots.items():
            if name in values:
                slot.__set__(it, values.pop(name))
            elif all_of_it:
                try:
                    slot.__delete__(it)
                except AttributeError:
                    continue  # there is nothing in it
        if all_of_it:
            for name in [name for name in own if not is_dunder(name) and name not in values]:
                del own[name]
        own.update(values)


def _array(node: dict[str, Any]) -> Any:
    """An array that owns its memory, laid out as it was."""
    data = leaves.array_from(node)
    strides = shape_from(node, "strides")
    if len(strides) != data.ndim:
        raise CannotRestore(f"an array of shape {data.shape} with strides {strides}")
    order = sorted(range(data.ndim), key=lambda axis: -strides[axis])
    made = np.empty([data.shape[axis] for axis in order], data.dtype)
    made = made.transpose(np.argsort(order)) if order != list(range(data.ndim)) else made
    made[...] = data
    if node.get("fixed"):
        made.flags.writeable = False
    return made


def _view(node: dict[str, Any], base: Any) -> Any:
    if type(base) is not np.ndarray or base.dtype == object:
        raise CannotRestore(f"a view of a {type_name(base)}")
    dtype = np.dtype(str(node["dtype"]))
    if not leaves.can_be_data(dtype) or type(node["offset"]) is not int:
        raise CannotRestore(f"a view of dtype {dtype} at {node['offset']!r:.40}")
    memory = base.ravel(order="K")
    return np.ndarray(shape_from(node), dtype, memory, node["offset"], shape_from(node, "strides"))
