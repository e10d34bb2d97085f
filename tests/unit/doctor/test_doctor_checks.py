"""The other checks, each with facts of both states, and the report made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.doctor.literal import (
    BUILT,
    CLOCK,
    GIB,
    LOGIN,
    MACHINE,
    MIB,
    PLACE,
    SMOKE,
    TERMINAL,
    TORCH,
    WANTS,
)
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.rules import check
from tuitrain.doctor import needs, places, report, setup, smoke, terminal
from tuitrain.doctor.examination import Facts, Subject, blockers, groups
from tuitrain.doctor.facts import Package, Place, Space, Terminal
from tuitrain.doctor.finding import Finding, Group, worst
from tuitrain.measurements import NetworkFault
from tuitrain.supervisor.crew.cgroup import Cgroup

ALL = [terminal.size, terminal.colours, terminal.unicode, terminal.tmux]


def test_a_good_terminal() -> None:
    assert [check(TERMINAL).state for check in ALL] == ["ok", "ok", "ok", "n/a"]


def test_no_terminal() -> None:
    assert {check(Terminal(False)).state for check in ALL} == {"n/a"}


@pytest.mark.parametrize("small", [{"columns": 79}, {"rows": 23}])
def test_a_small_window(small: dict[str, int]) -> None:
    finding = terminal.size(replace(TERMINAL, **small))
    assert finding.state == "warn"
    assert "80 × 24" in finding.advice


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_terminal_that_cannot_draw(term: str) -> None:
    finding = terminal.colours(replace(TERMINAL, term=term))
    assert finding.state == "warn"
    assert "--headless" in finding.advice


def test_colours() -> None:
    assert "all" in terminal.colours(TERMINAL).found
    some = terminal.colours(replace(TERMINAL, colorterm=""))
    assert (some.state, some.found) == ("ok", "256 (TERM=xterm-256color)")
    few = terminal.colours(replace(TERMINAL, colorterm="", term="linux"))
    assert few.state == "warn"
    assert "COLORTERM=truecolor" in few.commands[0]
    assert "NO_COLOR" in terminal.colours(replace(TERMINAL, no_color=True)).found


def test_a_locale_that_is_not_utf_8() -> None:
    finding = terminal.unicode(replace(TERMINAL, encoding="ISO-8859-1"))
    assert finding.state == "warn"
    assert "export TUITRAIN_ASCII=1" in finding.commands
    wanted = replace(TERMINAL, encoding="ISO-8859-1", ascii_wanted=True)
    assert terminal.unicode(wanted).state == "ok"


def test_tmux_that_waits_after_escape() -> None:
    slow = terminal.tmux(replace(TERMINAL, tmux_escape_ms=500))
    assert slow.state == "warn"
    assert slow.commands == ("set -sg escape-time 10",)
    assert terminal.tmux(replace(TERMINAL, tmux_escape_ms=10)).state == "ok"


def test_the_runtime_directory() -> None:
    assert places.runtime_dir(PLACE).state == "ok"
    assert places.runtime_dir(Place(runtime="/tmp/tuitrain-1000")).state == "ok"
    missing = places.runtime_dir(replace(PLACE, runtime="/tmp/tuitrain-1000"))
    assert missing.state == "warn"
    assert "XDG_RUNTIME_DIR" in missing.found
    shared = replace(PLACE, runtime_error="/tmp/tuitrain-1000 is open to other users; run `chmod`")
    assert places.runtime_dir(shared).state == "fail"
    assert "chmod" in places.runtime_dir(shared).found


def test_the_disk_must_hold_the_replay_that_is_saved() -> None:
    without = needs.checkpoint_bytes(BUILT)
    assert needs.checkpoint_bytes(replace(BUILT, saved_bytes=GIB)) == without + GIB


def test_the_disk() -> None:
    assert places.disk(PLACE, GIB).state == "ok"
    assert places.disk(PLACE, 0).state == "ok"
    assert places.disk(PLACE, 40 * GIB).state == "warn"
    assert places.disk(PLACE, 60 * GIB).state == "fail"
    assert places.disk(replace(PLACE, disk=None), GIB).state == "n/a"
    few = replace(PLACE, disk=Space(100 * GIB, 50 * GIB, inodes=3))
    assert places.disk(few, GIB).state == "warn"
    closed = places.disk(replace(PLACE, out_error="/home/ana cannot be written to: Read-only"), 0)
    assert closed.state == "fail"
    assert closed.commands == ("--set run.out_dir=PATH",)


def test_logging_out() -> None:
    assert "you linger" in places.logout(LOGIN).found
    leaving = replace(LOGIN, linger=False)
    names = places.logout(leaving)
    assert (names.state, names.commands) == ("warn", ("loginctl enable-linger ana",))
    assert "RemoveIPC=yes" in names.found
    killed = places.logout(replace(leaving, kill_user_processes=True))
    assert (killed.state, killed.commands) == ("warn", ("loginctl enable-linger ana",))
    assert "KillUserProcesses=yes" in killed.found
    kept = places.logout(replace(leaving, remove_ipc=False))
    assert (kept.state, kept.found) == ("ok", "leaves runs alone (KillUserProcesses=no)")
    service = places.logout(replace(leaving, remove_ipc=False, in_session=False))
    assert (service.state, service.found) == ("ok", "leaves runs alone (this is no login session)")
    assert "you linger" in places.logout(replace(LOGIN, in_session=False)).found
    assert places.logout(replace(leaving, logind=False)).state == "ok"


def test_torch_and_the_devices_asked_for() -> None:
    assert setup.torch(TORCH, WANTS).state == "ok"
    assert setup.torch(TORCH, WANTS).found == "2.13.0+cpu, built for CPU, no GPU"
    assert setup.torch(replace(TORCH, error="no module named torch"), WANTS).state == "fail"
    cuda = replace(WANTS, learner_device="cuda:1")
    finding = setup.torch(TORCH, cuda)
    assert (finding.state, finding.commands) == ("fail", ("--set learner.device=cpu",))
    two = replace(TORCH, cuda_build="12.8", devices=("H100", "H100"))
    assert setup.torch(two, cuda).state == "ok"
    assert setup.torch(replace(two, devices=("H100",)), cuda).state == "fail"
    acting = setup.torch(TORCH, replace(WANTS, actor_device="cuda"))
    assert acting.commands == ("--set actors.device=cpu",)


def test_a_gpu_that_torch_leaves_alone() -> None:
    there = replace(TORCH, gpu_there=True)
    finding = setup.torch(there, WANTS)
    assert finding.state == "warn"
    assert "pip install" in finding.commands[0]
    unusable = setup.torch(replace(there, cuda_build="12.8"), WANTS)
    assert (unusable.state, unusable.commands) == ("warn", ("nvidia-smi",))
    assert setup.torch(there, replace(WANTS, learner_device="cpu")).state == "ok"
    used = replace(there, cuda_build="12.8", devices=("H100",))
    assert setup.torch(used, WANTS).state == "ok"


def test_packages() -> None:
    pong = Package("ale-py", "atari", "env.id = 'ALE/Pong-v5'", installed=True)
    board = Package("tensorboard", "tensorboard", "to look at its files", False, needed=False)
    assert setup.packages([]).state == "ok"
    assert setup.packages([pong]).state == "ok"
    assert setup.packages([pong, board]).state == "warn"
    missing = setup.packages([replace(pong, installed=False), board])
    assert missing.state == "fail"
    assert missing.commands == ("pip install 'tuitrain[atari,tensorboard]'",)


def test_what_was_built() -> None:
    assert setup.environment(BUILT, "CartPole-v1").found == "CartPole-v1: float32 (4,), 2 actions"
    assert setup.network(BUILT, "mlp").found == "mlp, 4.0 MiB of weights"
    assert setup.randomness(BUILT).state == "ok"
    fault = NetworkFault(kind="blind", state="fail", says="sees nothing", advice="open its eyes")
    finding = setup.network(replace(BUILT, network_faults=(fault,)), "net.py:make")
    assert (finding.state, finding.found) == ("fail", "net.py:make sees nothing")
    assert finding.advice == "open its eyes"
    slight = replace(BUILT, network_faults=(fault.model_copy(update={"state": "warn"}),))
    assert setup.network(slight, "net.py:make").state == "warn"
    broken = replace(BUILT, error="the ROM is missing\n    File env.py, line 3")
    finding = setup.environment(broken, "env.py:make")
    assert (finding.state, finding.found) == ("fail", "the ROM is missing")
    assert finding.commands == ("File env.py, line 3",)
    assert setup.network(broken, "mlp").state == "n/a"
    assert setup.randomness(broken).state == "n/a"
    assert setup.environment(None, "x").state == "n/a"


def test_an_environment_that_draws_from_global_state_is_named() -> None:
    finding = setup.randomness(replace(BUILT, global_random=("random", "numpy.random")))
    assert "random and numpy.random" in finding.found


def test_the_smoke_run() -> None:
    assert smoke.training(SMOKE, "").found == "10,000 steps/s, 1,000 updates/s"
    assert smoke.training(None, "left out").state == "n/a"
    assert smoke.training(replace(SMOKE, error="a0 failed\ntraceback"), "").state == "fail"
    none = smoke.training(replace(SMOKE, steps=0, updates=0), "")
    assert (none.state, none.found) == ("warn", "no step within 5 s")
    stuck = replace(SMOKE, steps=0, updates=0, steps_before=14)
    stands = smoke.training(stuck, "")
    assert (stands.state, stands.found) == ("fail", "14 steps, then none for 5 s")
    assert "--seconds" in stands.advice
    learning = smoke.training(replace(stuck, updates=3), "")
    assert (learning.state, learning.found) == (
        "warn",
        "14 steps, then none for 5 s, but 3 updates",
    )
    assert smoke.training(replace(SMOKE, updates=0), "").state == "warn"
    sick = replace(SMOKE, failing=("non-finite 3 (limit 0): lower lr",))
    assert smoke.training(sick, "").state == "fail"
    assert "lower lr" in smoke.training(sick, "").commands[0]


def test_what_the_smoke_run_has_measured() -> None:
    assert smoke.ratio(SMOKE).found == "0.1001 updates/transition, asked for 0.1"
    assert smoke.ratio(replace(SMOKE, ratios={"default": (None, 0.1)})).state == "n/a"
    early = {"a": (0.1001, 0.1), "b": (0.09, 0.1), "c": (None, 0.1)}
    assert smoke.ratio(replace(SMOKE, ratios=early)).found == (
        "0.09 updates/transition, asked for 0.1 (still settling)"
    )
    assert smoke.evaluator(SMOKE).state == "ok"
    assert smoke.evaluator(replace(SMOKE, evaluation_ok=None)).state == "n/a"
    late = smoke.evaluator(replace(SMOKE, evaluation_ok=False, evaluated="is not done yet"))
    assert (late.state, late.found) == ("warn", "is not done yet")
    assert smoke.checkpoint(SMOKE).state == "ok"
    assert smoke.checkpoint(replace(SMOKE, checkpoint_bytes=None)).state == "fail"
    assert smoke.duration(SMOKE, 1_000_000).found == "1,000,000 steps in about 1.7 minutes"
    assert "3.5 hours" in smoke.duration(SMOKE, 126_000_000).found
    assert smoke.duration(replace(SMOKE, steps=0), 10).state == "n/a"


def test_a_shortened_config_is_the_same_but_for_when_things_begin() -> None:
    tables = {
        "run": {"total_steps": 1_000_000, "tensorboard": True},
        "actors": {"count": 2, "envs_per_actor": 4, "chunk_steps": 8},
        "replay": {"capacity": 500_000, "learning_starts": 80_000},
        "learner": {"batch_size": 32, "n_step": 3},
        "stop": {"wall_time_s": 1.0},
        "hooks": {"on_end": ["touch", "was-here"]},
        "checks": {"on_fail": "stop", "lr_max": 0.1},
    }
    config = resolve(config_from(tables))
    short = smoke.shortened(config, "/tmp/x")
    assert check(short) == []
    assert short.replay.learning_starts == (1 + 3 + 8) * 2 * 4
    assert smoke.shortened(config, "/tmp/x", agents=10).replay.learning_starts == 960
    assert short.replay.capacity == 500_000
    assert short.learner == config.learner
    assert short.actors == config.actors
    assert (short.run.out_dir, short.run.tensorboard) == ("/tmp/x", False)
    assert (short.eval.episodes, short.eval.max_episode_steps) == (2, 200)
    assert short.hooks == type(short.hooks)()
    assert short.stop == type(short.stop)()
    assert (short.checks.on_fail, short.checks.lr_max) == ("log", 0.1)
    # one that begins early already still does
    early = resolve(config_from(tables | {"replay": {"learning_starts": 64}}))
    assert smoke.shortened(early, "/tmp/x").replay.learning_starts == 64


def test_what_a_config_needs() -> None:
    config = resolve(config_from({"actors": {"count": 3}, "learner": {"processes": "per-policy"}}))
    wants = needs.wants_of(config, policies=2)
    assert (wants.busy, wants.processes, wants.actors) == (5, 6, 3)
    alone = needs.wants_of(
        resolve(config_from({"run": {"schedule": "sequential"}, "eval": {"enabled": True}}))
    )
    assert (alone.busy, alone.processes) == (1, 1)
    assert needs.disk_needed(WANTS, 100 * MIB) == 4 * 100 * MIB + needs.SPARE_DISK_BYTES


SUBJECT = Subject("cartpole.toml", (), "CartPole-v1", "mlp", WANTS, (), built=BUILT, smoke=SMOKE)
HEALTHY = Facts(MACHINE, CLOCK, PLACE, LOGIN, TERMINAL, TORCH, SUBJECT)


def rows(facts: Facts) -> dict[str, Finding]:
    return {finding.id: finding for group in groups(facts) for finding in group.findings}


def test_a_healthy_machine() -> None:
    assert {f.state for f in rows(HEALTHY).values()} == {"ok", "n/a"}
    assert [g.name for g in groups(HEALTHY)] == [
        "Machine",
        "Places",
        "Terminal",
        "Config",
        "Smoke run",
    ]
    assert blockers(HEALTHY) == []
    assert report.text(groups(HEALTHY), colour=False)[-1] == "Everything is fine."


def test_without_a_config_the_machine_alone_is_examined() -> None:
    assert [g.name for g in groups(replace(HEALTHY, subject=None))] == [
        "Machine",
        "Places",
        "Terminal",
    ]


def test_the_size_of_a_real_checkpoint_counts() -> None:
    tight = replace(PLACE, disk=Space(10 * GIB, GIB))
    facts = replace(HEALTHY, place=tight)
    assert rows(facts)["disk"].state == "ok"
    big = replace(SMOKE, checkpoint_bytes=GIB)
    assert rows(replace(facts, subject=replace(SUBJECT, smoke=big)))["disk"].state == "fail"


def test_nothing_is_run_on_a_machine_that_cannot() -> None:
    docker = replace(MACHINE, shm=Space(64 * MIB, 64 * MIB), files_soft=32, files_hard=32)
    facts = replace(
        HEALTHY, machine=docker, place=replace(PLACE, runtime_error="is open to other users")
    )
    assert blockers(facts) == ["shared memory", "open files", "runtime folder"]


def test_a_config_that_cannot_be_read_is_all_there_is_to_say_of_it() -> None:
    facts = replace(HEALTHY, subject=Subject("x.toml", ("learner.lr = 7: too much",)))
    found = groups(facts)
    assert [f.state for f in found[-1].findings] == ["fail"]
    assert found[-1].findings[0].commands == ("learner.lr = 7: too much",)
    assert blockers(facts) == ["config"]


SICK = Facts(
    replace(
        MACHINE,
        cores=2,
        shm=Space(64 * MIB, 64 * MIB),
        files_soft=32,
        files_hard=32,
        memory_available_bytes=100 * MIB,
        cgroup=Cgroup(1.0, GIB, GIB, 30, 29),
    ),
    replace(CLOCK, suspended_s=1e5),
    replace(PLACE, out_error="/home/ana/experiments/with/a/long/name cannot be written to: Full"),
    replace(LOGIN, linger=False),
    Terminal(True, 60, 20, "linux", "", "ISO-8859-1", tmux_escape_ms=500),
    replace(TORCH, gpu_there=True),
    replace(SUBJECT, smoke=None, no_smoke="not before this is mended: cores, memory, disk"),
)


@pytest.mark.parametrize("facts", [HEALTHY, SICK])
def test_the_report_fits_80_columns_and_is_plain(facts: Facts) -> None:
    lines = report.text(groups(facts), colour=False)
    assert [line for line in lines if len(line) > 80] == []
    assert "\x1b" not in "".join(lines)
    painted = report.text(groups(facts), colour=True)
    assert "\x1b[" in "".join(painted)


def test_the_verdict_names_what_fails_and_what_warns() -> None:
    found = groups(SICK)
    assert worst(found) == "fail"
    last = " ".join(report.text(found, colour=False)[-3:])
    assert "5 checks failed: memory, shared memory, open files, processes, disk." in last
    assert "warnings: cores, torch, clock, logging out, size" in last
    assert worst([Group("a", (Finding("a", "a", "warn", ""),))]) == "warn"
    assert worst([Group("a", (Finding("a", "a", "n/a", ""),))]) == "ok"


def test_the_report_for_scripts() -> None:
    data = report.data(groups(SICK))
    assert (data["schema_version"], data["state"]) == (1, "fail")
    (shm,) = [row for row in data["checks"] if row["id"] == "shm"]
    assert (shm["group"], shm["state"]) == ("Machine", "fail")
    assert shm["commands"]
    ids = [row["id"] for row in data["checks"]]
    assert len(ids) == len(set(ids))


def test_other_settings_of_evaluations_are_told_and_no_fault() -> None:
    assert setup.evaluations(BUILT).state == "ok"
    told = setup.evaluations(replace(BUILT, evaluations="Evaluations play with a = 1"))
    assert (told.state, told.found) == ("n/a", "Evaluations play with a = 1")
