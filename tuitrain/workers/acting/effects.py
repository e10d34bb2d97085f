"""Whether it makes a difference what is done: a test on actions that were drawn at random.

An action that epsilon has drawn does not depend on what is seen. Were it without effect, then
everything that follows would be the same whatever had been drawn, and of each number x that
describes what followed, the sum of (1 if action a else 0, less the probability of a) * x would
be a sum of independent terms around zero. Bernstein's inequality bounds how far such a sum strays,
for any environment and from the first row on; nothing is assumed of what follows upon what. So a
small p-value is a proof. A large one over many rows is none, but makes an effect implausible.

What follows in the next two rows is described by the reward, the episode's end, what has changed
in the observation, and products of these and of what was there before: in a maze whose player may
be anywhere, no number changes more often by going left than by going right, but the one left of the
player does; and where the right answer depends on what is asked, no answer is paid more often than
another. In a picture, or a row in which one place is marked, going left is seen at once in how far
what is there has moved along each axis, and going nowhere in that nothing has changed at all.
Where several frames are stacked, what was there is told by two of them: which way a ball flies is
in neither alone, and in no sum of both, but in their products.

Pure: arrays in, a number out. The few random numbers are always the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.replay.entries import some

SEEN = 512
"""So many numbers an observation has at most: larger ones are to be ``entries.pooled``."""
SINGLE = 64
"""So many of them are also looked at one by one."""
SUMS = 32
"""Random sums of what was there, and of what has changed; their products are looked at."""
FIRST_ROWS = 256
"""Rows that tell how large everything is; none is counted before there are so many."""
BOUND = 5.0
"""Numbers are cut so many standard deviations from their mean."""

PROVEN = 1e-12
"""Below this no further rows are wanted."""
ENOUGH_ROWS = 4
"""For each action and number of an observation (of which there are ``LEAST_NUMBERS``, or more)."""
LEAST_NUMBERS = 250
MOST_ROWS = 60_000
"""Never more than so many are wanted; Atari's Q*bert needs 15,000 to 30,000."""

Floats = NDArray[np.float32]


class ActionEffect:
    """Running sums over rows in which the action was drawn at random.

    Args:
        n_actions: at least 2.
        places: [size, axes], where each number of an observation lies along each axis.
        numbers: of an observation, if those looked at are sums of several.

    Attributes:
        rows: counted so far.
        wanted: so many until a large p-value says something.
    """

    def __init__(self, n_actions: int, places: NDArray[Any], numbers: int = 0) -> None:
        self.n_actions = n_actions
        self.rows = 0
        numbers = max(LEAST_NUMBERS, len(places), numbers)
        self.wanted = min(MOST_ROWS, ENOUGH_ROWS * n_actions * numbers)
        self._places = places.astype(np.float32)
        self._waiting: list[tuple[NDArray[Any], ...]] = []
        self._described: _Described | None = None
        self._sum = self._variance = np.zeros((n_actions, 0))

    def add(
        self,
        before: NDArray[Any],
        after: NDArray[Any],
        later: NDArray[Any],
        action: NDArray[np.integer[Any]],
        outcome: NDArray[Any],
        legal: NDArray[np.bool_] | None = None,
        previous: NDArray[Any] | None = None,
    ) -> None:
        """Take in n rows.

        Args:
            before, after, later: [n, size], what was seen, and what the same lane saw in the next
                row and in the one after that; where the episode was over, `later` is `after`.
            action: [n].
            outcome: [n, k], what else came of it: the rewards of this row and of the next first.
            legal: bool [n, n_actions], among which the action was drawn; None is all.
            previous: [n, size], what was seen in the row before `before`, or that again where an
                episode began; None, always or never, if nobody is shown it.
        """
        if not len(action):
            return
        seen, then = before.astype(np.float32), after.astype(np.float32)
        changes = np.stack([then - seen, later - then], 1)
        if legal is None:
            chance = np.full((len(action), self.n_actions), 1.0 / self.n_actions)
        else:
            chance = legal / legal.sum(1, keepdims=True)
        drawn = np.asarray(action)[:, None] == np.arange(self.n_actions)
        past = (seen if previous is None else previous.astype(np.float32))[:, None]
        past = past[:, : previous is not None]
        self._waiting.append(
            (seen, past, changes, outcome.astype(np.float32), chance, drawn - chance)
        )
        if sum(len(waiting[0]) for waiting in self._waiting) < FIRST_ROWS and not self.rows:
            return
        seen, past, changes, outcome, chance, surprise = map(
            np.concatenate, zip(*self._waiting, strict=True)
        )
        self._waiting.clear()
        if self._described is None:
            self._described = _Described(self._places, seen, past, changes, outcome)
        x = self._described(seen, past, changes, outcome).astype(np.float64)
        if not self.rows:
            self._sum, self._variance = np.zeros((2, self.n_actions, x.shape[1]))
        self._sum += surprise.T @ x
        self._variance += (chance * (1.0 - chance)).T @ (x * x)
        self.rows += len(x)

    def p_value(self) -> float | None:
        """Bound of the chance to see as much as this if it made no difference.

        Corrected for all that was looked at. None while an effect could have been missed.
        """
        if not self.rows:
            return None
        spread = self._variance + BOUND * np.abs(self._sum) / 3.0
        exponent = self._sum**2 / np.where(spread > 0, 2.0 * spread, 1.0)
        # of two actions, one's sums are the other's with another sign
        looked_at = exponent.size // (2 if self.n_actions == 2 else 1)
        p = min(1.0, 2.0 * looked_at * math.exp(-float(exponent.max())))
        return p if p <= PROVEN or self.rows >= self.wanted else None


