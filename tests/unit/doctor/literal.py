"""A healthy machine and a config that goes with it, as literal facts; each test breaks one."""

from __future__ import annotations

from tuitrain.doctor.facts import (
    Built,
    Clock,
    Machine,
    Place,
    Smoke,
    Space,
    Terminal,
    Torch,
    Wants,
)
from tuitrain.supervisor.crew.cgroup import Cgroup
from tuitrain.supervisor.house.surroundings import Login

MIB = 2**20
GIB = 2**30

MACHINE = Machine(
    cores=4,
    cores_there=4,
    shm=Space(8 * GIB, 8 * GIB),
    memory_available_bytes=16 * GIB,
    cgroup=Cgroup(),
    files_soft=1024,
    files_hard=1_048_576,
)
CLOCK = Clock(1_800_000_000.0, 10.0, 0.002, 0.0)
TERMINAL = Terminal(True, 120, 40, "xterm-256color", "truecolor", "UTF-8")
PLACE = Place(
    runtime="/run/user/1000/tuitrain",
    runtime_wanted="/run/user/1000",
    out_dir="/home/ana/runs",
    disk=Space(100 * GIB, 50 * GIB, 1_000_000),
)
LOGIN = Login("ana", 1000, logind=True, linger=True)
TORCH = Torch("2.13.0+cpu")
WANTS = Wants(
    schedule="async",
    busy=4,
    processes=5,
    threads=1,
    actors=3,
    learner_device="auto",
    actor_device="cpu",
    keep_checkpoints=3,
    total_steps=1_000_000,
)
BUILT = Built(
    policies={"default": "float32 (4,), 2 actions"},
    weights_bytes=4 * MIB,
    shm_bytes=100 * MIB,
    process_bytes=150 * MIB,
)
SMOKE = Smoke(
    ran_s=5.0,
    steps=50_000,
    updates=5_000,
    ratios={"default": (0.1001, 0.1)},
    evaluation_ok=True,
    evaluated="default v3: return 20 ± 3 (2 episodes)",
    checkpoint_bytes=16 * MIB,
)
