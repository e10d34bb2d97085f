"""The same task by a supervised tuitrain run in `async`, an arm of the `cartpole` subject.

The run is a plain headless one; its own records say when it got where. The training mean is over
the newest `train` records that hold at least 20 episodes together (a record is one actor's
episodes of about a second). With 24 environments side by side short episodes end first, so this
mean is late rather than early. An evaluation counts if it began while the mean was enough.
Alone: `python -m benchmarks.cartpole_ours --seed 1`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cartpole_task import EPISODES, SETTINGS, SOLVED, Outcome
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import create_run
from tuitrain.supervisor.ready import command_line

POLL_S = 0.2
"""Between two looks at the run's records; the records' own times count."""


def config(seed: int, out_dir: str) -> dict[str, Any]:
    """The settings in tuitrain's words; the rest is as in configs/cartpole.toml."""
    s = SETTINGS
    return {
        "run": {"name": "bench", "seed": seed, "total_steps": 100_000_000, "out_dir": out_dir},
        "env": {"id": "CartPole-v1"},
        "exploration": {
            "epsilon_start": s.epsilon_start,
            "epsilon_end": s.epsilon_end,
            "epsilon_decay_steps": s.epsilon_decay,
        },
        "replay": {"capacity": s.capacity, "learning_starts": s.learning_starts},
        "learner": {
            "network": "mlp",
            "network_kwargs": {"hidden": list(s.hidden)},
            "double": False,
            "n_step": 1,
            "gamma": s.gamma,
            "batch_size": s.batch_size,
            "replay_ratio": 1 / s.update_every,
            "loss": "mse",
            "lr": s.lr,
            "max_grad_norm": 0.0,
            "target_update_every_updates": s.target_every // s.update_every,
        },
        "eval": {"every_steps": 5_000, "episodes": EPISODES},
    }


class Reading:
    """What a run's records say about being solved; feed them in order."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._episodes: deque[tuple[int, float]] = deque()
        self._enough: list[tuple[float, bool]] = []

    def read(self, record: Mapping[str, Any]) -> None:
        """Take in one line of metrics.jsonl."""
        self.outcome.steps = max(self.outcome.steps, record["steps"])
        if record["kind"] == "train":
            self._train(record)
        elif record["kind"] == "eval":
            self._eval(record)

    def _train(self, record: Mapping[str, Any]) -> None:
        newest = self._episodes
        newest.append((record["episodes"], record["return_mean"]))
        while sum(n for n, _ in newest) - newest[0][0] >= EPISODES:
            newest.popleft()
        count = sum(n for n, _ in newest)
        mean = sum(n * mean for n, mean in newest) / count
        enough = count >= EPISODES and mean >= SOLVED
        self._enough.append((record["time_s"], enough))
        if enough and self.outcome.reached_at is None:
            self.outcome.reached_at = record["time_s"]

    def _eval(self, record: Mapping[str, Any]) -> None:
        began = record["time_s"] - record["duration_s"]
        enough = next((held for at, held in reversed(self._enough) if at <= began), False)
        if enough and self.outcome.solved_at is None:
            self.outcome.evaluation = record["return_mean"]
            if record["return_mean"] >= SOLVED:
                self.outcome.solved_at = record["time_s"]


def train(seed: int, limit_at: float) -> Outcome:
    """Train until solved or out of time, then stop the run."""
    with tempfile.TemporaryDirectory(prefix="tuitrain-bench-") as place:
        run = create_run(resolve(config_from(config(seed, place))))
        with supervisor(run.path) as process:
            reading, read = Reading(), 0
            while reading.outcome.solved_at is None and time.time() < limit_at:
                if process.poll() is not None:
                    raise RuntimeError(f"the run ended with exit code {process.returncode}")
                with contextlib.suppress(FileNotFoundError), open(run.metrics_jsonl) as file:
                    file.seek(read)
                    while (line := file.readline()).endswith("\n"):
                        read += len(line.encode())
                        reading.read(json.loads(line))
                time.sleep(POLL_S)
        return reading.outcome


@contextlib.contextmanager
def supervisor(run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A headless run; stopped on the way out, whatever the way is."""
    process = subprocess.Popen(
        command_line(run_dir, "--headless"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-at", type=float, default=time.time() + 240, help="unix time")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    train(given.seed, given.limit_at).print()
