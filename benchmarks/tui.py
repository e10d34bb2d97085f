"""`python -m benchmarks.tui`: what the terminal UI costs, against its budget.

Redraws are timed in this process, on recorded runs with 10,000 points a series. The rest is
measured from outside, on a pseudoterminal, by the real command, beside a real run that uses every
core: processor time, memory, bytes written, time to the first picture and to the answer of a key.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.pairs import machine
from benchmarks.terminal import Terminal, cost, run
from tuitrain.metrics.records import FIELDS
from tuitrain.protocol import ProcessView
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.view import ChartChoices, Compared
from tuitrain.tui.widgets.keys import TABS
from tuitrain.tui.widgets.panel import Panel

CARTPOLE = Path(__file__).parent.parent / "configs" / "cartpole.toml"
EVERY_CORE = (
    *("launch", str(CARTPOLE), "--detach", "--set", "run.total_steps=1000000000"),
    *("--set", f"actors.count={os.cpu_count() or 1}", "--set", "learner.replay_ratio=0.001"),
)
"""A run that keeps every core busy: at a common ratio the actors would wait for the learner."""
TUITRAIN = (sys.executable, "-m", "tuitrain")
POINTS = 10_000
POLICIES = 5
ACTORS = 24
FOCUS_OUT, FOCUS_IN = b"\x1b[O", b"\x1b[I"
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Figure:
    """One measured quantity."""

    name: str
    value: float
    unit: str
    budget: float | None = None
    """At most so much."""

    def __str__(self) -> str:
        limit = "" if self.budget is None else f"{self.budget:>9g} {self.unit}"
        over = "" if self.budget is None or self.value <= self.budget else "  OVER"
        return f"{self.name:<62}{self.value:>9.3g} {self.unit:<5}{limit}{over}".rstrip()


def records(policy: str, points: int) -> Iterator[dict[str, Any]]:
    """Every field of every kind that is drawn, as noise around something that changes."""
    rng = random.Random(policy)
    for i in range(points):
        at = {"policy": policy, "steps": 100 * i, "updates": 10 * i, "actor": 0,
              "wall_s": float(i), "time_s": 1e9 + i}  # fmt: skip
        for kind in ("train", "learner", "eval"):
            fields = {name: abs(rng.gauss(10 + 5 * math.sin(i / 900), 2)) for name in FIELDS[kind]}
            yield {"kind": kind, **fields, **at}


def recorded_run(folder: Path, policies: int, points: int) -> Path:
    """A run's folder with `points` points of every curve of every policy."""
    folder.mkdir()
    (folder / "config.toml").write_text("[run]\nname = 'bench'\n")
    with (folder / "metrics.jsonl").open("w") as file:
        for policy in range(policies):
            for record in records(f"agent_{policy}", points):
                file.write(json.dumps(record) + "\n")
    (folder / "logs").mkdir()
    for worker in crew():
        lines = (f"12:00:{i % 60:02d} {worker.name} episode {i} ended\n" for i in range(1000))
        (folder / "logs" / f"{worker.name}.log").write_text("".join(lines))
    return folder


def crew() -> list[ProcessView]:
    """As many processes as a full table has lines, at work."""
    roles = [("learner", "learner"), *((f"a{i}", "actor") for i in range(ACTORS))]
    shares = {"act": 0.3, "env step": 0.5, "commit": 0.1, "wait": 0.05}
    return [
        ProcessView(name=name, role=role, pid=4711, state="running", beat_age_s=0.1, rate=1e4,
                    progress=10**6, rate_unit="st/s", phase_share=shares)
        for name, role in roles
    ]  # fmt: skip


async def redraws(folder: Path, times: int) -> list[Figure]:
    """Time to draw every visible panel of every tab at 200x50, lines and strips."""
    found = []
    for policies in (1, POLICIES):
        app = TuitrainApp(recorded_run(folder / f"run-{policies}", policies, POINTS), None)
        async with app.run_test(size=(200, 50)) as pilot:
            await app.loaded.wait()
            assert app.store.snapshot is not None
            app.store.add_snapshot(app.store.snapshot.model_copy(update={"processes": crew()}))
            of = "1 policy" if policies == 1 else f"{policies} policies"
            for tab in range(1, len(TABS) + 1):
                app.action_tab(tab)
                await pilot.pause()
                found.append(redraw(app, f"redraw of tab {tab}, {of}", times))
            app.action_tab(2)
            await pilot.pause()
            other = Compared("other", dict(app.view().curves))
            for name, charts in (
                ("x zoomed", ChartChoices(zoom=4)),
                ("all policies", ChartChoices(all_policies=True)),
            ):
                app.charts, app.compared = charts, other
                found.append(redraw(app, f"redraw of tab 2, {of}, compared, {name}", times))
    return found


