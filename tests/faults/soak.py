"""`python -m tests.faults.soak`: `async` for half an hour and more, its actors killed at random.

Two runs of one config, side by side: in one an actor is killed every 5 to 20 seconds, the other is
left alone. Memory, descriptors and shared memory must stay flat, the replay ratio must be the one
that was asked for, versions must grow, and what is learned must be as good. `steady` judges; this
starts, kills and samples.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.faults.report import write_section
from tests.faults.steady import Sample, judge, table
from tuitrain.cli.client import BlockingClient
from tuitrain.config.load import load_config
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import create_run
from tuitrain.metrics.sinks import read_jsonl

ROOT = Path(__file__).parents[2]
SAMPLE_S = 5.0
KILL_S = 5.0, 20.0
SETTLED_S = 4.0
"""A process younger than this is not measured: it still imports what it needs."""
STEADY = (
    "algorithm.name=c51",
    "algorithm.v_min=0.0",
    "algorithm.v_max=100.0",
    "learner.lr_schedule=constant",
    "learner.lr=1e-4",
    "learner.target_update_every_updates=500",
)
"""What learns for as long as it runs: returns have a support of [0, 100], the most that this task
can give at a discount of 0.99. Expected returns (`dqn`) have no bound and diverge in some runs of
millions of steps at a constant learning rate, in `sequential` as well and with nobody killed.
Harm by deaths could not be told from that."""
OVERRIDES = (
    "run.total_steps=1_000_000_000",
    "run.checkpoint_every_s=30.0",
    "run.keep_checkpoints=3",
    "actors.count=2",
    "actors.envs_per_actor=4",
    "eval.every_steps=20_000",
    *STEADY,
    "supervisor.max_restarts=1000",
)


class Subject:
    """One of the two runs."""

    def __init__(self, name: str, folder: Path, runtime: Path) -> None:
        overrides = [*OVERRIDES, f'run.name="{name}"', f'run.out_dir="{folder}"']
        config = load_config(ROOT / "configs" / "cartpole.toml", overrides)
        self.name = name
        self.folder = create_run(resolve(config))
        self.samples: list[Sample] = []
        self.kills = 0
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TUITRAIN_")}
        environment |= {"XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(ROOT)}
        with open(folder / f"{name}.log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tuitrain.supervisor", str(self.folder.path)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, command: Any, timeout_s: float = 30.0) -> dict[str, Any]:
        """One request."""
        runtime = self.folder.read_runtime() or {}
        with BlockingClient(Path(runtime["socket_path"]), timeout_s) as client:
            return client.ask(command).result

    def snapshot(self) -> dict[str, Any]:
        """Its state."""
        found: dict[str, Any] = self.ask("status")["snapshot"]
        return found

    def wait_up(self) -> None:
        """Until it is running."""
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
            with contextlib.suppress(Exception):
                if self.snapshot()["state"] == "running":
                    return
            time.sleep(0.5)

    def sample(self, began: float) -> None:
        """Measure every process of it, and keep what it says of itself."""
        snapshot = self.snapshot()
        policy = snapshot["policies"][0]
        pids = {p["name"]: p["pid"] for p in snapshot["processes"] if p["pid"]}
        memory: dict[str, float] = {}
        descriptors: dict[str, int] = {}
        for name, pid in {"supervisor": self.process.pid, **pids}.items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if time.time() - process.create_time() < SETTLED_S:
                    continue
                memory[name] = process.memory_full_info().uss / 2**20
                descriptors[name] = process.num_fds()
        run_id = self.folder.read_run_id()
        segments = list(Path("/dev/shm").glob(f"tuitrain-{run_id}-*"))
        self.samples.append(
            Sample(
                at_s=time.monotonic() - began,
                memory_mib=memory,
                descriptors=descriptors,
                segments=len(segments),
                shm_mib=sum(path.stat().st_blocks * 512 for path in segments) / 2**20,
                steps=snapshot["steps"],
                version=policy["version"],
                ratio=policy["ratio_achieved"],
                ratio_asked=policy["ratio_target"],
                checkpoints=len(list(self.folder.checkpoints.glob("ckpt-*"))),
            )
        )

    def kill_actor(self, rng: random.Random) -> None:
        """SIGKILL one that is there."""
        actors = [p for p in self.snapshot()["processes"] if p["role"] == "actor" and p["pid"]]
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(actors)["pid"], signal.SIGKILL)
            self.kills += 1

    def evaluations(self) -> list[tuple[int, float]]:
        """Steps and mean return of each."""
        records = read_jsonl(self.folder.metrics_jsonl)
        return [(r["steps"], r["return_mean"]) for r in records if r.get("kind") == "eval"]

    def end(self) -> dict[str, Any]:
        """Stop it; its summary."""
        if self.process.poll() is None:
            with contextlib.suppress(Exception):
                self.ask("stop", 60.0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30.0)
        self.process.kill()
        return self.folder.read_summary() or {}


def soak(minutes: float, seed: int, folder: Path) -> tuple[Subject, Subject]:
    """Run both; the attacked one comes first."""
    rng = random.Random(seed)
    runtime = Path(tempfile.mkdtemp(prefix="tt-"))
    folder.mkdir(parents=True, exist_ok=True)
    subjects = [Subject(name, folder, runtime) for name in ("attacked", "undisturbed")]
    try:
        for subject in subjects:
            subject.wait_up()
        began = time.monotonic()
        sample_at, kill_at = began, began + rng.uniform(*KILL_S)
        while (now := time.monotonic()) < began + 60 * minutes:
            if now >= kill_at:
                subjects[0].kill_actor(rng)
                kill_at = now + rng.uniform(*KILL_S)
            if now >= sample_at:
                for subject in subjects:
                    subject.sample(began)
                sample_at = now + SAMPLE_S
            for subject in subjects:
                if subject.process.poll() is not None:
                    raise RuntimeError(f"{subject.name} ended: {subject.end().get('reason')}")
            time.sleep(max(0.0, min(kill_at, sample_at) - time.monotonic()))
    finally:
        for subject in subjects:
            subject.end()
        shutil.rmtree(runtime, ignore_errors=True)
    return subjects[0], subjects[1]


def main(argv: list[str] | None = None) -> int:
    """Run, judge, write the table; 0 if everything stayed as it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/soak"))
    parser.add_argument("--dry-run", action="store_true", help="leave docs/reliability.md alone")
    given = parser.parse_args(argv)
    folder = given.folder.absolute() / time.strftime("%Y%m%d-%H%M%S")
    attacked, calm = soak(given.minutes, given.seed, folder)
    kept = {s.name: [vars(sample) for sample in s.samples] for s in (attacked, calm)}
    (folder / "samples.json").write_text(json.dumps(kept))
    findings = judge(attacked.samples, calm.samples, attacked.evaluations(), calm.evaluations())
    restarts = (attacked.folder.read_summary() or {}).get("restarts")
    text = table(findings, given.minutes, attacked.kills, restarts)
    print(text)
    if not given.dry_run:
        write_section(ROOT / "docs" / "reliability.md", "soak", text)
    return 0 if all(finding.ok for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
