"""One moment of the screen as plain data: what every panel draws from.

Panels are functions of a ``View`` and a size, so a frozen screen, a recorded run and a test all
draw the same way. Knows the protocol and the curves, nothing of textual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from tuitrain.protocol import (
    CheckState,
    CheckView,
    EventLine,
    LearningView,
    PolicyView,
    ProcessState,
    ProcessView,
    Snapshot,
    Verdict,
)
from tuitrain.tui.marks import Mark
from tuitrain.tui.store import ENDED, CurveKey
from tuitrain.tui.text import DARK, NA, Palette, clip, safe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuitrain.tui.curve import CurveView

Link = Literal["connecting", "live", "stale", "recorded"]
XAxis = Literal["steps", "updates", "wall_s"]

STATE_GLYPH: dict[str, str] = {
    "starting": "○",
    "running": "●",
    "waiting": "◌",
    "paused": "◫",
    "silent": "▲",
    "stopping": "◌",
    "finished": "✓",
    "stopped": "■",
    "failed": "✖",
    "interrupted": "✖",
}
CHECK_GLYPH: dict[CheckState, str] = {"fail": "✖", "warn": "▲", "ok": "●", "n/a": "○"}
VERDICT_GLYPH: dict[Verdict, str] = {
    "IMPROVING": "↑", "FLAT AT BEST": "→", "FLAT": "→", "BELOW BEST": "▼", "FALLING": "↓",
    "TOO EARLY": "…", "n/a": "○",
}  # fmt: skip
_WORST: dict[CheckState, int] = {"fail": 0, "warn": 1, "ok": 2, "n/a": 3}


@dataclass(frozen=True)
class Notice:
    """The last thing the user asked for, and what became of it."""

    text: str
    state: Literal["pending", "ok", "fail", "info"] = "info"
    age_s: float = 0.0


@dataclass(frozen=True)
class ChartChoices:
    """How the user wants all charts drawn."""

    log_y: bool | None = None
    """None: every chart as suits it; else all charts."""
    x_axis: XAxis = "steps"
    all_policies: bool = False
    """Whether the chosen policy is shown among all others, or alone."""
    zoom: int = 0
    """How often the shown part of the x axis was halved; -1: with all of another run's."""
    at: float | None = None
    """Where that part ends, in units of the x axis; None: at this run's newest."""


@dataclass(frozen=True)
class Compared:
    """What another run had recorded when it was chosen."""

    name: str
    curves: dict[CurveKey, CurveView]

    def of(self, policy: str) -> dict[tuple[str, str], CurveView]:
        """Curves of its policy of this name, by kind and field; else of the only one it has."""
        names = dict.fromkeys(name for name, _, _ in self.curves if name)
        whose = policy if policy in names or len(names) > 1 else next(iter(names), "")
        return {key[1:]: curve for key, curve in self.curves.items() if key[0] == whose}


@dataclass(frozen=True, eq=False)
class Sight:
    """The newest picture of what actor 0 sees, or why there is none; equal to itself alone.

    Attributes:
        pixels: uint8 [height, width, 3]; None where there is none.
        said: what it shows, or what is wrong.
        at_s: when it came, by the clock of the screen.
    """

    pixels: NDArray[np.uint8] | None = None
    said: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, eq=False)
