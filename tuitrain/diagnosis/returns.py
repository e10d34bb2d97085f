"""Returns of episodes whose records hold no more than their number, mean and extremes. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tuitrain.metrics.rewind import is_number


@dataclass
class Returns:
    """Of some episodes: how many, the sum of their returns, the least and the most."""

    episodes: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, record: Mapping[str, Any], those: str = "") -> None:
        """Take in a `train` record; one without a mean says nothing.

        Args:
            those: `chance_` for those of its episodes that were played by chance.
        """
        mean, episodes = record.get(f"{those}return_mean"), record.get(f"{those}episodes")
        if not is_number(mean) or not is_number(episodes) or episodes <= 0:
            return
        least, most = record.get(f"{those}return_min"), record.get(f"{those}return_max")
        self.episodes += int(episodes)
        self.total += mean * episodes
        # who does not tell its extremes could have had any
        self.least = min(self.least, least if is_number(least) else -math.inf)
        self.most = max(self.most, most if is_number(most) else math.inf)

    @property
    def mean(self) -> float | None:
        """None of no episode."""
        return self.total / self.episodes if self.episodes else None

    @property
    def ci95(self) -> float | None:
        """At most so wide is half the mean's 95 % interval; None where that is not known.

        Of numbers between two ends the variance is never above (most - mean) (mean - least).
        """
        mean = self.mean
        if mean is None or self.episodes < 2 or not math.isfinite(self.most - self.least):
            return None
        variance = max(0.0, (self.most - mean) * (mean - self.least))
        return 1.96 * math.sqrt(variance / (self.episodes - 1))


def together(parts: Iterable[Returns]) -> Returns:
    """The episodes of all of them."""
    out = Returns()
    for part in parts:
        out.episodes += part.episodes
        out.total += part.total
        out.least, out.most = min(out.least, part.least), max(out.most, part.most)
    return out
