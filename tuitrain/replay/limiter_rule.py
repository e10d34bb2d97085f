"""How far acting and learning may run apart, and who may go on: a pure rule on two counts.

The two-sided rule of Reverb's rate limiter (Cassirer et al. 2021) on committed transitions: with
``lead = (inserts - learning_starts) * updates_per_insert - updates``, actors may insert while the
lead stays at most ``max_lead_updates``, and an update is due while it is at least 0, the first one
as soon as ``learning_starts`` transitions are there. So the learner is never more than one update
ahead of the data, and the actors never more than the band ahead of the learner; the ratio of
updates to transitions is off by at most the band, whoever is slow. All arithmetic is on integers
and fractions: equal counts give equal decisions. A ratio may be changed on the way (``changed``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction


@dataclass(frozen=True)
class LimiterRule:
    """The band of one policy.

    Attributes:
        updates_per_insert: asked updates per transition.
        learning_starts: transitions before the first update; of a ratio that has been changed,
            those there were then: it holds from there on.
        max_lead_updates: updates by which the actors may be ahead.
        chunk_inserts: transitions of one chunk of every actor together (what may be reserved at
            one time).
        updates_before: updates that were asked for until then, by the ratios before.

    Raises:
        ValueError: a value is out of range, or the band is so narrow that actors and learner
            could wait for each other for ever: while no update is due the lead is below 1, and then
            every actor must be able to reserve, so the band must be at least
            1 + ``chunk_inserts`` * ``updates_per_insert``.
    """

    updates_per_insert: Fraction
    learning_starts: int
    max_lead_updates: Fraction
    chunk_inserts: int
    updates_before: int = 0
    _num: int = field(init=False, repr=False, compare=False)
    _den: int = field(init=False, repr=False, compare=False)
    _limit: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ratio, lead = Fraction(self.updates_per_insert), Fraction(self.max_lead_updates)
        if ratio <= 0 or self.learning_starts < 0 or self.chunk_inserts < 1:
            raise ValueError(
                f"updates per insert ({ratio}) and chunk inserts ({self.chunk_inserts}) must be "
                f"positive and learning_starts ({self.learning_starts}) not negative"
            )
        least = 1 + self.chunk_inserts * ratio
        if lead < least:
            raise ValueError(
                f"actors may lead by {float(lead):g} updates, but need {float(least):g}: one chunk "
                f"of all actors is {self.chunk_inserts} transitions at {float(ratio):g} updates "
                "each, and with less they and the learner could wait for each other for ever; "
                "raise replay.max_lead or lower actors.chunk_steps"
            )
        # lead <= max_lead, both times the denominator: integers from here on.
        object.__setattr__(self, "_num", ratio.numerator)
        object.__setattr__(self, "_den", ratio.denominator)
        object.__setattr__(self, "_limit", math.floor(lead * ratio.denominator))

    def may_insert(self, inserts: int, reserved: int, updates: int, n: int) -> bool:
        """Whether ``n`` more transitions may be reserved.

        Args:
            inserts: committed transitions.
            reserved: transitions reserved and not yet committed, all actors.
            updates: updates made.
            n: transitions asked for.
        """
        ahead = inserts + reserved + n - self.learning_starts
        made = updates - self.updates_before
        return ahead * self._num - made * self._den <= self._limit

    def chunks_allowed(self, inserts: int, reserved: int, updates: int, n: int) -> int:
        """How many times ``n`` transitions may be reserved, one after the other; see there."""
        ahead = (self._limit + (updates - self.updates_before) * self._den) // self._num
        return max(0, (ahead + self.learning_starts - inserts - reserved) // n)

    def updates_due(self, inserts: int, updates: int) -> int:
        """Updates that may be made now; 0 before ``learning_starts``, 1 right then."""
        ahead = inserts - self.learning_starts
        if ahead < 0 or inserts == 0:
            return 0
        return max(0, ahead * self._num // self._den + 1 - (updates - self.updates_before))

    def at(self, ratio: Fraction, starts: int, updates_before: int) -> LimiterRule:
        """The rule of another ratio that holds from these counts on; its band grows with it."""
        chunks = (self.max_lead_updates - 1) / self.updates_per_insert  # as transitions
        return replace(
            self,
            updates_per_insert=ratio,
            learning_starts=starts,
            max_lead_updates=1 + chunks * ratio,
            updates_before=updates_before,
        )

    def changed(self, ratio: Fraction, inserts: int) -> LimiterRule:
        """The rule of another ratio, which holds from so many transitions on.

        Updates that were due stay due and no others become so, to less than one: the past is
        counted by the ratio that it had. During warm-up it is simply another ratio.
        """
        ahead = max(0, inserts - self.learning_starts)
        asked = self.updates_before + ahead * self._num // self._den
        return self.at(ratio, self.learning_starts + ahead, asked)
