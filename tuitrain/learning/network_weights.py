"""Which weights a network computes with, and whose they are: seen in the graph of one answer.

Torch trains what a module has registered: parameters, and those of modules that are attributes,
or in an nn.ModuleList. What lies in a plain list, in a closure, or is made by ``forward`` itself
takes part in the answer all the same, and stays as random as it began.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import torch
from torch import Tensor, nn

from tuitrain.learning.network_faults import NO_GRADIENT, Fault, made_anew, unregistered

_DEEP = 4
"""Containers within containers are looked into so many levels down."""


def unowned(network: nn.Module, x: Tensor) -> list[Fault]:
    """What it learns with that is not its own, or that nothing of it learns.

    Args:
        network: asked with gradients.
        x: observations that it takes.
    """
    own = {id(parameter) for parameter in network.parameters()}
    try:
        with torch.enable_grad():
            first = network(x)
    except Exception:  # what it is asked without gradients tells of itself
        return []
    if not first.requires_grad:
        return [NO_GRADIENT] if any(p.requires_grad for p in network.parameters()) else []
    strange = [leaf for leaf in _leaves(first) if id(leaf) not in own]
    if not strange:
        return []
    used = {id(leaf) for leaf in strange}
    held = [name for tensor, name in _names(network).items() if tensor in used]
    if held:
        return [unregistered(held)]
    # a plain tensor may be made of the observation, to take gradients by it
    weights = [leaf for leaf in strange if isinstance(leaf, nn.Parameter)]
    if not weights:
        return []
    try:
        with torch.enable_grad():
            again = {id(leaf) for leaf in _leaves(network(x))}
    except Exception:  # as it did not before: nothing more is known
        return []
    shapes = [str(list(leaf.shape)) for leaf in weights]
    anew = all(id(leaf) not in again for leaf in weights)
    return [made_anew(shapes) if anew else unregistered([f"one of {s}" for s in shapes])]


def _leaves(answer: Tensor) -> list[Tensor]:
    """The tensors that gradients of an answer end in."""
    found: list[Tensor] = []
    seen: set[Any] = set()
    ahead: list[Any] = [answer.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            found.append(variable)
        ahead.extend(before for before, _ in node.next_functions)
    return found


def _names(network: nn.Module) -> dict[int, str]:
    """By id, the names of tensors that its modules hold otherwise than registered."""
    found: dict[int, str] = {}
    registered = {id(module) for module in network.modules()}
    for path, module in network.named_modules():
        path = path.removeprefix("body").removeprefix(".")  # of ``QNetwork``, which wraps it
        for name, value in vars(module).items():
            if name in ("_parameters", "_modules"):
                continue
            buffers = name == "_buffers"
            start = path if buffers else f"{path}.{name}".removeprefix(".")
            for where, tensor in _tensors(value, start, registered, _DEEP):
                found.setdefault(id(tensor), where)
    return found


def _tensors(
    value: object, where: str, registered: Set[int], deep: int
) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield where, value
    elif isinstance(value, nn.Module):
        if id(value) not in registered:
            yield from ((f"{where}.{name}", p) for name, p in value.named_parameters())
    elif deep and isinstance(value, Mapping):
        for key, one in value.items():
            yield from _tensors(one, f"{where}[{key!r}]", registered, deep - 1)
    elif deep and isinstance(value, list | tuple | set | frozenset):
        for place, one in enumerate(value):
            yield from _tensors(one, f"{where}[{place}]", registered, deep - 1)
