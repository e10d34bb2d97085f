"""Counts every store into a replay's memory, and stops the writer at one of them.

The columns are handed to the writer as arrays that count what is assigned to them. Nothing here
knows which stores a writer makes or in which order: whoever adds one adds a place to die at. What
a count could miss (a store that does not go through the array) shows as memory that has changed
between two counted stores.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from tuitrain.replay.layout import Columns


class Died(BaseException):
    """The writer was stopped at a store. No ``Exception``, so that nobody thinks to handle it."""


def die() -> NoReturn:
    """Stop the writer by an exception."""
    raise Died


def die_for_real() -> NoReturn:
    """Stop the writer's process as the kernel would, with whatever locks it holds."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL returned")


def stand_still() -> NoReturn:
    """Stop the writer's process as Ctrl-Z would, with whatever locks it holds."""
    os.kill(os.getpid(), signal.SIGSTOP)
    raise AssertionError("SIGCONT came")


class Stores:
    """Every store into one buffer, counted from 0.

    Args:
        buf: the memory.
        end: how the writer dies.
    """

    def __init__(self, buf: memoryview | bytearray, end: Callable[[], NoReturn] = die) -> None:
        self._bytes = np.frombuffer(buf, np.uint8)
        self._end = end
        self._counting = False
        self._at: tuple[int, bool] | None = None
        self._seen = self._bytes.copy()
        self.count = 0

    def watch(self, columns: Columns) -> Columns:
        """The same memory, through arrays that count."""
        # no protocol's, and nobody's to lose
        arrays = {"told": columns.told, "first_seen": columns.first_seen}
        shared = ("header", columns.header), ("pins", columns.pins), ("audits", columns.audits)
        for name, plain in (*shared, *columns.data()):
            array = plain.view(Watched)
            array.stores = self
            arrays[name] = array
        return Columns(arrays)

    @contextmanager
    def counting(self, die_at: int | None = None, *, half: bool = False) -> Iterator[None]:
        """Count inside; die before the given store, or when half of its bytes are there."""
        self.count = 0
        self._at = None if die_at is None else (die_at, half)
        self._seen[:] = self._bytes
        self._counting = True
        try:
            yield
        finally:
            self._counting = False
        self._must_be_as_seen()

    def store(self, target: np.ndarray[Any, Any], make: Callable[[], Any]) -> Any:
        """Carry out one store into ``target``, or die at it."""
        if not self._counting or not self._is_ours(target):
            return make()
        self._must_be_as_seen()
        if self._at == (self.count, False):
            self._end()
        before = target.copy() if self._at == (self.count, True) else None
        result = make()
        if before is not None:
            # One number of 8 bytes is stored whole. Of anything more, the second half is missing.
            if target.size > 1:
                half = target.nbytes // 2
                old, new = before.tobytes(), np.asarray(target).tobytes()
                torn = np.frombuffer(new[:half] + old[half:], target.dtype)
                np.asarray(target)[...] = torn.reshape(target.shape)
            self._end()
        self.count += 1
        self._seen[:] = self._bytes
        return result

    def _is_ours(self, array: np.ndarray[Any, Any]) -> bool:
        return array.size > 0 and np.may_share_memory(array, self._bytes)

    def _must_be_as_seen(self) -> None:
        if not np.array_equal(self._seen, self._bytes):
            raise AssertionError("the memory was written to by something that is not counted")


class Watched(np.ndarray[Any, Any]):
    """An array that reports what is stored into it."""

    stores: Stores | None = None

    def __array_finalize__(self, origin: Any) -> None:
        self.stores = getattr(origin, "stores", None)

    def __setitem__(self, key: Any, value: Any) -> None:
        plain = np.asarray(self)
        target = plain[key]
        if not isinstance(target, np.ndarray):  # one number: look at it as an array
            target = plain[(*np.index_exp[key], np.newaxis)]
        elif not np.may_share_memory(target, plain):  # several indices at once gave a copy
            target = plain
        if self.stores is None:
            plain[key] = value
        else:
            self.stores.store(target, lambda: plain.__setitem__(key, value))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        plain = [np.asarray(x) if isinstance(x, Watched) else x for x in inputs]
        if out is None:
            return getattr(ufunc, method)(*plain, **kwargs)
        kwargs["out"] = tuple(np.asarray(x) if isinstance(x, Watched) else x for x in out)
        watched = next((x for x in out if isinstance(x, Watched)), None)
        if watched is None or watched.stores is None:
            return getattr(ufunc, method)(*plain, **kwargs)
        watched.stores.store(np.asarray(watched), lambda: getattr(ufunc, method)(*plain, **kwargs))
        return watched

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        target = args[0] if function is np.copyto else kwargs.get("out")
        plain = [_plain(x) for x in args]
        named = {k: np.asarray(v) if isinstance(v, Watched) else v for k, v in kwargs.items()}
        if not isinstance(target, Watched) or target.stores is None:
            return function(*plain, **named)
        return target.stores.store(np.asarray(target), lambda: function(*plain, **named))

    def fill(self, value: Any) -> None:
        """As ``ndarray.fill``."""
        self[...] = value


def _plain(value: Any) -> Any:
    """An argument of a function, which may be several arrays (``np.concatenate``)."""
    if isinstance(value, Watched):
        return np.asarray(value)
    return [_plain(one) for one in value] if isinstance(value, list) else value