def redraw(
    app: TuitrainApp, name: str, times: int, before: Callable[[], None] = lambda: None
) -> Figure:
    """Median milliseconds to draw what the open tab shows; `before` each, something may change."""
    shown = app.screen.query(f"#header, #notice, #keys, #tab-{app.tab} Panel").results(Panel)
    panels = [panel for panel in shown if panel.content_size.height]
    took = []
    for _ in range(times):
        before()
        began = time.perf_counter()
        view = app.view()
        for panel in panels:
            panel.show(view)
            panel.render_line(0)  # draws and keeps all lines
        took.append(1e3 * (time.perf_counter() - began))
    return Figure(f"{name}, 200x50, {POINTS} points", statistics.median(took), "ms", 30.0)


def first_paint(command: list[str], env: dict[str, str], times: int) -> float:
    """Median seconds from the start of a command to its first picture."""
    took = []
    for _ in range(times):
        with Terminal(command, 120, 40, env) as terminal:
            took.append(terminal.wait_for("HEALTH", DEADLINE_S) - terminal.started)
    return statistics.median(took)


def latency(terminal: Terminal, times: int) -> float:
    """Median milliseconds from a key to its answer on the screen."""
    took = []
    for i in range(times):
        terminal.read(0.37)  # no multiple of the redraw period
        words = ("y axis: logarithmic", "y axis: linear", "y axis: as suits each chart")[i % 3]
        pressed = terminal.press(b"g")
        took.append(1e3 * (terminal.wait_for(words, DEADLINE_S) - pressed))
    return statistics.median(took)


def beside_a_run(folder: Path, seconds: float, say: Callable[[Figure], None]) -> None:
    """Everything that is seen from outside, with a run on every core."""
    env = {**os.environ, "TERM": "xterm-256color", "XDG_RUNTIME_DIR": str(folder / "x"),
           "TUITRAIN_RUNS_DIR": str(folder / "runs")}  # fmt: skip
    (folder / "x").mkdir(mode=0o700)
    attach = [*TUITRAIN, "attach", "latest"]
    run([*TUITRAIN, *EVERY_CORE], env)
    try:
        painted = first_paint(attach, env, 7)
        say(Figure("first picture of `attach`, every core busy", painted, "s", 0.7))
        with Terminal(attach, 120, 40, env) as terminal:
            terminal.wait_for("RUNNING", DEADLINE_S)
            terminal.read(5.0)
            cpu, written = cost(terminal, seconds)
            say(Figure("processor, 120x40 at 1 Hz", 100 * cpu, "%", 5.0))
            say(Figure("written to the terminal", written / 1024, "KiB/s", 20.0))
            say(Figure("key to answer, every core busy, median", latency(terminal, 60), "ms", 100))
            terminal.press(FOCUS_OUT)
            terminal.read(5.0)
            cpu, _ = cost(terminal, 2 * seconds)
            say(Figure("processor without the focus", 100 * cpu, "%", 1.0))
            say(Figure("memory", terminal.rss_mib(), "MiB", 80.0))
    finally:
        run([*TUITRAIN, "kill", "latest", "--yes"], env)
    say(Figure("first picture of `attach`, ended run", first_paint(attach, env, 7), "s", 0.7))


def main() -> int:
    """Measure and print; a figure over its budget is marked, nothing more."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tui", description=__doc__)
    parser.add_argument("--redraws", type=int, default=50, help="of each screen (default: 50)")
    parser.add_argument("--seconds", type=float, default=60.0,
                        help="of each measurement of processor time (default: 60)")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    given = parser.parse_args()
    found: list[Figure] = []

    def say(figure: Figure) -> None:
        found.append(figure)
        print(figure, flush=True)

    about = machine()
    print("  ".join(f"{key}: {value}" for key, value in about.items()))
    print(f"\n{'':<62}{'measured':>9}       {'at most':>9}")
    with tempfile.TemporaryDirectory(prefix="tuitrain-bench-") as place:
        for figure in asyncio.run(redraws(Path(place), given.redraws)):
            say(figure)
        beside_a_run(Path(place), given.seconds, say)
    if given.json:
        figures = [asdict(figure) for figure in found]
        Path(given.json).write_text(json.dumps({"machine": about, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
