"""Every check of the machine, with facts of machines on which runs have failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.doctor.literal import BUILT, CLOCK, GIB, MACHINE, MIB, WANTS
from tuitrain.doctor import machine
from tuitrain.doctor.facts import Built, Space
from tuitrain.supervisor.crew.cgroup import Cgroup, read_cgroup


def test_a_core_for_every_busy_process() -> None:
    assert machine.cores(MACHINE, WANTS).state == "ok"
    assert machine.cores(MACHINE, None).state == "ok"


def test_more_busy_processes_than_the_affinity_allows() -> None:
    finding = machine.cores(replace(MACHINE, cores=2), WANTS)
    assert finding.state == "warn"
    assert "of the machine's 4" in finding.found
    assert finding.commands == ("--set actors.count=1",)


def test_a_container_whose_quota_is_less_than_its_cores() -> None:
    finding = machine.cores(replace(MACHINE, cgroup=Cgroup(cpu_cores=2.5)), WANTS)
    assert finding.state == "warn"
    assert "allows 2.5" in finding.found
    assert finding.commands == ("--set actors.count=1",)
    assert machine.cores(replace(MACHINE, cgroup=Cgroup(cpu_cores=4.0)), WANTS).state == "ok"


def test_a_machine_that_others_keep_busy() -> None:
    for wants in (WANTS, None):
        assert machine.cores(replace(MACHINE, load=3.9), wants).state == "ok"
        finding = machine.cores(replace(MACHINE, load=6.27), wants)
        assert (finding.state, finding.commands) == ("warn", ("top",))
        assert finding.found.startswith("4 cores; in the last minute 6.3 processes wanted them")
    few = machine.cores(replace(MACHINE, cores=2, load=6.27), WANTS)
    assert few.commands == ("--set actors.count=1",), "this can be mended here"
    part = replace(MACHINE, cores=2, cores_there=64, load=6.3)
    assert "wanted them" not in machine.cores(part, WANTS).found, "on which of the 64 is not known"


def test_threads_times_processes() -> None:
    finding = machine.cores(MACHINE, replace(WANTS, threads=4))
    assert finding.state == "warn"
    assert finding.commands == ("--set run.threads_per_process=1",)


def test_what_would_be_faster() -> None:
    many = machine.cores(MACHINE, replace(WANTS, busy=10, actors=8))
    assert many.commands == ("--set actors.count=2",)
    learning = machine.cores(MACHINE, replace(WANTS, busy=6, actors=1))
    assert learning.commands == ("--set learner.processes=3",)


def test_one_core_does_what_it_can() -> None:
    assert machine.cores(replace(MACHINE, cores=1), replace(WANTS, busy=2, actors=1)).state == "ok"


def test_thread_variables_are_overridden_and_said_to_be() -> None:
    given = {"OMP_NUM_THREADS": "64", "OMP_PROC_BIND": "true", "OMP_WAIT_POLICY": "active"}
    finding = machine.threads(replace(MACHINE, thread_variables=given), WANTS)
    assert finding.state == "ok"
    assert "override OMP_NUM_THREADS=64, OMP_PROC_BIND=true" in finding.found
    assert "WAIT_POLICY" not in finding.found
    assert "override" not in machine.threads(MACHINE, WANTS).found


def test_dockers_64_mb() -> None:
    docker = replace(MACHINE, shm=Space(64 * MIB, 64 * MIB))
    finding = machine.shared_memory(docker, BUILT)
    assert finding.state == "fail"
    assert "64.0 MiB free of 64.0 MiB" in finding.found
    assert "100.0 MiB needed" in finding.found
    assert any("--shm-size=125m" in command for command in finding.commands)
    assert machine.shared_memory(docker, replace(BUILT, shm_bytes=MIB)).state == "ok"
    assert machine.shared_memory(docker, None).state == "warn"
    assert machine.shared_memory(MACHINE, BUILT).state == "ok"
    assert machine.shared_memory(replace(MACHINE, shm=None), BUILT).state == "n/a"


def test_shared_memory_that_others_have_filled() -> None:
    full = replace(MACHINE, shm=Space(1024 * MIB, 50 * MIB))
    finding = machine.shared_memory(full, BUILT)
    assert finding.state == "fail"
    # what the others use is still needed
    assert any("--shm-size=1099m" in command for command in finding.commands)


def test_memory() -> None:
    assert machine.memory(MACHINE, WANTS, BUILT).state == "ok"
    assert machine.memory(MACHINE, None, None).state == "ok"
    for unbuilt in (None, Built(error="the ROM is missing")):
        finding = machine.memory(MACHINE, WANTS, unbuilt)
        assert (finding.state, finding.found) == ("ok", "16.0 GiB free")
    little = replace(MACHINE, memory_available_bytes=1100 * MIB)  # 1000 are needed
    assert machine.memory(little, WANTS, BUILT).state == "warn"
    assert machine.memory(replace(little, memory_available_bytes=GIB // 2), WANTS, BUILT).state == (
        "fail"
    )
    unknown = replace(MACHINE, memory_available_bytes=None)
    assert machine.memory(unknown, WANTS, BUILT).state == "n/a"


def test_the_memory_limit_of_a_container() -> None:
    group = Cgroup(memory_limit_bytes=GIB, memory_used_bytes=200 * MIB)
    finding = machine.memory(replace(MACHINE, cgroup=group), WANTS, BUILT)
    assert finding.state == "fail"
    assert "824.0 MiB left of the control group's 1.0 GiB" in finding.found
    assert "--memory" in finding.advice
    roomy = Cgroup(memory_limit_bytes=32 * GIB, memory_used_bytes=None)
    tight = replace(MACHINE, cgroup=roomy, memory_available_bytes=GIB // 2)
    assert "--memory" not in machine.memory(tight, WANTS, BUILT).advice


def test_64_open_files() -> None:
    finding = machine.files(replace(MACHINE, files_soft=64, files_hard=64), WANTS)
    assert finding.state == "fail"
    assert "64 allowed, about 80 needed" in finding.found
    assert finding.commands[0] == "ulimit -n 1024"
    assert any("--ulimit nofile=1024" in command for command in finding.commands)
    raised = machine.files(replace(MACHINE, files_soft=64), WANTS)
    assert raised.state == "ok"
    assert "a run raises it" in raised.found
    tight = replace(MACHINE, files_soft=64, files_hard=100)
    assert machine.files(tight, WANTS).state == "ok"
    assert machine.files(tight, None).state == "warn"
    assert machine.files(tight, replace(WANTS, policies=16)).state == "fail"
    assert machine.files(MACHINE, WANTS).state == "ok"
    assert machine.files(replace(MACHINE, files_soft=None), WANTS).state == "ok"


def test_a_limit_on_processes() -> None:
    crowded = replace(MACHINE, cgroup=Cgroup(pids_limit=50, pids_used=30))
    finding = machine.processes(crowded, WANTS)
    assert finding.state == "fail"
    assert any("--pids-limit" in command for command in finding.commands)
    roomy = replace(MACHINE, cgroup=Cgroup(pids_limit=5_000, pids_used=30))
    assert machine.processes(roomy, WANTS).state == "ok"
    assert machine.processes(MACHINE, WANTS).state == "ok"


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (replace(CLOCK, jumped_s=-3_600.0), "-3600.0 s"),
        (replace(CLOCK, jumped_s=0.5), "+0.5 s"),
        (replace(CLOCK, suspended_s=5 * 3_600.0), "5.0 hours"),
        (replace(CLOCK, unix_s=1_000.0), "in the past"),
    ],
)
def test_clocks_that_jump_sleep_or_are_wrong(broken: object, word: str) -> None:
    finding = machine.clock(broken)
    assert finding.state == "warn"
    assert word in finding.found
    assert finding.commands


def test_a_good_clock() -> None:
    assert machine.clock(CLOCK).state == "ok"
    assert machine.clock(replace(CLOCK, suspended_s=None)).state == "ok"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_limits_of_control_groups_version_2(tmp_path: Path) -> None:
    files = {
        "user.slice/cpu.max": "150000 100000",
        "user.slice/run.scope/cpu.max": "max 100000",
        "user.slice/run.scope/memory.max": "1000000",
        "user.slice/run.scope/memory.current": "700000",
        "user.slice/run.scope/memory.stat": "anon 5\ninactive_file 300000",
        "user.slice/memory.max": "max",
        "user.slice/pids.max": "99",
        "user.slice/pids.current": "9",
    }
    write(tmp_path, files)
    assert read_cgroup("0::/user.slice/run.scope\n", tmp_path) == Cgroup(
        1.5, 1_000_000, 400_000, 99, 9
    )


def test_limits_of_control_groups_version_1_inside_a_container(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "2000000",
        "memory/memory.usage_in_bytes": "500000",
        "pids/pids.max": "max",
    }
    write(tmp_path, files)
    told = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:pids:/docker/abc\n0::/\n"
    assert read_cgroup(told, tmp_path) == Cgroup(2.0, 2_000_000, 500_000, None, None)


def test_no_limits(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert read_cgroup("4:memory:/\n0::/\n", tmp_path) == Cgroup()
    assert read_cgroup("", tmp_path) == Cgroup()
