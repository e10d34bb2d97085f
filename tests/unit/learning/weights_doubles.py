"""Weight stores that are watched: every store counted, every look of a reader an interruption.

Vectors are filled with one number, so a vector of two versions shows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.unit.replay.stores import Died, Stores, Watched
from tuitrain.learning.weights import WeightStore
from tuitrain.learning.weights_layout import Bytes, WeightsLayout

NUMBERS = 16
LAYOUT = WeightsLayout((("w", "int64", (NUMBERS,)),))


def vector(number: int, layout: WeightsLayout = LAYOUT) -> Bytes:
    """Weights that are this number everywhere."""
    return np.full(layout.nbytes // 8, number, np.int64).view(np.uint8)


def number_of(flat: Bytes) -> int | None:
    """The number that weights consist of; None if they are a mixture."""
    numbers = flat.view(np.int64)
    return int(numbers[0]) if (numbers == numbers[0]).all() else None


class Memory:
    """Stands for a segment."""

    def __init__(self, n_readers: int, layout: WeightsLayout = LAYOUT) -> None:
        # numpy's own allocation is aligned, a bytearray's need not be
        self._words = np.zeros(WeightStore.segment_bytes(layout, n_readers) // 8 + 1, np.int64)
        self.buf = self._words.data.cast("B")


class Blocked(BaseException):
    """The lock is held: this process would wait here for ever."""


class TurnLock:
    """A reader-writer lock of one thread that plays several processes."""

    def __init__(self) -> None:
        self.readers = 0
        self.writing = False

    @contextmanager
    def read(self) -> Iterator[None]:
        """As the real one's."""
        if self.writing:
            raise Blocked
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1

    @contextmanager
    def write(self) -> Iterator[None]:
        """As the real one's."""
        if self.writing or self.readers:
            raise Blocked
        self.writing = True
        try:
            yield
        finally:
            self.writing = False


def watch(store: WeightStore, stores: Stores) -> None:
    """From now on whatever ``store`` assigns is counted, whatever arrays it has."""

    def watched(array: np.ndarray[Any, Any]) -> Watched:
        view = array.view(Watched)
        view.stores = stores
        return view

    _replace_arrays(store, watched)


class Interrupted(np.ndarray[Any, Any]):
    """An array whose reader lets others run before and after each look, and in a copy's middle."""

    others: Callable[[], None] | None = None

    def __array_finalize__(self, origin: Any) -> None:
        self.others = getattr(origin, "others", None)

    def _let_others_run(self) -> None:
        if self.others is not None:
            self.others()

    def __getitem__(self, key: Any) -> Any:
        self._let_others_run()
        found = super().__getitem__(key)
        if not isinstance(found, np.ndarray):
            self._let_others_run()
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        self._let_others_run()
        super().__setitem__(key, value)
        self._let_others_run()

    def tolist(self) -> Any:
        """As ``ndarray.tolist``."""
        self._let_others_run()
        found = np.asarray(self).tolist()
        self._let_others_run()
        return found

    def take(self, *args: Any, **kwargs: Any) -> Any:
        """As ``ndarray.take``."""
        self._let_others_run()
        found = np.asarray(self).take(*args, **kwargs)
        self._let_others_run()
        return found

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is not np.copyto:
            raise NotImplementedError(f"{function} would not be interrupted")
        out, source = np.asarray(args[0]), np.asarray(args[1])
        half = len(out) // 2
        out[:half] = source[:half]
        self._let_others_run()
        out[half:] = source[half:]
        self._let_others_run()


def interrupt(store: WeightStore, others: Callable[[], None]) -> None:
    """From now on ``others`` runs at every look of ``store`` at its memory."""

    def interrupted(array: np.ndarray[Any, Any]) -> Interrupted:
        view = array.view(Interrupted)
        view.others = others
        return view

    _replace_arrays(store, interrupted)


def _replace_arrays(store: WeightStore, replace: Callable[[Any], Any]) -> None:
    for name, value in vars(store).items():
        if isinstance(value, np.ndarray):
            setattr(store, name, replace(value))
        elif isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            setattr(store, name, [replace(array) for array in value])


class AtLook:
    """Others that do something at one look of those that a store has; counts them from 0.

    Args:
        again: do it at every later look too.
    """

    def __init__(self, look: int, do: Callable[[], None], *, again: bool = False) -> None:
        self.looks = 0
        self._look, self._do, self._again = look, do, again

    def __call__(self) -> None:
        self.looks += 1
        if self.looks == self._look + 1 or (self._again and self.looks > self._look):
            self._do()


LOOKS = (1, 1, 1, 2, 3, 8, 80)
"""How many looks one turn may have: interleaved finely, and one far ahead of the others."""


class Turns:
    """Several pieces of work in one order of many, some looks at shared memory at a time.

    Threads, of which one runs: whoever has had its looks (``next``) waits for its next turn. Work
    that is to die gets no turn any more, and its lock is released, as the kernel does it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.lock = _TurnsLock(self)
        self._rng = rng
        self._go: list[threading.Semaphore] = []
        self._back = threading.Semaphore(0)
        self._looks = 0
        self._going: list[int] = []
        self._dead: set[int] = set()
        self._errors: list[BaseException] = []

    def add(self, work: Callable[[], None]) -> int:
        """Work that begins with its first turn; returns its number."""
        number, go = len(self._go), threading.Semaphore(0)

        def run() -> None:
            go.acquire()
            try:
                work()
            except Died:
                pass
            except BaseException as error:
                self._errors.append(error)
            self._going.remove(number)
            self._back.release()

        self._go.append(go)
        self._going.append(number)
        threading.Thread(target=run, name=str(number)).start()
        return number

    def next(self) -> None:
        """Called by the work at each look: others may have their turns. Raises in the dead."""
        number = int(threading.current_thread().name)
        self._looks -= 1
        if self._looks > 0:
            return
        if number not in self._dead:
            self._back.release()
            self._go[number].acquire()
        if number in self._dead:
            raise Died

    def run(self, dies: int, after_turns: int, then: Callable[[], None]) -> None:
        """Until all are done; ``dies`` does so after that many turns, and ``then`` is added.

        Raises:
            BaseException: what work has raised.
        """
        turns = 0
        while self._going:
            number = int(self._rng.choice(self._going))
            if turns >= after_turns and dies in self._going and dies not in self._dead:
                self._dead.add(number := dies)
                self.add(then)
            if self._errors:
                self._dead.update(self._going)
            turns += 1
            self._looks = 0 if number in self._dead else int(self._rng.choice(LOOKS))
            self._go[number].release()
            self._back.acquire()
        if self._errors:
            raise self._errors[0]


class _TurnsLock(TurnLock):
    """Whoever has to wait looks again at its next turn."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    @contextmanager
    def read(self) -> Iterator[None]:
        while self.writing:
            self._turns.next()
        with super().read():
            yield

    @contextmanager
    def write(self) -> Iterator[None]:
        while self.writing or self.readers:
            self._turns.next()
        with super().write():
            yield
