"""Checks of the machine: cores, memory, shared memory, descriptors, clock."""

from __future__ import annotations

import math

from tuitrain.doctor.facts import Built, Clock, Machine, Wants
from tuitrain.doctor.finding import Finding, size
from tuitrain.doctor.needs import memory_needed
from tuitrain.protocol import CheckState
from tuitrain.supervisor.house.open_files import enough_for, files_needed

SHM_LITTLE_BYTES = 64 * 2**20
"""What docker gives a container that did not ask."""

FILES_LITTLE = 256
MEMORY_WARN = 0.8
"""Share of the free memory from which on there is little room for learning itself."""

JUMP_S = 0.1
"""Clocks that are steered gain or lose at most 0.5 ms a second; what is more was a step."""

SUSPENDED_S = 60.0
OLDEST_UNIX_S = 1_735_689_600.0
"""2025-01-01: no clock that is right is behind it."""

_OVERRIDDEN = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_PROC_BIND",
)


def cores(machine: Machine, wants: Wants | None) -> Finding:
    """Busy threads have a core each."""
    quota = machine.cgroup.cpu_cores
    usable = machine.cores if quota is None else min(machine.cores, max(1, math.floor(quota)))
    found = f"{machine.cores} core{'s' * (machine.cores != 1)}"
    if machine.cores < machine.cores_there:
        found += f" of the machine's {machine.cores_there} (affinity)"
    if quota is not None and quota < machine.cores:
        found += f", of which the control group allows {quota:g}"
    loaded = machine.load is not None and machine.load >= machine.cores_there
    if loaded:
        found += f"; in the last minute {machine.load:.1f} processes wanted them"
    if wants is None:
        return _idle_cores(found, loaded)
    busy = wants.busy * wants.threads
    threads = f" of {wants.threads} threads" if wants.threads > 1 else ""
    found += f"; {wants.busy} busy process{'es' * (wants.busy != 1)}{threads}"
    if busy <= usable or (busy == 2 and usable == 1):
        return _idle_cores(found, loaded)
    learners = wants.busy - wants.actors
    if wants.threads > 1:
        advice, command = "Give every process one thread:", "--set run.threads_per_process=1"
    elif wants.actors > 1:
        advice = "Fewer actors would be faster:"
        command = f"--set actors.count={max(1, usable - learners)}"
    else:
        advice = "Fewer learner processes would be faster:"
        command = f"--set learner.processes={max(1, usable - wants.actors)}"
    return Finding("cores", "cores", "warn", found, advice, (command,))


def _idle_cores(found: str, loaded: bool) -> Finding:
    """There are cores enough: do others leave them alone?"""
    if not loaded:
        return Finding("cores", "cores", "ok", found)
    advice = "The machine is busy already: a run will be slow, and slow others down. See:"
    return Finding("cores", "cores", "warn", found, advice, ("top",))


def threads(machine: Machine, wants: Wants | None) -> Finding:
    """What the environment says of threads is overridden in every worker."""
    given = {n: v for n, v in machine.thread_variables.items() if n in _OVERRIDDEN}
    named = ", ".join(f"{name}={value}" for name, value in sorted(given.items()))
    per = f"{wants.threads} in each worker" if wants is not None else "as the config says"
    if not given:
        return Finding("threads", "threads", "ok", per)
    return Finding("threads", "threads", "ok", f"{per}; workers override {named}")


def memory(machine: Machine, wants: Wants | None, built: Built | None) -> Finding:
    """Processes and replay fit into what is free, also in a control group."""
    group = machine.cgroup
    free, whose = machine.memory_available_bytes, "free"
    if group.memory_limit_bytes is not None:
        left = max(0, group.memory_limit_bytes - (group.memory_used_bytes or 0))
        if free is None or left < free:
            free = left
            whose = f"left of the control group's {size(group.memory_limit_bytes)}"
    if free is None:
        return Finding("memory", "memory", "n/a", "cannot be told here")
    found = f"{size(free)} {whose}"
    if wants is None or built is None or not built.process_bytes:
        return Finding("memory", "memory", "ok", found)
    needed = memory_needed(wants, built)
    found += f", about {size(needed)} needed"
    if needed <= MEMORY_WARN * free:
        return Finding("memory", "memory", "ok", found)
    advice = "Lower replay.capacity or the number of actors"
    if "control group" in whose:
        advice += ", or raise the limit (containers: --memory)"
    return Finding("memory", "memory", "fail" if needed > free else "warn", found, f"{advice}.")