class _Scale:
    """Numbers in standard deviations from their mean, cut at ``BOUND``; of the first rows."""

    def __init__(self, first: Floats) -> None:
        mean, std = first.mean(0, dtype=np.float64), first.std(0, dtype=np.float64)
        self._mean = mean.astype(np.float32)
        # what has not moved yet has no size: the least that it does then is much
        self._factor = (1.0 / np.maximum(std, 1e-6 * (1.0 + np.abs(mean)))).astype(np.float32)

    def __call__(self, numbers: Floats) -> Floats:
        scaled: Floats = numbers - self._mean
        scaled *= self._factor
        return np.clip(scaled, -BOUND, BOUND, out=scaled)


class _Described:
    """What followed upon rows, as numbers within ``BOUND``."""

    def __init__(
        self, places: Floats, seen: Floats, past: Floats, changes: Floats, outcome: Floats
    ) -> None:
        rng = np.random.default_rng(0)
        shape = 2, seen.shape[1], SUMS
        self._of_seen, self._of_changed = rng.choice(np.array([-1.0, 1.0], np.float32), shape)
        self._of_past = rng.choice(np.array([-1.0, 1.0], np.float32), shape[1:])
        self._places = places
        self._seen, self._changes, self._outcome = map(_Scale, (seen, changes, outcome))
        self._scale: _Scale | None = None
        self._scale = _Scale(self(seen, past, changes, outcome))

    def __call__(self, seen: Floats, past: Floats, changes: Floats, outcome: Floats) -> Floats:
        """Past is [n, frames before the one seen, size]."""
        moved = self._changes(changes)
        came = self._outcome(outcome)
        was = self._seen(seen) @ self._of_seen
        x = [came, came * came]
        both = [was * (self._seen(frame) @ self._of_past) for frame in past.swapaxes(0, 1)]
        for row in (0, 1):
            single, moves = some(moved[:, row], SINGLE), moved[:, row] @ self._of_changed
            changed, paid = changes[:, row], came[:, row : row + 1]
            x += [single, single * single, was * moves, was * paid, moves * paid]
            x += [product * other for product in both for other in (moves, paid)]
            many = np.count_nonzero(changed, 1)[:, None].astype(np.float32)
            x += [changed @ self._places, many, np.minimum(many, 1.0)]
        described = np.concatenate(x, 1)
        return described if self._scale is None else self._scale(described)
