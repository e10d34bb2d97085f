"""What a run can be told: every TOML key, with its type, unit, default and range.

This module only describes; reading files and explaining errors is `load.py`'s work, and choosing
values that depend on the machine (``"auto"``) is `resolve.py`'s. It must stay importable without
torch, because the supervisor and the command line read it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.checks import ChecksConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.config.supervision import SupervisorConfig
from tuitrain.config.table import Table, unit
from tuitrain.config.unattended import HooksConfig, StopConfig

SCHEMA_VERSION = 1

Schedule = Literal["sequential", "lockstep", "async"]
"""Who calls ``Actor.step`` and ``Learner.step``, where and when. One algorithm in all three."""

Reduction = Literal["mean", "sum", "min", "max", "last"]


class RunConfig(Table):
    """`[run]`: what is trained, for how long and where it is written."""

    name: str = Field(
        "run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of the run; its folder is `out_dir/name-NNNN`.",
    )
    seed: int = Field(1, ge=0, lt=2**63, description="Seed of every random stream of the run.")
    schedule: Schedule = Field(
        "async",
        description="`sequential` (one worker process, the reference), `lockstep` (parallel and "
        "bit-identical to sequential) or `async` (fastest).",
    )
    total_steps: int = Field(
        100_000,
        ge=1,
        le=10**12,
        json_schema_extra=unit("environment steps"),
        description="Training ends after this many environment steps over all actors "
        "(steps of single environments; resets do not count).",
    )
    out_dir: str = Field(
        "runs",
        min_length=1,
        description="Folder in which run folders are made. Where no config names one, `launch`, "
        "`doctor` and `tuitrain.train` take `$TUITRAIN_RUNS_DIR`, as all commands do that look for "
        "a run.",
    )
    checkpoint_every_s: float = Field(
        180.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="Seconds between checkpoints; one more is written at the end.",
    )
    checkpoint_every_steps: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("environment steps"),
        description="Environment steps between checkpoints, besides `checkpoint_every_s`: the one "
        "that comes first. Looked at four times a second.",
    )
    checkpoint_replay: bool | Literal["auto"] = Field(
        "auto",
        description=(
            "Checkpoints hold the replay, the random streams and, where they can be saved, the "
            'environments, so that a resumed run goes on and does not warm up again. "auto": if '
            "the replay takes at most 256 MiB of memory."
        ),
    )
    keep_checkpoints: int = Field(
        3,
        ge=1,
        json_schema_extra=unit("checkpoints"),
        description="How many checkpoints are kept (newest), besides those made by hand.",
    )
    init_from: str | None = Field(
        None,
        min_length=1,
        description="Begin with the weights of a checkpoint: its file, a run's folder or name (its "
        "newest), or `RUN/best`. Weights alone, of all policies; everything else starts at zero.",
    )
    threads_per_process: int = Field(
        1,
        ge=1,
        le=256,
        json_schema_extra=unit("threads"),
        description="Threads torch may use in each worker process.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning",
        description="The least that Python's `logging` writes into the logs of the workers: what "
        "environment and network log by it. What they print is always there.",
    )
    tensorboard: bool = Field(
        False,
        description="Write every measurement to TensorBoard event files too, in the run folder's "
        "`tensorboard`. `pip install 'tuitrain[tensorboard]'` gets the program that shows them.",
    )
    fingerprint: bool = Field(
        False,
        description="At the end, record SHA-256 of weights and replay columns, so that two runs "
        "can be compared byte for byte.",
    )


class EnvConfig(Table):
    """`[env]`: the environment and what a network sees of it."""

    id: str = Field(
        "CartPole-v1",
        min_length=1,
        description="A gymnasium id, `package.module:factory` or `file.py:factory`.",
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments for the factory or gymnasium.make."
    )
    eval_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="What is different in evaluations: laid over `kwargs` there, e.g. "
        "`{ clip_rewards = false }`. Observations and actions must stay the same.",
    )
    n_frames: int = Field(
        1,
        ge=1,
        le=64,
        json_schema_extra=unit("observations"),
        description="Observations stacked into one network input, newest last.",
    )
    metrics: dict[str, Reduction] = Field(
        default_factory=dict,
        description='How numbers in `info["metrics"]` are reduced between two records, by name, '
        'e.g. `{ coverage = "max" }`: `mean` (where nothing is said), `sum`, `min`, `max` or '
        "`last`.",
    )

    @property
    def of_evaluations(self) -> EnvConfig:
        """The environment that evaluations play: with `eval_kwargs` among its `kwargs`."""
        return self.model_copy(update={"kwargs": self.kwargs | self.eval_kwargs})


def is_pattern(agent: str) -> bool:
    """Whether a key of `policies.map` stands for all agents that fit it, as in a shell."""
    return any(sign in agent for sign in "*?[")


class PoliciesConfig(Table):
    """`[policies]`: which agents of a multi-agent environment share a network, replay and curve."""

    map: Literal["each", "shared"] | dict[str, str] = Field(
        "each",
        description="`each`: every agent has a policy of its own, called like the agent; `shared`: "
        "all have one, called `shared`; or a table of agent -> policy, in which an agent may be a "
        'pattern (`"wolf_*" = "wolves"`). A whole name comes before patterns, the first pattern '
        "that fits before others; an agent that is not named has a policy of its own.",
    )


class ActorsConfig(Table):
    """`[actors]`: how experience is made."""

    count: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        "auto",
        json_schema_extra=unit("actors"),
        description="Actors; `auto` is the number of cores less `learner.processes` (less one if "
        "that is `per-policy`), at least 1.",
    )
    envs_per_actor: int = Field(
        8,
        ge=1,
        le=4096,
        json_schema_extra=unit("environments"),
        description="Environments each actor steps.",
    )
    chunk_steps: int = Field(
        16,
        ge=1,
        le=4096,
        json_schema_extra=unit("vector steps"),
        description="Vector steps between two commits to replay; in `sequential` and `lockstep` "
        "the length of a round.",
    )
    device: str = Field(
        "cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="Device of the actors' networks: `cpu` or `cuda[:N]`.",
    )


class ExplorationConfig(Table):
    """`[exploration]`: epsilon-greedy; a pure function of the global step count and the actor."""

    epsilon_start: float = Field(
        1.0, ge=0, le=1, json_schema_extra=unit("probability"), description="Epsilon at step 0."
    )
    epsilon_end: float = Field(
        0.05,
        ge=0,
        le=1,
        json_schema_extra=unit("probability"),
        description="Epsilon after the decay.",
    )
    epsilon_decay_steps: int = Field(
        10_000,
        ge=1,
        json_schema_extra=unit("environment steps"),
        description="Environment steps over which epsilon falls linearly.",
    )
    ladder_alpha: float = Field(
        0.0,
        ge=0,
        le=20,
        description="Ape-X ladder: actor i of N uses epsilon^(1 + alpha*i/(N-1)); 0 gives every "
        "actor the same epsilon.",
    )


class ReplayConfig(Table):
    """`[replay]`: what is remembered, per policy."""

    capacity: int = Field(
        50_000,
        ge=1,
        le=10**9,
        json_schema_extra=unit("transitions"),
        description="Sampleable transitions kept per policy.",
    )
    learning_starts: int = Field(
        1_000,
        ge=1,
        json_schema_extra=unit("transitions"),
        description="Transitions a policy needs before its first update.",
    )
    max_lead: float = Field(
        2.0,
        ge=1.0,
        le=1000.0,
        json_schema_extra=unit("chunks of all actors"),
        description="`async`: how far actors may run ahead of the learner, in chunks of all "
        "actors. More absorbs jitter, less bounds policy lag.",
    )
    prioritized: bool = Field(
        False,
        description="Draw transitions in proportion to their TD errors (Schaul et al. 2016; of "
        "`c51` the cross entropy) instead of uniformly.",
    )
    priority_alpha: float = Field(
        0.6, ge=0, le=1, description="Exponent of the priorities; 0 draws uniformly."
    )
    priority_beta: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Exponent of the importance weights at update 0; it grows linearly to 1 over "
        "the updates the run will make. Those are planned for agents that are always there: the "
        "policy of one that is often absent makes fewer, and its exponent ends below 1.",
    )
    priority_eps: float = Field(
        1e-6,
        gt=0,
        le=1,
        json_schema_extra=unit("TD error"),
        description="Added to each TD error, so that every transition can be drawn again.",
    )


class EvalConfig(Table):
    """`[eval]`: the greedy evaluator, which never touches training."""

    enabled: bool = Field(True, description="Whether the run has an evaluator.")
    every_steps: int = Field(
        10_000,
        ge=1,
        json_schema_extra=unit("environment steps"),
        description="Environment steps between evaluations.",
    )
    episodes: int = Field(
        20,
        ge=2,
        le=10_000,
        json_schema_extra=unit("episodes"),
        description="Episodes per evaluation.",
    )
    epsilon: float = Field(
        0.0,
        ge=0,
        le=1,
        json_schema_extra=unit("probability"),
        description="Random actions during evaluation.",
    )
    max_episode_steps: int = Field(
        108_000,
        ge=1,
        json_schema_extra=unit("environment steps"),
        description="An evaluation episode is cut after this many steps; it counts with its "
        "return so far, and the record's `cut` says how many were.",
    )


class Config(Table):
    """A whole run. `schema_version` guards stored configs against later changes."""

    schema_version: Literal[1] = Field(
        1, description="Version of this schema; written into stored configs, may be left out."
    )
    run: RunConfig = Field(default_factory=RunConfig)
    env: EnvConfig = Field(default_factory=EnvConfig)
    policies: PoliciesConfig = Field(default_factory=PoliciesConfig)
    actors: ActorsConfig = Field(default_factory=ActorsConfig)
    exploration: ExplorationConfig = Field(default_factory=ExplorationConfig)
    replay: ReplayConfig = Field(default_factory=ReplayConfig)
    learner: LearnerConfig = Field(default_factory=LearnerConfig)
    algorithm: AlgorithmConfig = Field(default_factory=AlgorithmConfig)
    eval: EvalConfig = Field(default_factory=EvalConfig)
    stop: StopConfig = Field(default_factory=StopConfig)
    hooks: HooksConfig = Field(default_factory=HooksConfig)
    checks: ChecksConfig = Field(default_factory=ChecksConfig)
    supervisor: SupervisorConfig = Field(default_factory=SupervisorConfig)
