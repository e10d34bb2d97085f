"""Everything the checks judge, as plain values. ``None`` is what could not be found out."""

from __future__ import annotations

from dataclasses import dataclass, field

from tuitrain.measurements import NetworkFault
from tuitrain.supervisor.crew.cgroup import Cgroup


@dataclass(frozen=True)
class Space:
    """Memory or disk. `inodes` are free ones, of file systems that count them."""

    total_bytes: int
    free_bytes: int
    inodes: int | None = None


@dataclass(frozen=True)
class Machine:
    """Limits and sizes.

    Attributes:
        cores: that this process may run on; `cores_there` are in the machine.
        load: processes of anybody, on all of these, that ran or could have: mean of a minute.
        thread_variables: those of OpenMP and its like that are set in the environment.
    """

    cores: int = 1
    cores_there: int = 1
    load: float | None = None
    shm: Space | None = None
    memory_available_bytes: int | None = None
    cgroup: Cgroup = field(default_factory=Cgroup)
    files_soft: int | None = None
    files_hard: int | None = None
    thread_variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Clock:
    """The clocks, at two moments `watched_s` apart.

    Attributes:
        unix_s: wall clock.
        jumped_s: how much further the wall clock went than the monotonic one in between.
        suspended_s: how long the machine has slept since it was started.
    """

    unix_s: float
    watched_s: float = 0.0
    jumped_s: float = 0.0
    suspended_s: float | None = None


@dataclass(frozen=True)
class Terminal:
    """The terminal that the screen would open in.

    Attributes:
        encoding: that programs use for text here.
        tmux_escape_ms: how long tmux waits after Esc; None outside tmux.
        ascii_wanted: TUITRAIN_ASCII is set.
    """

    is_terminal: bool
    columns: int = 0
    rows: int = 0
    term: str = ""
    colorterm: str = ""
    encoding: str = "utf-8"
    tmux_escape_ms: int | None = None
    ascii_wanted: bool = False
    no_color: bool = False


@dataclass(frozen=True)
class Place:
    """Where a run keeps its files and its socket.

    Attributes:
        runtime: the runtime directory; `runtime_error` is why it cannot be used.
        runtime_wanted: XDG_RUNTIME_DIR, where it is set.
        out_dir: of the runs; `out_error` is why no run folder can be made there.
    """

    runtime: str = ""
    runtime_error: str = ""
    runtime_wanted: str = ""
    out_dir: str = ""
    out_error: str = ""
    disk: Space | None = None


@dataclass(frozen=True)
class Torch:
    """What a process that imports torch finds.

    Attributes:
        cuda_build: version of CUDA or ROCm it was built for; None for CPU alone.
        devices: names of the GPUs it can use.
        gpu_there: the machine has an NVIDIA driver.
    """

    version: str = ""
    cuda_build: str | None = None
    devices: tuple[str, ...] = ()
    gpu_there: bool = False
    error: str = ""


@dataclass(frozen=True)
class Package:
    """An optional package that the config names. `extra` is tuitrain's; `why` is the key."""

    name: str
    extra: str
    why: str
    installed: bool
    needed: bool = True


@dataclass(frozen=True)
class Built:
    """What came of building the config's environment and network in a fresh process.

    Attributes:
        policies: by name, what is observed and how many actions there are, in words.
        weights_bytes: of all policies, one copy of each.
        shm_bytes: shared memory the run will reserve.
        saved_bytes: of the replay, as far as checkpoints hold it.
        process_bytes: memory of that process that nothing else shares.
        global_random: the global random states the environment draws from.
        network_faults: what is wrong with the policies' networks, the worst first.
        evaluations: in words, what is different in them by `env.eval_kwargs`.
    """

    error: str = ""
    policies: dict[str, str] = field(default_factory=dict)
    weights_bytes: int = 0
    shm_bytes: int = 0
    saved_bytes: int = 0
    process_bytes: int = 0
    global_random: tuple[str, ...] = ()
    network_faults: tuple[NetworkFault, ...] = ()
    evaluations: str = ""


@dataclass(frozen=True)
class Wants:
    """What a resolved config asks for; see ``needs``.

    Attributes:
        busy: processes that compute all the time; `processes` are all, with the evaluator's.
    """

    schedule: str
    busy: int
    processes: int
    threads: int
    actors: int
    learner_device: str
    actor_device: str
    keep_checkpoints: int
    total_steps: int
    policies: int = 1


@dataclass(frozen=True)
class Smoke:
    """A few seconds of the config under the real supervisor.

    Attributes:
        error: why it did not come up or did not go on.
        ran_s: how long was measured; `steps`, `updates` were made in it, of all policies.
        steps_before: made until then, from the start of the run on.
        ratios: per policy, updates per transition (None before it can be said) and those asked for.
        evaluated: what the evaluator answered; `evaluation_ok` None where the run has none.
        checkpoint_bytes: of the one that was written at the end; None where none was.
        failing: checks of the run that failed, with their advice.
    """

    error: str = ""
    ran_s: float = 0.0
    steps: int = 0
    steps_before: int = 0
    updates: int = 0
    ratios: dict[str, tuple[float | None, float]] = field(default_factory=dict)
    evaluation_ok: bool | None = None
    evaluated: str = ""
    checkpoint_bytes: int | None = None
    failing: tuple[str, ...] = ()
