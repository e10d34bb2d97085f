"""What a worker counts about itself: totals, gauges and where its time goes.

Plain values in one process; the link sends a copy with each heartbeat. Nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress

from tuitrain.metrics.phases import Phases

CHANCE_EPSILON = 0.9
"""Who draws so many of its actions at random plays by chance, whatever its weights say."""


@dataclass
class Counters:
    """Totals and gauges by name (names carry their unit or thing counted), and progress.

    `progress` grows with every unit of work done; hang detection looks at nothing else.
    """

    values: dict[str, float] = field(default_factory=dict)
    phases: Phases = field(default_factory=Phases)
    progress: int = 0


@dataclass
class EpisodeStats:
    """Finished episodes since the last report, per policy: sums, so that reports can be late."""

    episodes: int = 0
    return_sum: float = 0.0
    return_min: float = float("inf")
    return_max: float = float("-inf")
    length_sum: int = 0
    length_min: float = float("inf")
    length_max: int = 0
    truncated: int = 0
    truncated_length_min: float = float("inf")
    truncated_length_max: int = 0
    longest_terminated: int = 0
    """Of those as long as the longest, how many were terminated."""
    at_once: int = 0
    """Those of a single step."""
    over_soon: int = 0
    """Those of two or three."""
    cut_at_once: int = 0
    """Those of a single step that were truncated."""
    chance_episodes: int = 0
    """Those played by chance."""
    chance_return_sum: float = 0.0
    chance_return_min: float = float("inf")
    chance_return_max: float = float("-inf")

    def add(
        self,
        returns: list[float],
        lengths: list[int],
        truncated: list[bool],
        *,
        by_chance: bool = False,
    ) -> None:
        """Count episodes that have finished.

        Args:
            lengths: in environment steps.
            truncated: whether an episode was cut, and not terminated.
            by_chance: whether their actions were (nearly) all drawn at random.
        """
        if by_chance:
            self.chance_episodes += len(returns)
            self.chance_return_sum += sum(returns)
            self.chance_return_min = min(self.chance_return_min, *returns)
            self.chance_return_max = max(self.chance_return_max, *returns)
        self.episodes += len(returns)
        self.return_sum += sum(returns)
        self.return_min = min(self.return_min, *returns)
        self.return_max = max(self.return_max, *returns)
        self.length_sum += sum(lengths)
        self.length_min = min(self.length_min, *lengths)
        if (longest := max(lengths)) >= self.length_max:
            if longest > self.length_max:
                self.length_max, self.longest_terminated = longest, 0
            ends = zip(lengths, truncated, strict=True)
            self.longest_terminated += sum(n == longest and not cut for n, cut in ends)
        self.at_once += lengths.count(1)
        self.over_soon += lengths.count(2) + lengths.count(3)
        if any(truncated):
            cut = list(compress(lengths, truncated))
            self.truncated += len(cut)
            self.cut_at_once += cut.count(1)
            self.truncated_length_min = min(self.truncated_length_min, *cut)
            self.truncated_length_max = max(self.truncated_length_max, *cut)

    def take(self) -> dict[str, float]:
        """The fields of a `train` record, and start anew. Only call with `episodes` > 0."""
        record = {
            "episodes": self.episodes,
            "return_mean": self.return_sum / self.episodes,
            "return_min": self.return_min,
            "return_max": self.return_max,
            "length_mean": self.length_sum / self.episodes,
            "length_min": self.length_min,
            "length_max": self.length_max,
            "truncated": self.truncated,
            "longest_terminated": self.longest_terminated,
            "at_once": self.at_once,
            "over_soon": self.over_soon,
            "cut_at_once": self.cut_at_once,
            "chance_episodes": self.chance_episodes,
        }
        if self.chance_episodes:
            record["chance_return_mean"] = self.chance_return_sum / self.chance_episodes
            record["chance_return_min"] = self.chance_return_min
            record["chance_return_max"] = self.chance_return_max
        if self.truncated:
            record["truncated_length_min"] = self.truncated_length_min
            record["truncated_length_max"] = self.truncated_length_max
        self.__init__()  # type: ignore[misc]  # back to the defaults declared above
        return record
