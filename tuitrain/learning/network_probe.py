"""What is wrong with a network by construction: found by asking it, before anything is learned.

A network must be a function of a row and of its weights alone: rows come from replay in any order,
a few at once where actors ask and many where the learner does. Whether it is one can be tested
without knowing anything of it: answers must be equal where only that is changed which must not
matter, as are the other rows of a batch, what was asked before, and who has built it. What should
matter, frames and parts of an observation, is changed as well.

Inputs are made up, so nothing is said of how large values are or which units are dead: that is seen
in a run's own rows (the checks `q_bound`, `non_finite`, `grad_flow`).
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tuitrain.envs.spec import Part, stored_dtype
from tuitrain.learning.bodies import Convolutional, Mlp, Shape
from tuitrain.learning.network_faults import (
    BEGINS,
    BLIND,
    BUFFER,
    CHANGING,
    OUTSIDE,
    RANDOM,
    ROWS_MIXED,
    SAME_ACTIONS,
    STATE,
    Fault,
    batch_size,
    dead,
    one_frame,
    parts_unseen,
)
from tuitrain.learning.network_frames import padded
from tuitrain.learning.network_weights import unowned
from tuitrain.seeding import GlobalRandom

ROWS = 2
TRIES = 12
"""So many made-up batches are tried before anything is said not to matter."""
ROUNDING = 1e-4
"""Of the largest value: answers that differ by less are equal."""
OTHER_KERNEL = 1e-2
"""The same of batches of another size, whose sums are made in another order."""
SATURATED = 1e-3
"""The same of values that do not grow with the weights."""
GROWTH = 30.0
"""Weights are made so many times as large, twice, to see whether values grow with them."""


@dataclass(frozen=True)
class Examined:
    """What was found.

    Attributes:
        faults: the worst first.
        low, high: limits that no value leaves, whatever the weights are; None where there is none
            or nobody knows.
        asked: whether it could be asked: it may take none of the inputs that were made up.
        no_numbers: whether it has said NaN or infinity of some of them. They may be none that
            there are; where a run has such values, this tells whose they are.
    """

    faults: tuple[Fault, ...] = ()
    low: float | None = None
    high: float | None = None
    asked: bool = True
    no_numbers: bool = False


_WORST_FIRST = ("refused", "fail", "warn")


def examine(
    network: nn.Module,
    twin: nn.Module,
    input_shape: Sequence[int],
    obs_dtype: str,
    parts: Sequence[Part] = (),
) -> Examined:
    """Ask a network.

    Global random state is left as it was. One thread computes: a process that has used several is
    not to be forked, and the batches are small.

    Args:
        network: asked once, in evaluation mode; its parameters stay as they are.
        twin: built like it, from the same seed; what is tried spoils it.
        input_shape: (n_frames, *observation_shape).
        obs_dtype: as declared.
        parts: what the observation is made of, if it is a row of several.
    """
    was_training, threads = network.training, torch.get_num_threads()
    network.eval()
    twin.eval()
    torch.set_num_threads(1)
    try:
        with GlobalRandom(np.random.SeedSequence(0)), torch.no_grad():
            return _examined(network, twin, tuple(input_shape), obs_dtype, parts)
    finally:
        torch.set_num_threads(threads)
        network.train(was_training)


def _examined(
    network: nn.Module, twin: nn.Module, shape: Shape, obs_dtype: str, parts: Sequence[Part]
) -> Examined:
    kinds = [_batches(shape, obs_dtype, bold) for bold in (True, False)]
    pairs = ((next(kind), next(kind)) for kind in kinds)
    faults, buffers = _twins(network, twin), _written(twin)
    usable = first = None
    for x, other in pairs:
        first = _ask(twin, x)
        if first is not None and _ask(twin, other) is not None:
            usable = x, other
            break
    low = high = None
    if usable is not None:
        x, other = usable
        faults += _unsteady(twin, x, other, first)
        if _written(twin) != buffers and STATE not in faults:
            faults.append(BUFFER)
    no_numbers = _no_numbers(twin, next(kinds[0]))
    if usable is not None:
        if not {STATE, CHANGING} & {*faults}:  # else nothing more could be told from what it says
            if BEGINS not in faults and _differ(_ask(network, x), _ask(twin, x)):
                faults.append(OUTSIDE)
            _fill(twin)
            if not (strange := unowned(twin, x)):
                faults += _mixing(twin, x, other, valued=RANDOM not in faults)
            elif RANDOM in faults:
                faults.remove(RANDOM)  # they are what is random
            faults += strange
            if all(fault.state != "refused" for fault in faults):
                more = itertools.islice(zip(*kinds, strict=True), TRIES)
                faults += _blind(twin, itertools.chain(usable, *more), parts)
                faults += padded(twin, x)
        if faults == [BLIND]:
            faults = _off(twin, x)
        elif not faults:
            low, high = _limits(twin, x)
    faults.sort(key=lambda fault: _WORST_FIRST.index(fault.state))
    return Examined(tuple(faults), low, high, usable is not None, no_numbers)


# ---- asking -------------------------------------------------------------------------------------


def _batches(shape: tuple[int, ...], declared: str, bold: bool) -> Iterator[Tensor]:
    """Made-up observations [ROWS, *shape] in the dtype that they are kept in.

    Args:
        bold: of all values that there may be; else zeros and ones, which a network can look up
            that takes them for indices.
    """
    rng = np.random.default_rng(0)
    kind, kept = np.dtype(declared), stored_dtype(declared)
    while True:
        drawn: NDArray[np.generic]
        if bold and kind.kind == "f":
            drawn = rng.standard_normal((ROWS, *shape), np.float32)
        else:
            values = 2 if kind.kind == "b" or not bold else 256 if kind == np.uint8 else 10
            drawn = rng.integers(0, values, (ROWS, *shape), np.uint8)
        yield torch.from_numpy(drawn.astype(kept))


def _ask(network: nn.Module, x: Tensor, seed: int = 0) -> Tensor | None:
    """Its values [B, A] with global random state begun anew; None if it has none."""
    try:
        answer = _call(network, x, seed)
    except Exception:  # of a user's network, for inputs that may be none
        return None
    return answer if torch.isfinite(answer).all() else None


def _call(network: nn.Module, x: Tensor, seed: int = 0) -> Tensor:
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    answer: Tensor = network(x)
    return answer


def _differ(one: Tensor | None, two: Tensor | None, tolerance: float = ROUNDING) -> bool:
    """Whether both are known and not equal."""
    if one is None or two is None:
        return False
    scale = max(float(one.abs().max()), float(two.abs().max()))
    return float((one - two).abs().max()) > tolerance * scale


# ---- what must not matter -----------------------------------------------------------------------


def _twins(network: nn.Module, twin: nn.Module) -> list[Fault]:
    """Whether both begin alike."""
    one, two = network.state_dict(), twin.state_dict()
    if one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one):
        return []
    return [BEGINS]


def _written(twin: nn.Module) -> dict[str, tuple[int, int]]:
    """Which tensor each of its buffers is, and how often it was written to."""
    return {name: (id(buffer), buffer._version) for name, buffer in twin.named_buffers()}


def _unsteady(twin: nn.Module, x: Tensor, other: Tensor, first: Tensor | None) -> list[Fault]:
    """What keeps the same input from giving the same values.

    Args:
        first: what it has said of `x`, before it was asked for `other`.
    """
    again = _ask(twin, x)
    if again is None or _differ(first, again):
        return [STATE if again is None or _remembers(twin, x, other) else CHANGING]
    return [RANDOM] if _differ(again, _ask(twin, x, seed=1)) else []


def _remembers(twin: nn.Module, x: Tensor, other: Tensor) -> bool:
    """Whether what it says depends on what it was asked, and not only on how often."""
    try:
        one, two = copy.deepcopy(twin), copy.deepcopy(twin)
    except Exception:  # it may hold what cannot be copied, as a torch.Generator
        return False
    for _ in range(2):
        _ask(one, x)
        _ask(two, other)
    return _differ(_ask(one, x), _ask(two, x))


def _mixing(twin: nn.Module, x: Tensor, other: Tensor, valued: bool) -> list[Fault]:
    """What keeps a row from having values of its own.

    Args:
        valued: whether batches of other sizes must give the same values; what is drawn at random
            goes to other rows there.
    """
    values = _ask(twin, x)
    if values is None:
        return []
    for kept in (0, ROWS - 1):
        among_others = other.clone()
        among_others[kept] = x[kept]
        answer = _ask(twin, among_others)
        # the same row, at the same place of a batch of the same size: the same bits, if it is alone
        if answer is not None and _differ(values[kept], answer[kept]):
            return [ROWS_MIXED]
    for batch, rows in ((x[:1], 1), (torch.cat([x, other]), ROWS)):
        try:
            answer = _call(twin, batch)
        except Exception as error:
            return [batch_size(len(batch), f"{type(error).__name__}: {error}")]
        if answer.shape != (len(batch), values.shape[1]):
            return [batch_size(len(batch), f"it gives {list(answer.shape)}")]
        if valued and _differ(values[:rows], answer[:rows], OTHER_KERNEL):
            return [ROWS_MIXED]
    return []


# ---- what should matter -------------------------------------------------------------------------


def _trained(twin: nn.Module) -> Iterator[nn.Parameter]:
    """Those that training changes: others, as indices or a fixed scale, stay what they are."""
    return (p for p in twin.parameters() if p.requires_grad and p.numel())


def _fill(twin: nn.Module) -> None:
    """Random numbers for parameters that begin as constants.

    A last layer or a gate that begins at zero hides whatever lies before it, and learns later.
    """
    generator = torch.Generator().manual_seed(0)
    for parameter in _trained(twin):
        first = parameter.flatten()[0]
        if bool((parameter == first).all()):
            inputs = parameter[0].numel() if parameter.dim() > 1 else 100
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.to(parameter) / inputs**0.5)


def _blind(twin: nn.Module, batches: Iterable[Tensor], parts: Sequence[Part]) -> list[Fault]:
    """What of its input it does not look at, and whether it tells actions apart.

    Args:
        batches: asked for one after the other, and all before something is said not to matter.
    """
    known: list[tuple[Tensor, Tensor]] = []
    ahead = ((x, answer) for x in batches if (answer := _ask(twin, x)) is not None)

    def answered() -> Iterator[tuple[Tensor, Tensor]]:
        yield from tuple(known)
        for pair in ahead:
            known.append(pair)
            yield pair

    def matters(*place: slice | int) -> bool:
        where = (slice(None), *place)
        for x, answer in answered():
            moved = x.clone()
            moved[where] = x.roll(1, 0)[where]
            changed = _ask(twin, moved)
            if changed is not None and not torch.equal(changed, answer):
                return True
        return False

    shape, n_actions = next((x.shape, answer.shape[1]) for x, answer in answered())
    frames = shape[1]
    seen = [frame for frame in range(frames) if matters(frame)]
    if not seen:
        return [BLIND]
    found = []
    if n_actions > 1 and all(bool((a == a[:, :1]).all()) for _, a in answered()):
        found.append(SAME_ACTIONS)
    if len(seen) == 1 and frames > 1:
        found.append(one_frame(seen[0], frames))
    unseen = [
        part.name
        for part in parts
        if part.columns and not matters(slice(None), slice(part.column, part.column + part.columns))
    ]
    if unseen:
        found.append(parts_unseen(unseen))
    return found


def _off(twin: nn.Module, x: Tensor) -> list[Fault]:
    """Why it does not look at the observation: it never does, or not with these weights."""
    generator = torch.Generator().manual_seed(0)
    for tried in range(TRIES):
        for parameter in _trained(twin):
            inputs = parameter[0].numel() if parameter.dim() > 1 else 1
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * 2 ** (1 + tried / 2) / max(inputs, 1) ** 0.5)
        answer = _ask(twin, x)
        if answer is not None and bool((answer[0] != answer[-1]).any()):
            return [dead(*_limits(twin, x))]
    return [BLIND]


def _no_numbers(twin: nn.Module, x: Tensor) -> bool:
    """Whether it says NaN or infinity of numbers of either sign, a few times as large as 1."""
    if not x.dtype.is_floating_point:
        return False
    try:
        return not bool(torch.isfinite(_call(twin, 3 * x)).all())
    except Exception:  # of a user's network, for inputs that may be none
        return False


def _limits(twin: nn.Module, x: Tensor) -> tuple[float | None, float | None]:
    """Limits of its values: those that stay where they are however large its weights become."""
    if isinstance(getattr(twin, "body", None), Mlp | Convolutional):
        return None, None  # they end in a linear layer, or in what the algorithm asks for
    ends: list[tuple[float, float]] = []
    for _ in range(2):
        answers: list[Tensor | None] = []
        for turned in (slice(0, 0), slice(0, None, 2), slice(1, None, 2)):
            for parameter in _trained(twin):
                if parameter.dim():  # weights of either sign: one alone may lead to one limit
                    parameter[turned].neg_()
                parameter.mul_(1.0 if answers else GROWTH)
            answers.append(_ask(twin, x))
        known = [answer for answer in answers if answer is not None]
        if len(known) < len(answers):
            return None, None
        values = torch.stack(known)
        ends.append((float(values.min()), float(values.max())))
    (low, high), (lower, higher) = ends
    if high == low or higher == lower:
        return None, None  # it says nothing any more
    scale = max(abs(low), abs(high))
    return (
        lower if abs(low - lower) <= SATURATED * scale else None,
        higher if abs(high - higher) <= SATURATED * scale else None,
    )
