"""`tuitrain doctor` as a user meets it: on this machine, and on ones with real limits."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ROOT, THINGS, TUITRAIN, Place
from tests.sites import eventually

CARTPOLE = ROOT / "configs" / "cartpole.toml"


@pytest.fixture(autouse=True)
def temporary(place: Place) -> Path:
    """Where a smoke run may put its folder; empty again at the end."""
    folder = place.root / "tmp"
    folder.mkdir()
    place.environment["TMPDIR"] = str(folder)
    return folder


def found(text: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in json.loads(text)["checks"]}


def shell(place: Place, before: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`tuitrain` after something a shell does, as `ulimit`."""
    command = shlex.join([*TUITRAIN, *map(str, arguments)])
    return subprocess.run(
        ["sh", "-c", f"{before} && exec {command}"],
        cwd=place.root,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_config_that_works(place: Place, temporary: Path) -> None:
    done = place.tuitrain(
        "doctor", CARTPOLE, "--seconds", "0.5", "--set", "actors.count=1", "--json"
    )
    rows = found(done.stdout)
    for name in ("environment", "network", "training", "ratio", "evaluator", "checkpoint"):
        assert rows[name]["state"] == "ok", rows[name]
    assert "2 actions" in rows["environment"]["found"]
    assert "updates/s" in rows["training"]["found"]
    assert "200,000 steps in about" in rows["duration"]["found"]
    assert not list(temporary.iterdir())
    assert not place.runs()


@pytest.mark.long
def test_a_learner_that_fails_in_the_smoke_run(place: Place, temporary: Path) -> None:
    kwargs = {"batch_size": 16, "how": "raise", "after": 3}
    path = place.config(
        learner={"network": f"{THINGS}:LearnersOnly", "network_kwargs": kwargs},
        run={"schedule": "sequential"},
    )
    done = place.tuitrain("doctor", path, "--seconds", "0.5", code=1)
    assert "FAIL  smoke run" in done.stdout
    assert "failed, as asked" in done.stdout
    assert "1 check failed: smoke run." in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert not list(temporary.iterdir())


def test_an_environment_that_cannot_be_built(place: Place) -> None:
    path = place.config(env={"id": f"{THINGS}:Broken"})
    done = place.tuitrain("doctor", path, "--json", code=1)
    rows = found(done.stdout)
    assert rows["environment"]["state"] == "fail"
    assert "the ROM is missing" in rows["environment"]["found"]
    assert rows["training"]["found"] == "not before this is mended: env & network"


def test_few_file_descriptors_and_an_environment_of_global_randomness(place: Place) -> None:
    path = place.config(env={"id": "tests.envs:GlobalRandomEnv"})
    done = shell(place, f"export PYTHONPATH={ROOT}; ulimit -n 48", "doctor", path, "--json")
    rows = found(done.stdout)
    assert done.returncode == 1
    assert rows["files"]["state"] == "fail"
    assert any("nofile" in command for command in rows["files"]["commands"])
    assert "open files" in rows["training"]["found"]
    assert "numpy.random and random" in rows["randomness"]["found"]


@pytest.mark.long
def test_what_doctor_says_of_file_descriptors_is_so(place: Place) -> None:
    path = place.config(run={"total_steps": 500})
    rows = found(place.tuitrain("doctor", path, "--no-run", "--json").stdout)
    needed = int(rows["files"]["found"].split("about ")[1].split()[0])
    assert shell(place, f"ulimit -n {needed}", "launch", path, "--headless").returncode == 0
    raised = shell(place, f"ulimit -S -n {needed // 2}", "launch", path, "--headless")
    assert raised.returncode == 0
    assert f"the limit of open files was {needed // 2}" in raised.stdout
    fewer = shell(place, f"ulimit -n {needed // 2}", "launch", path, "--headless")
    assert fewer.returncode == 3
    assert f"{needed // 2} are allowed" in fewer.stdout
    assert "ulimit -n 1024" in fewer.stdout


def test_dockers_shared_memory(place: Place) -> None:
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm"
    private = ["unshare", "--mount", "sh", "-c"]
    if (
        os.getuid()
        or not shutil.which("unshare")
        or (subprocess.run([*private, mount], capture_output=True, check=False).returncode)
    ):
        pytest.skip("needs a mount namespace of its own")
    path = place.config(
        env={"id": f"{THINGS}:Big"}, replay={"capacity": 10_000, "learning_starts": 200}
    )
    command = shlex.join([*TUITRAIN, "doctor", str(path), "--no-run", "--json"])
    done = subprocess.run(
        [*private, f"{mount} && exec {command}"],
        cwd=place.root,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    row = found(done.stdout)["shm"]
    assert row["state"] == "fail"
    assert "of 64.0 MiB in /dev/shm" in row["found"]
    assert "--shm-size=" in row["commands"][0]


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        signal.SIGKILL,
    ],
)
def test_a_doctor_that_is_ended_leaves_no_run(
    place: Place, temporary: Path, number: signal.Signals
) -> None:
    doctor = place.start("doctor", place.config(), "--seconds", "600")
    eventually(lambda: list(temporary.glob("*/*/runtime.json")), "a smoke run")
    doctor.send_signal(number)
    doctor.wait(60)
    if number != signal.SIGKILL:
        assert not list(temporary.iterdir())
        assert doctor.returncode not in (0, -number)
    # the place looks for processes, segments and sockets
