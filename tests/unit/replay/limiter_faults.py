"""Limiters and rules with one fault each, which the checks of small and large ones must notice."""

from __future__ import annotations

from collections.abc import Sequence

from tuitrain.replay.limiter import Limiter
from tuitrain.replay.limiter_rule import LimiterRule


class Unreserved(LimiterRule):
    """Checks first and commits later: several actors overshoot."""

    def may_insert(self, inserts: int, reserved: int, updates: int, n: int) -> bool:
        return super().may_insert(inserts, 0, updates, n)


class Eager(LimiterRule):
    """A learner that rounds up."""

    def updates_due(self, inserts: int, updates: int) -> int:
        return super().updates_due(inserts + 2, updates)


class CountsInPlace(Limiter):
    """Adds to the current counts one by one."""

    def _add(self, amounts: Sequence[int], at: int = 0) -> None:
        for column, amount in enumerate(amounts, at):
            self._counts[self._current[0]][column] += amount


class CountsAfterwards(Limiter):
    """Makes the other counts current before they are complete."""

    def _add(self, amounts: Sequence[int], at: int = 0) -> None:
        before = self._counts[self._current[0]].tolist()
        self._current[0] = 1 - self._current[0]
        for column, count in enumerate(before):
            i = column - at
            self._counts[self._current[0]][column] = count + (
                amounts[i] if 0 <= i < len(amounts) else 0
            )


class KeepsReservationsOfTheDead(Limiter):
    """A successor that goes on is not asked what its predecessor had reserved."""

    def cancel(self, actor: int) -> None:
        pass

    def reserve(self, actor, inserts, steps):
        if any(self._reservations[actor]):
            return None
        return super().reserve(actor, inserts, steps)


class RetiresWithReservation(Limiter):
    """An actor that is gone keeps what it had reserved."""

    def retire(self, actor: int) -> None:
        self._states[actor] = 1


class EndsEarly(Limiter):
    """A reserved chunk is not waited for."""

    def ended(self) -> bool:
        return self.totals().steps + self.totals().reserved_steps >= self.total_steps


class NeverEnds(Limiter):
    """The end is when all steps are made, though nobody may be left to make them."""

    def ended(self) -> bool:
        return self.totals().steps >= self.total_steps


class SessionsMixed(Limiter):
    """The rules look at all sessions together."""

    def updates_due(self, policy: int) -> int:
        totals = self.totals()
        return self.rules[policy].updates_due(totals.inserts[policy], totals.updates[policy])