class View:
    """Everything a panel may show; equal to itself alone."""

    run_dir: Path = Path()
    snapshot: Snapshot | None = None
    link: Link = "connecting"
    age_s: float | None = None
    """Seconds since the newest snapshot arrived, or since the run ended; None where not known."""
    waited_s: float = 0.0
    """Seconds without any snapshot, as long as there is none."""
    supervisor_gone: bool = False
    reading: bool = False
    """Whether the run's files are still being read, so that nobody knows its events and curves."""
    judging: bool = False
    """Whether the checks of a run that was killed are still being made again from its files."""
    events: tuple[EventLine, ...] = ()
    curves: dict[CurveKey, CurveView] = field(default_factory=dict)
    times: dict[str, CurveView] = field(default_factory=dict)
    """Per policy, when its records were made: unix seconds over steps and the rest."""
    marks: tuple[Mark, ...] = ()
    compared: Compared | None = None
    """Another run, whose curves are drawn beside."""
    told: dict[str, dict[str, float]] = field(default_factory=dict)
    """Per policy, the newest of each number that environments tell."""
    palette: Palette = DARK
    ascii_only: bool = False
    colourless: bool = False
    """Whether the terminal is to show no colours, so that they cannot tell anything."""
    read_only: bool = False
    policy_index: int = 0
    charts: ChartChoices = ChartChoices()
    frozen_s: float | None = None
    notice: Notice | None = None
    tab: int = 1
    log: str = ""
    """Whose log is shown; that of all where there is none of this name."""
    selected: str = ""
    """Name of the process that is chosen in the table."""
    filter: str = ""
    """Of the panel that draws: lines without it are left out, whatever the case of letters."""
    following: bool | None = None
    """Whether the panel that draws shows the newest line; None where that has no meaning."""
    alone: bool = False
    """Whether the panel that draws has its tab for itself, and so room for whole lines."""
    bad_lines: int = 0
    compact: bool = False
    """Whether panels have no borders, and so no titles, for want of room."""
    sight: Sight | None = None
    """What actor 0 sees; None while nobody wants to know."""
    sight_age_s: float | None = None
    scrolled: float | None = None
    """How far the Learning tab is scrolled, 0 to 1; None where all of it is shown."""

    @property
    def stale(self) -> bool:
        """Whether what is shown may no longer be so."""
        return self.link == "stale"

    def matches(self, *texts: str) -> bool:
        """Whether any of these contains the filter."""
        words = self.filter.casefold()
        return not words or any(words in text.casefold() for text in texts)

    def policies(self) -> list[str]:
        """Names of the run's policies."""
        if self.snapshot is not None and self.snapshot.policies:
            return [p.name for p in self.snapshot.policies]
        return list(dict.fromkeys(policy for policy, _, _ in self.curves if policy))

    def policy_name(self) -> str:
        """The policy that one-policy panels show; empty when there is none."""
        names = self.policies()
        return names[self.policy_index % len(names)] if names else ""

    def policy(self) -> PolicyView | None:
        """The newest state of that policy."""
        if self.snapshot is None:
            return None
        name = self.policy_name()
        return next((p for p in self.snapshot.policies if p.name == name), None)

    def policy_label(self, most: int = 24) -> str:
        """Name and place of that policy, `scouts (2/5)`; empty where there is only one."""
        names = self.policies()
        if len(names) < 2:
            return ""
        name, place = safe(self.policy_name()), self.policy_index % len(names) + 1
        cut = name if len(name) <= most else f"{name[: most - 1]}…"
        return f"{cut} ({place}/{len(names)})"

    def learning(self) -> LearningView:
        """The verdict on that policy."""
        policy = self.policy()
        if policy is not None and len(self.policies()) > 1:
            return policy.learning
        return LearningView() if self.snapshot is None else self.snapshot.learning

    @property
    def ended(self) -> bool:
        """Whether the run is over, so that nothing has a rate any more."""
        return self.snapshot is not None and self.snapshot.state in ENDED

    @property
    def at_rest(self) -> bool:
        """Whether it is over or paused: what was measured last is no rate of now."""
        return self.ended or self.paused

    @property
    def paused(self) -> bool:
        """Whether nobody works: for a moment after it was told to go on, some still say so."""
        if self.snapshot is None:
            return False
        return self.snapshot.state == "paused" or any(
            process.state == "paused" for process in self.snapshot.processes
        )

    def awaited(self) -> str:
        """What is still made of the files of a run that has ended; empty when all is there."""
        if self.reading and self.snapshot is None and self.link == "recorded":
            return READING
        return JUDGING if self.judging else ""

    def curve(self, kind: str, name: str, policy: str | None = None) -> CurveView:
        """A curve of a policy, of the chosen one by default; empty when there are no points."""
        from tuitrain.tui.curve import EMPTY  # the first picture has no curves

        return self.curves.get((policy or self.policy_name(), kind, name), EMPTY)


READING = "reading the run's history …"
"""Stands for what is not known before its files have been read."""
JUDGING = "making its checks again …"
"""The same of the checks of a run that was killed."""
NOTHING = "○ none of"
"""How the line begins that stands for all that a filter leaves out."""

Draw = Callable[[View, int, int], list[Text]]
"""Draws a panel: (view, width, height in cells) → lines; those beyond the height scroll."""


def nothing_matches(view: View, count: int, what: str, width: int) -> Text:
    """The line that stands for all that the filter leaves out."""
    words = f"{NOTHING} {count} {what} has '{safe(view.filter, 40)}'"
    return clip(Text(words, view.palette.dim, end=""), width)


def shown_processes(view: View) -> list[ProcessView]:
    """The processes that match the filter."""
    if view.snapshot is None:
        return []
    return [
        p
        for p in view.snapshot.processes
        if view.matches(p.name, p.role, p.state, p.wait or "", p.error or "")
    ]


def state_style(state: str, palette: Palette) -> str:
    """Colour of a run's or a worker's state."""
    if state in ("failed", "interrupted"):
        return palette.fail
    if state in ("paused", "silent", "stopping", "stopped", "starting"):
        return palette.warn
    return palette.ok


def check_style(state: CheckState, palette: Palette) -> str:
    """Colour of a check's state."""
    return {"ok": palette.ok, "warn": palette.warn, "fail": palette.fail}.get(state, palette.dim)


def verdict_style(verdict: Verdict, palette: Palette) -> str:
    """Colour of a verdict."""
    return {
        "IMPROVING": palette.ok, "FLAT AT BEST": palette.ok, "FLAT": palette.warn,
        "BELOW BEST": palette.warn, "FALLING": palette.fail,
    }.get(verdict, palette.dim)  # fmt: skip


def worst_first(checks: list[CheckView]) -> list[CheckView]:
    """Failures, then warnings, then what is well, then what was not measured."""
    return sorted(checks, key=lambda check: _WORST[check.state])


def actors(snapshot: Snapshot) -> list[ProcessView]:
    """The processes that make experience: actors, or the one trainer of a sequential run."""
    found = [p for p in snapshot.processes if p.role == "actor"]
    return found or [p for p in snapshot.processes if p.role == "trainer"]


def learner(snapshot: Snapshot, policy: str) -> ProcessView | None:
    """The process that learns for this policy; while nobody has counted its updates, the first."""
    found = [p for p in snapshot.processes if p.role in ("learner", "trainer")]
    own = (p for p in found if f"updates/{policy}" in p.counters)
    return next(own, found[0] if found else None)


def working(state: ProcessState) -> bool:
    """Whether a process in this state does, or soon will do, its work."""
    return state in ("running", "waiting", "finished")


def mean(values: list[float]) -> float | None:
    """Arithmetic mean; None of nothing."""
    return sum(values) / len(values) if values else None


def spread(values: list[float], write: Callable[[float], str]) -> str:
    """`low–high`, or one value when they agree; n/a of nothing."""
    if not values:
        return NA
    low, high = write(min(values)), write(max(values))
    return low if low == high else f"{low}–{high}"
