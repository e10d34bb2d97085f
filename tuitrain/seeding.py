"""Every random stream of a run, derived from its one seed, and a fence around global state.

A stream belongs to a role, an index and an incarnation, so that no two parts of a run share
numbers and a restarted worker does not repeat its predecessor. Torch is touched only where the
process has already imported it: the supervisor uses this module without torch.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

ROLES = {
    "actor": 1,
    "network": 3,
    "learner": 5,
    "evaluator": 6,
    "evaluation_environment": 7,
}
"""Role -> first word of the spawn key. A number is never changed or given out again, because that
would change every run of every seed.

actor: everything random in actor `index`, which divides it further; network: initial weights of
policy `index`; learner: sampling of policy `index`; evaluator: what the evaluator's process draws
at start; evaluation_environment: episodes of evaluation number `index`.
"""

_GLOBAL_KEY = 0x676C6F62


_RESTARTS = 65_536


def incarnation(session: int, restarts: int) -> int:
    """Number for `stream` of a worker that was restarted in a run that was perhaps resumed.

    Args:
        session: 0 for the first start of a run, one more with each resume.
        restarts: workers that were in this place before, in this session.

    Raises:
        ValueError: more restarts than there are numbers for.
    """
    if not 0 <= restarts < _RESTARTS:
        raise ValueError(f"{restarts} restarts; there are streams for {_RESTARTS - 1}")
    return session * _RESTARTS + restarts


def stream(seed: int, role: str, index: int = 0, incarnation: int = 0) -> np.random.SeedSequence:
    """The seed sequence of one part of a run.

    Args:
        seed: ``run.seed``.
        role: a key of ``ROLES``.
        index: which one of that role.
        incarnation: 0 for the first worker in this place, one more for each successor.

    Raises:
        ValueError: an unknown role or a negative number.
    """
    if role not in ROLES:
        raise ValueError(f"no random stream is called {role!r}; there are: {', '.join(ROLES)}")
    if seed < 0 or index < 0 or incarnation < 0:
        raise ValueError(f"negative stream number: {seed=}, {index=}, {incarnation=}")
    return np.random.SeedSequence(entropy=seed, spawn_key=(ROLES[role], index, incarnation))


def generator(seed: int, role: str, index: int = 0, incarnation: int = 0) -> np.random.Generator:
    """A numpy generator (PCG64) on ``stream(...)``."""
    return np.random.Generator(np.random.PCG64(stream(seed, role, index, incarnation)))


def integers(sequence: np.random.SeedSequence, n: int) -> list[int]:
    """`n` seeds below 2**32 for whatever takes an int: environments, networks, torch."""
    return [int(word) for word in sequence.generate_state(n, np.uint32)]


class GlobalRandom:
    """A private copy of the process's global random state, swapped in by ``with``.

    Covers ``random``, ``numpy.random`` and, where torch has been imported, its CPU generator.
    Code inside draws from the private state, which goes on where it stopped at the next entry;
    code outside never notices. This makes environments that use global state reproducible
    whatever else runs in their process. An entry and an exit cost 150 µs together; entering it
    again inside is free, so who has a process of his own enters once and stays.

    Args:
        sequence: where the private state starts.
    """

    def __init__(self, sequence: np.random.SeedSequence) -> None:
        # A child of its own, which no spawn() of the caller's can also give out.
        child = np.random.SeedSequence(
            entropy=sequence.entropy, spawn_key=(*sequence.spawn_key, _GLOBAL_KEY)
        )
        python_seed, numpy_seed, self._torch_seed = integers(child, 3)
        self._python: Any = random.Random(python_seed).getstate()
        self._numpy: Any = np.random.RandomState(numpy_seed).get_state()
        self._torch: Any = None
        self._outer: tuple[Any, Any, Any] | None = None
        self._depth = 0

    def state(self) -> dict[str, Any]:
        """The private state as plain values and arrays, inside ``with`` or outside."""
        python, numpy, torch_state = self._python, self._numpy, self._torch
        torch = sys.modules.get("torch")
        if self._depth:
            python, numpy = random.getstate(), np.random.get_state()
            torch_state = torch.get_rng_state() if torch else None
        version, words, gauss = python
        kind, key, *rest = numpy
        return {
            "python": [version, np.array(words, np.uint32), gauss],
            "numpy": [str(kind), key, *rest],
            "torch": None if torch_state is None else torch_state.numpy().copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, inside ``with`` or outside."""
        version, words, gauss = state["python"]
        self._python = version, tuple(words.tolist()), gauss
        self._numpy = tuple(state["numpy"])
        torch = sys.modules.get("torch")
        if torch and state["torch"] is not None:
            self._torch = torch.from_numpy(state["torch"].copy())
        if self._depth:
            random.setstate(self._python)
            np.random.set_state(self._numpy)
            if torch and self._torch is not None:
                torch.set_rng_state(self._torch)

    def __enter__(self) -> GlobalRandom:
        self._depth += 1
        if self._depth > 1:
            return self
        torch = sys.modules.get("torch")
        self._outer = (
            random.getstate(),
            np.random.get_state(),
            torch.get_rng_state() if torch else None,
        )
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        if torch:
            if self._torch is None:
                self._torch = torch.Generator().manual_seed(self._torch_seed).get_state()
            torch.set_rng_state(self._torch)
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        assert self._outer is not None
        outer_python, outer_numpy, outer_torch = self._outer
        self._outer = None
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        random.setstate(outer_python)
        np.random.set_state(outer_numpy)
        if outer_torch is not None:  # None: torch was imported inside; it starts at the next entry
            torch = sys.modules["torch"]
            self._torch = torch.get_rng_state()
            torch.set_rng_state(outer_torch)
