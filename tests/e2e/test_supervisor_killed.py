"""SIGKILL of a supervisor: its workers die with it, its guard or the next command does the rest."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.harness import THINGS, Place
from tests.sites import eventually, gone


@pytest.mark.long
def test_a_killed_run_is_swept_and_its_neighbour_does_not_notice(place: Place) -> None:
    victim = place.launch_detached(run={"name": "a-victim"})
    neighbour = place.launch_detached(run={"name": "b-neighbour", "schedule": "sequential"})
    pids = [p["pid"] for p in victim.snapshot()["processes"]]
    others = [p["pid"] for p in neighbour.snapshot()["processes"]]
    assert victim.segments()
    kept = neighbour.segments()
    os.kill(pids[1], signal.SIGSTOP)  # not even a stopped worker may stay

    victim.kill_with_guard()
    eventually(lambda: all(gone(pid) for pid in [victim.pid, *pids]), "workers' end", 20.0)

    listed = place.tuitrain("clean", "--dry-run").stdout.splitlines()
    named = [line.split()[-1] for line in listed if " segment " in line]
    # what other runs on the machine have left is listed, too
    assert [name for name in named if victim.run_id in name] == victim.segments()
    assert not [name for name in named if neighbour.run_id in name]
    assert victim.segments()
    shown = place.tuitrain("ls")
    assert "removed what dead runs had left" in shown.stderr
    assert victim.segments() == []
    assert not (place.runtime / "tuitrain" / victim.run_id).exists()
    states = {line.split()[0]: line.split()[1] for line in shown.stdout.splitlines()}
    assert states == {victim.name: "killed", neighbour.name: "running"}
    assert "killed: its supervisor ended" in place.tuitrain("status", victim.name).stdout

    snapshot = neighbour.snapshot()
    assert [p["pid"] for p in snapshot["processes"]] == others
    assert neighbour.segments() == kept
    neighbour.learned(snapshot["policies"][0]["updates"] + 20)
    place.tuitrain("stop", neighbour.name)
    assert neighbour.summary()["state"] == "stopped"


def test_what_an_environment_prints_and_starts_stays_in_its_worker(place: Place) -> None:
    run = place.launch_detached(env={"id": f"{THINGS}:Noisy"})
    log = (run.path / "logs" / "a0.log").read_text()
    for said in ("printed by the environment", "written to descriptor 1", "said by a child"):
        assert said in log
    assert "printed" not in (run.path / "logs" / "supervisor.log").read_text()
    children = [p.pid for p in place.processes() if p.name() == "sleep"]
    assert len(children) >= 4 + 4  # actor and evaluator

    os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: not list(place.processes()), "everybody's end", 20.0)
    assert all(gone(pid) for pid in children)
    assert not place.left()


def test_what_leaves_group_and_session_and_heeds_no_signal_ends_too(place: Place) -> None:
    run = place.launch_detached(
        env={"id": f"{THINGS}:Daemonic"},
        eval={"enabled": False},
        supervisor={"heartbeat_s": 0.1, "max_restarts": 1},
    )

    def daemons(worker: str) -> list[int]:
        lines = (run.path / "logs" / f"{worker}.log").read_text().splitlines()
        return [int(line.split()[1]) for line in lines if line.startswith("daemon")]

    assert daemons("probe")
    assert all(gone(pid) for pid in daemons("probe"))
    before = daemons("a0")
    os.kill(run.workers()["a0"]["pid"], signal.SIGKILL)
    eventually(lambda: len(daemons("a0")) == 8, "a successor")
    assert all(gone(pid) for pid in before)
    pids = daemons("a0")[4:]
    assert len(pids) == 4
    assert not any(gone(pid) for pid in pids)
    assert all(os.getsid(pid) == pid for pid in pids)
    os.kill(run.workers()["a0"]["pid"], signal.SIGSTOP)
    os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: not list(place.processes()), "everybody's end", 20.0)
    assert all(gone(pid) for pid in pids)
    assert not place.left()


@pytest.mark.long  # of a run that has finished, among much else: test_unruly
@pytest.mark.parametrize("schedule", ["sequential", "async"])
def test_an_environments_children_end_with_the_run(place: Place, schedule: str) -> None:
    config = place.config(
        run={"total_steps": 300}, env={"id": f"{THINGS}:Noisy"}, eval={"every_steps": 300}
    )
    place.tuitrain("launch", config, "--json", "--schedule", schedule)
    assert not [p for p in place.processes() if p.name() == "sleep"]


def test_a_supervisor_killed_while_it_starts_leaves_nothing_either(place: Place) -> None:
    process = place.start("launch", place.config(), "--headless")
    run = eventually(lambda: place.runs() and (place.runs()[0]), "the run's folder")
    assert not isinstance(run, list)
    eventually((run.path / "logs" / "probe.log").exists, "the probe")
    process.kill()
    process.wait()
    eventually(lambda: not list(place.processes()), "the probe's end", 20.0)
    place.tuitrain("ls")
    assert not place.left()