def shared_memory(machine: Machine, built: Built | None) -> Finding:
    """Replay and weights fit into /dev/shm."""
    shm, name = machine.shm, "shared memory"
    if shm is None:
        return Finding("shm", name, "n/a", "no /dev/shm here: the system has another place")
    found = f"{size(shm.free_bytes)} free of {size(shm.total_bytes)} in /dev/shm"
    needed = 0 if built is None or built.error else built.shm_bytes
    if needed:
        found += f", {size(needed)} needed"
    used = shm.total_bytes - shm.free_bytes
    enough = -(-(used + max(needed, SHM_LITTLE_BYTES) * 5 // 4) // 2**20)
    fixes: tuple[str, ...] = (
        f"docker run --shm-size={enough}m ...  # a new container",
        f"mount -o remount,size={enough}m /dev/shm  # as root",
    )
    if needed > shm.free_bytes:
        return Finding("shm", name, "fail", found, "Enlarge it, or lower replay.capacity:", fixes)
    if not needed and shm.free_bytes <= SHM_LITTLE_BYTES:
        advice = "Enough for small replays only; to enlarge it:"
        return Finding("shm", name, "warn", found, advice, fixes)
    return Finding("shm", name, "ok", found)


def files(machine: Machine, wants: Wants | None) -> Finding:
    """The run's processes may open as many files as they need; a launch raises the soft limit."""
    soft, hard = machine.files_soft, machine.files_hard
    if soft is None:
        return Finding("files", "open files", "ok", "no limit")
    needed = 0 if wants is None else files_needed(wants.processes, wants.policies)
    found = f"{soft:,} allowed" + (f", about {needed} needed" if needed else "")
    enough = needed or FILES_LITTLE
    if soft >= enough:
        return Finding("files", "open files", "ok", found)
    if hard is None or hard >= enough:
        return Finding("files", "open files", "ok", f"{found}; a run raises it to what it needs")
    target = enough_for(needed)
    advice = f"Its hard limit is {hard:,}. As root, or by an option of the container or service:"
    fixes = (
        f"ulimit -n {target}",
        f"docker run --ulimit nofile={target} ...",
        f"LimitNOFILE={target}  # systemd",
    )
    state: CheckState = "fail" if needed > hard else "warn"
    return Finding("files", "open files", state, found, advice, fixes)


def processes(machine: Machine, wants: Wants | None) -> Finding:
    """The control group has room for the workers and their threads."""
    limit, used = machine.cgroup.pids_limit, machine.cgroup.pids_used or 0
    if limit is None:
        return Finding("processes", "processes", "ok", "no limit")
    # the supervisor and its console and tracker, and of every worker its threads and the lifeline
    needed = 8 if wants is None else 8 + wants.processes * (wants.threads + 4)
    found = f"{used:,} of {limit:,} in the control group, {needed} more needed"
    if used + needed <= limit:
        return Finding("processes", "processes", "ok", found)
    advice = "Raise it, or start fewer actors. Containers:"
    command = f"docker run --pids-limit={2 * (used + needed)} ..."
    return Finding("processes", "processes", "fail", found, advice, (command,))


def clock(clock: Clock) -> Finding:
    """The wall clock is right and steady; the machine does not sleep."""
    if clock.unix_s < OLDEST_UNIX_S:
        return Finding(
            "clock",
            "clock",
            "warn",
            "the date lies in the past",
            "Set it, or metrics and checkpoints carry wrong times:",
            ("timedatectl set-ntp true",),
        )
    if abs(clock.jumped_s) > JUMP_S:
        return Finding(
            "clock",
            "clock",
            "warn",
            f"was set by {clock.jumped_s:+.1f} s while doctor looked",
            "Deadlines do not depend on it, but times in metrics and events will jump. Let it be "
            "steered instead of set:",
            ("timedatectl set-ntp true",),
        )
    if clock.suspended_s is not None and clock.suspended_s > SUSPENDED_S:
        minutes = clock.suspended_s / 60
        slept = f"{minutes / 60:.1f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"
        return Finding(
            "clock",
            "clock",
            "warn",
            f"the machine has slept for {slept} since it was started",
            "A run sleeps with it, unharmed. To keep it awake (with --headless):",
            ("systemd-inhibit --what=sleep tuitrain launch CONFIG",),
        )
    return Finding("clock", "clock", "ok", "steady, never suspended")
