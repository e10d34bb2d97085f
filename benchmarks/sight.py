"""`python -m benchmarks.sight`: what it costs to see what actor 0 sees (key `v`).

At 200 × 50: a redraw of the Buffer tab in this process, on a recorded run of 10,000 points a
series, with another picture each time and with the same; then, from outside, what the real command
writes and computes beside real runs: on 84 × 84 pixels of coloured noise, which is the worst that
there is, and on MinAtar's Breakout where that is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.pairs import machine
from benchmarks.terminal import Terminal, cost, run
from benchmarks.tui import DEADLINE_S, POINTS, POLICIES, TUITRAIN, Figure, recorded_run, redraw
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.view import Sight
from tuitrain.workers.acting.sight import MOST_PIXELS

COLUMNS, ROWS = 200, 50
HERE = Path(__file__).parent
ENVIRONMENTS = {
    "noise": [f"env.id={HERE / 'noise.py'}:Noise", "learner.network=mlp"],
    "MinAtar": ["env.id=MinAtar/Breakout-v1", "learner.network=minatar"],
}
CONFIG = """
[run]
name = "sight"
seed = 1
schedule = "async"
total_steps = 1_000_000_000
[env]
id = ""
n_frames = 1
[replay]
capacity = 2_000
learning_starts = 1_000
"""


async def redraws(folder: Path, times: int) -> list[Figure]:
    """Time to draw the Buffer tab with the picture, lines and strips."""
    rng = np.random.default_rng(0)
    app = TuitrainApp(recorded_run(folder / "recorded", POLICIES, POINTS), None)

    def look() -> None:
        shape = (MOST_PIXELS, MOST_PIXELS, 3)
        app.sight = Sight(rng.integers(0, 256, shape, np.uint8), "noise")

    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        await app.loaded.wait()
        look()
        app.action_tab(3)
        await pilot.pause()
        return [
            redraw(app, "redraw, another picture of noise", times, look),
            redraw(app, "redraw, the same picture", times),
        ]


def beside_a_run(
    name: str, settings: list[str], env: Mapping[str, str], seconds: float,
    say: Callable[[Figure], None],
) -> None:  # fmt: skip
    """What is written and computed with the picture open, and before that."""
    config = Path(env["TUITRAIN_RUNS_DIR"]).parent / "sight.toml"
    config.write_text(CONFIG)
    given = [word for setting in settings for word in ("--set", setting)]
    run([*TUITRAIN, "launch", str(config), "--detach", *given], env)
    try:
        with Terminal([*TUITRAIN, "attach", "latest"], COLUMNS, ROWS, env) as terminal:
            terminal.wait_for("RUNNING", DEADLINE_S)
            terminal.press(b"3")
            terminal.read(5.0)
            _say_cost(terminal, f"{name}: the Buffer tab without it", seconds, say)
            terminal.press(b"v")
            terminal.wait_for("observation of", DEADLINE_S)
            terminal.read(5.0)
            _say_cost(terminal, f"{name}: with what actor 0 sees", seconds, say)
    finally:
        run([*TUITRAIN, "kill", "latest", "--yes"], env)


def _say_cost(terminal: Terminal, name: str, seconds: float, say: Callable[[Figure], None]) -> None:
    cpu, written = cost(terminal, seconds)
    say(Figure(f"{name}, written", written / 1024, "KiB/s", 20.0))
    say(Figure(f"{name}, processor", 100 * cpu, "%"))


def main() -> int:
    """Measure and print; a figure over its budget is marked, nothing more."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sight", description=__doc__)
    parser.add_argument("--redraws", type=int, default=50, help="of each kind (default: 50)")
    parser.add_argument("--seconds", type=float, default=60.0,
                        help="of each measurement beside a run (default: 60)")  # fmt: skip
    given = parser.parse_args()
    print("  ".join(f"{key}: {value}" for key, value in machine().items()))
    print(f"\n{f'{COLUMNS} x {ROWS}':<62}{'measured':>9}       {'at most':>9}")
    with tempfile.TemporaryDirectory(prefix="tuitrain-bench-") as place:
        for figure in asyncio.run(redraws(Path(place), given.redraws)):
            print(figure, flush=True)
        env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor",
               "XDG_RUNTIME_DIR": f"{place}/x", "TUITRAIN_RUNS_DIR": f"{place}/runs"}  # fmt: skip
        Path(env["XDG_RUNTIME_DIR"]).mkdir(mode=0o700)
        for name, settings in ENVIRONMENTS.items():
            if name == "MinAtar" and importlib.util.find_spec("minatar") is None:
                print("MinAtar is not installed: left out")
                continue
            beside_a_run(name, settings, env, given.seconds, lambda f: print(f, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
