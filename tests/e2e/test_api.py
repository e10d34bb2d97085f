"""Training and acting from Python, as a user's script does it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import tuitrain
from tests.e2e.harness import ENVS, FOREVER, THINGS, Place
from tests.envs import Catch
from tests.sites import DEADLINE_S
from tuitrain.config.load import load_config
from tuitrain.seeding import stream
from tuitrain.workers.asides.trained import evaluate_run, load_trained

SCRIPT = """
import json, sys, tuitrain
given = json.loads(sys.argv[1])
try:
    result = tuitrain.train(given, quiet=True)
    print(json.dumps({"dir": str(result.run_dir), "state": result.state, "steps": result.steps}))
except tuitrain.TrainingFailed as error:
    print(json.dumps({"dir": str(error.run_dir), "failed": str(error)}))
"""


def train(place: Place, **tables: dict) -> dict:
    """Run `tuitrain.train` in a script without a guard."""
    import tomllib

    config = tomllib.loads(place.config(**tables).read_text())
    script = place.root / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(config)],
        cwd=place.root,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1, done.stdout
    return json.loads(done.stdout)


def play(run_dir: Path, env: gymnasium.Env, seed: int, episodes: int) -> list[float]:
    """Episodes by hand with `load_policy`, one observation at a time."""
    policy = tuitrain.load_policy(run_dir)
    returns = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed if episode == 0 else None)
        state, total, over = None, 0.0, False
        while not over:
            action, state = policy.act(obs, state)
            assert isinstance(action, int)
            obs, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            over = terminated or truncated
        returns.append(total)
    return returns


@pytest.mark.parametrize("n_frames", [pytest.param(1, marks=pytest.mark.long), 3])
def test_a_loaded_policy_plays_as_eval_does(place: Place, n_frames: int) -> None:
    said = train(
        place,
        env={"id": f"{ENVS}:Catch", "n_frames": n_frames},
        run={"schedule": "sequential", "total_steps": 6_000},
        learner={"lr": 5e-3},
    )
    assert (said["state"], said["steps"] >= 6_000) == ("finished", True)
    run_dir = Path(said["dir"])

    episodes = 6
    (evaluated,) = evaluate_run(load_trained(run_dir), episodes)
    # an evaluation gives every environment its own seed; with so few, each plays one episode
    seed = load_config(run_dir / "config.toml", ()).run.seed
    seeds, _, _ = stream(seed, "evaluation_environment", 0, 0).spawn(3)
    by_hand = [play(run_dir, Catch(), int(s), 1)[0] for s in seeds.generate_state(episodes)]
    assert np.mean(by_hand) == pytest.approx(evaluated.return_mean)
    assert (min(by_hand), max(by_hand)) == (evaluated.return_min, evaluated.return_max)

    # a batch of environments gets the actions of each alone
    policy = tuitrain.load_policy(run_dir)
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (5, 4, 8, 8), dtype=np.uint8)  # steps, environments, image
    together, alone = None, [None] * 4
    for step in frames:
        actions, together = policy.act(step, together)
        assert actions.shape == (4,)
        for i, obs in enumerate(step):
            action, alone[i] = policy.act(obs, alone[i])
            assert action == actions[i]
    with pytest.raises(ValueError, match="takes observations of shape"):
        policy.act(np.zeros((3, 3), np.uint8))


def test_an_interrupt_of_the_script_alone_stops_its_run(place: Place) -> None:
    import tomllib

    table = {"total_steps": FOREVER, "schedule": "sequential"}
    config = tomllib.loads(place.config(run=table).read_text())
    (place.root / "script.py").write_text(SCRIPT)
    script = subprocess.Popen(
        [sys.executable, "script.py", json.dumps(config)],
        cwd=place.root,
        env=place.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = place.run_up()
    script.send_signal(signal.SIGINT)  # as a notebook's button does; Ctrl-C reaches all
    _, errors = script.communicate(timeout=DEADLINE_S)
    assert "KeyboardInterrupt" in errors
    assert run.summary()["state"] == "stopped"
    assert run.summary()["last_checkpoint"]


def test_a_failed_training_says_why(place: Place) -> None:
    kwargs = {"worker": "trainer", "how": "raise"}
    said = train(
        place,
        env={"id": f"{THINGS}:FailsIn", "kwargs": kwargs},
        run={"schedule": "sequential"},
    )
    assert "failed, as asked" in said["failed"]
    assert (Path(said["dir"]) / "logs" / "trainer.log").is_file()
