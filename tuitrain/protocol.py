"""What the supervisor says to its clients: snapshots, events, records, replies, as JSON lines.

The run's unix socket carries one JSON object a line. A client sends ``Request``; the supervisor
sends ``Hello`` once, then ``Snapshot`` (2 Hz, newest wins), ``EventLine`` and ``RecordLine`` (in
order, numbered), and one ``Reply`` per request when it has been carried out. Used by the terminal
UI and by every command that talks to a run, so it imports neither torch nor textual.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tuitrain.measurements import Measurements

PROTOCOL_VERSION = 1

RunState = Literal[
    "starting", "running", "paused", "stopping", "finished", "stopped", "failed", "interrupted"
]
ProcessState = Literal[
    "starting", "running", "waiting", "paused", "silent", "finished", "stopped", "failed"
]
"""`silent`: not heard for longer than `checks.heartbeat_s`, so what it said last is not so now."""
CheckState = Literal["ok", "warn", "fail", "n/a"]
Command = Literal[
    "subscribe",
    "status",
    "pause",
    "unpause",
    "resync",
    "checkpoint",
    "evaluate",
    "set",
    "restart",
    "stacks",
    "see",
    "stop",
    "kill",
]
"""What a client may ask for."""
Verdict = Literal["IMPROVING", "FLAT AT BEST", "FLAT", "BELOW BEST", "FALLING", "TOO EARLY", "n/a"]


def with_name(command: str, text: str) -> str:
    """An answer under its command's name, unless it begins with that: `paused: …`."""
    return text if text.startswith(command) else f"{command}: {text}"


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="constants")


class WeightsHeld(_Line):
    """Which weights a process held when it was last asked to resync."""

    version: int
    sha256: str


class ProcessView(_Line):
    """One worker. What was not measured is None and is shown as n/a."""

    name: str
    """`learner`, `a0`, `eval`, `trainer`, `probe`."""
    role: str
    pid: int | None = None
    state: ProcessState = "starting"
    wait: str | None = None
    """Why it waits, in words."""
    stands_in: str | None = None
    """The phase it is in, as it shows in shared memory, also while it is silent."""
    deadline_s: float | None = None
    """Seconds without progress, in this phase, after which it counts as hung and is replaced."""
    beat_age_s: float | None = None
    progress: int = 0
    progress_age_s: float | None = None
    """Seconds since `progress` last grew."""
    rate: float | None = None
    """Units of work per second over the last few seconds."""
    rate_unit: str = ""
    """`st/s` (environment steps), `u/s` (updates), `ep/s` (episodes)."""
    version: int | None = None
    """Publication number of the weights it holds (learner: it published last)."""
    lag_updates: float | None = None
    """Updates the learner has made beyond the weights held."""
    lag_s: float | None = None
    epsilon: float | None = None
    epsilon_planned: float | None = None
    epsilon_off: float | None = None
    """How far `epsilon` is from all that the config allows about now."""
    rss_bytes: int | None = None
    cpu_percent: float | None = None
    restarts: int = 0
    """Deaths in this place, in this session, that were followed by a start."""
    rolled_back: int = 0
    """Times it was started anew because another worker had died."""
    died_of: str | None = None
    """What the last of them to die has died of."""
    device: str | None = None
    device_asked: str | None = None
    """What the config says; None where it says nothing."""
    spec_hash: str | None = None
    """Hash of the environment spec it found; must be the run's."""
    weights: dict[str, WeightsHeld] = Field(default_factory=dict)
    """Per policy, from the last resync; empty before the first."""
    phase_share: dict[str, float] = Field(default_factory=dict)
    """Share of recent time per phase, summing to at most 1."""
    counters: dict[str, float] = Field(default_factory=dict)
    error: str | None = None


class LearningView(_Line):
    """Is it learning? From evaluations only; see diagnosis/verdict.py for the rule."""

    policy: str = ""
    """Whose verdict this is; empty while no policy is known."""
    verdict: Verdict = "n/a"
    mean: float | None = None
    ci95: float | None = None
    best: float | None = None
    """Mean of the best single evaluation; the verdict's best are four in a row."""
    n_evals: int = 0
    skipped: int = 0
    """Evaluations of this session that were due while another one still ran: not made."""
    age_s: float | None = None
    newest_alone: Verdict | None = None
    """What the newest evaluation would make it, if that is another one: one alone changes none."""
    slope_per_1m_steps: float | None = None
    slope_ci95: float | None = None
    """Half-width of its 95 % interval."""
    window: int = 0
    """So many of the newest evaluations it was judged by; 0: none yet."""
    lowest: float | None = None
    highest: float | None = None
    """Of their means."""
    unlike: bool = False
    """They differ by far more than their own intervals tell."""
    reason: str = ""
    held_evals: int = 0
    """Evaluations in a row, the newest last, after which the verdict was this one."""
    under_best_evals: int = 0
    """The same, after which it was clearly under its best."""
    level: float | None = None
    """Mean of all evaluations of the newest `checks.flat_share` of the run, at least 8 of them;
    None before there are so many."""
    level_error: float | None = None
    """Its standard error."""
    newest: float | None = None
    """Mean of the newest 4 evaluations; None before there are so many of weights that have had some
    updates."""
    newest_ci95: float | None = None
    """Half-width of its 95 % interval."""
    alike: int = 0
    """Evaluations in a row, the newest last, whose episodes have all returned exactly the same."""


class ShardView(_Line):
    """What one actor has written of a policy's replay: the ring it lies in, and what is drawn."""

    rows: int
    """Of the ring; a row holds one step of every lane. Those below are absolute and only grow."""
    tail: int
    head: int
    """Rows from `tail` to before `head` can be read."""
    reserved: float | None = None
    """Rows from `head` on that the writer was filling at its last heartbeat."""
    pinned: int = 0
    """Rows that the learner keeps from being overwritten at this moment."""
    low: float | None = None
    end: float | None = None
    """What is drawn begins in rows from `low` to before `end`: the window pinned last."""
    sampleable: float | None = None
    """Transitions in that window."""
    rejects: float | None = None
    """Rows of single lanes in which no transition begins, since the learner started."""
    drawn_share: float | None = None
    """Of the newest draws, the share that came from here."""
    age_p50: float | None = None
    age_p95: float | None = None
    """Of these, in transitions of all shards that came later; None if none came from here."""
    priority_mean: float | None = None
    priority_max: float | None = None
    """Of its sampleable transitions, (|TD| + eps) ** alpha; None if draws are uniform."""
    lock_waits: float | None = None
    """How often actor and learner have had to wait for its lock, since they started."""
    lock_waited_s: float | None = None
    lock_worst_s: float | None = None


class PolicyView(Measurements, _Line):
    """One policy: its replay, its learner, its curves' newest values, and what checks need."""

    name: str
    agents: int = 1
    """That act under it in one environment."""
    transitions: int = 0
    """Committed transitions, all actors, including those before a resume."""
    sampleable: int | None = None
    capacity: int = 0
    learning_starts: int = 0
    updates: int = 0
    updates_per_s: float | None = None
    ratio_target: float = 0.0
    """Updates per transition asked for."""
    ratio_achieved: float | None = None
    """Updates per transition since warm-up ended, or the ratio was changed; None before."""
    ratio_band_updates: float = 0.0
    """Width of the rate limiter's band: how far `updates` may be off at any moment."""
    ratio_updates: int = 0
    """Updates made since, lost ones too, which is what the achieved ratio counts."""
    lost_updates: int = 0
    """Updates of this session that have died with a learner."""
    warm_up_transitions: int = 0
    """Transitions that the replay has seen; warm-up ends at `learning_starts`."""
    version: int = 0
    published_age_s: float | None = None
    lag_updates_p50: float | None = None
    lag_updates_p95: float | None = None
    """Policy lag of sampled transitions: updates between acting and learning (published lag)."""
    sample_age_p95: float | None = None
    """Age of sampled rows in transitions inserted since."""
    window_rejects: int | None = None
    target_updates: int | None = None
    target_updates_expected: int | None = None
    """What the config and `updates` say `target_updates` must be."""
    non_finite: int | None = None
    """Learner records so far that held NaN or an infinity."""
    loss: float | None = None
    q_mean: float | None = None
    q_max_abs: float | None = None
    td_p95: float | None = None
    grad_norm: float | None = None
    lr: float | None = None
    train_return_mean: float | None = None
    eval_return_mean: float | None = None
    eval_return_ci95: float | None = None
    eval_best: float | None = None
    learning: LearningView = Field(default_factory=LearningView)
    """Its own verdict; the snapshot's is that of the policy that needs attention first."""
    shards: list[ShardView] = Field(default_factory=list)
    """One per actor, in their order; none where the run's memory is not there."""


class CheckView(_Line):
    """One row of the Checks panel."""

    id: str
    """Stable name, e.g. `replay_ratio`."""
    name: str
    value: str
    limit: str
    state: CheckState
    advice: str = ""
    catalogue_id: str = ""


class StopRuleView(_Line):
    """One rule of `[stop]` and how far it is. The run ends when `value` has reached `limit`."""

    key: str
    """`stop.eval_return`, …"""
    limit: float
    value: float | None = None
    """None before the first evaluation."""
    policy: str | None = None
    """Whose value it is: the policy that is furthest from the limit."""
    met: bool = False
    text: str = ""
    """The same for a person."""


class BestView(_Line):
    """The best evaluation of the run, whose weights are kept."""

    path: str
    score: float
    """Mean return, over all policies or of `policy`."""
    steps: int
    policy: str | None = None


class SettingView(_Line):
    """A key of the config that can be changed while the run goes on."""

    key: str
    value: Any
    given: Any
    """In config.toml; another one if it was changed."""
    now: str = ""
    """What its schedule has made of it, as measured last; empty where that is the value itself."""


class Snapshot(_Line):
    """The whole state of a run at one moment. Immutable; newest wins."""

    kind: Literal["snapshot"] = "snapshot"
    schema_version: int = PROTOCOL_VERSION
    seq: int
    time_s: float
    """Unix time."""
    run_id: str
    run_dir: str
    name: str
    """Of the run folder, as every command takes it."""
    schedule: str
    state: RunState
    elapsed_s: float
    eta_s: float | None = None
    steps: int = 0
    total_steps: int = 0
    steps_per_s: float | None = None
    supervisor_pid: int
    spec_hash: str | None = None
    """Hash of the environment spec that the probe found."""
    processes: list[ProcessView] = Field(default_factory=list)
    policies: list[PolicyView] = Field(default_factory=list)
    learning: LearningView = Field(default_factory=LearningView)
    """The verdict that needs attention first: the worst of all policies, of equals the first."""
    bottleneck: str | None = None
    """Who waits for whom; the last that was measured."""
    checks: list[CheckView] = Field(default_factory=list)
    lost_lines: int | None = None
    """Metrics and events of this session that could not be written."""
    edited_sources: list[str] | None = None
    """The user's files that do not hold any more what the session began with; None: not looked."""
    reproducible: bool | None = None
    """Whether the same config and seed would give the same bytes; None in `async`: never."""
    settings: list[SettingView] = Field(default_factory=list)
    last_checkpoint: str | None = None
    last_checkpoint_age_s: float | None = None
    best: BestView | None = None
    stop_rules: list[StopRuleView] = Field(default_factory=list)
    """Those that the config gives."""
    ends_because: str | None = None
    """The rule that has ended training, once one has."""


class Hello(_Line):
    """First line to every client; `events` and `records` are the history it missed (bounded)."""

    kind: Literal["hello"] = "hello"
    schema_version: int = PROTOCOL_VERSION
    run_id: str
    run_dir: str


class EventLine(_Line):
    """Something that happened. Also a line of events.jsonl."""

    kind: Literal["event"] = "event"
    seq: int
    time_s: float
    level: Literal["info", "warning", "error"]
    source: str
    """`supervisor` or the worker's name."""
    text: str
    data: dict[str, Any] = Field(default_factory=dict)


class RecordLine(_Line):
    """One line of metrics.jsonl; see metrics/records.py for the kinds and their fields."""

    kind: Literal["record"] = "record"
    record: dict[str, Any]


class Reply(_Line):
    """The answer to a request, sent when it has been carried out."""

    kind: Literal["reply"] = "reply"
    id: int
    ok: bool
    message: str
    """One line for a person."""
    result: dict[str, Any] = Field(default_factory=dict)


class Request(_Line):
    """A command from a client.

    `subscribe` starts the stream of snapshots, events and records (with bounded history first);
    `status` answers with one snapshot; the others act on the run, `restart` and `stacks` on the
    worker that `args` names, `set` with the `key=value` that `args` lists as `values`.
    """

    kind: Literal["request"] = "request"
    id: int
    command: Command
    args: dict[str, Any] = Field(default_factory=dict)


ToClient = Annotated[Hello | Snapshot | EventLine | RecordLine | Reply, Field(discriminator="kind")]
_to_client: TypeAdapter[ToClient] = TypeAdapter(ToClient)


def encode(line: BaseModel) -> bytes:
    """One JSON line, newline included."""
    return line.model_dump_json().encode() + b"\n"


def decode_to_client(line: bytes) -> ToClient:
    """Read a line from the supervisor. Raises ``pydantic.ValidationError`` on anything else."""
    return _to_client.validate_json(line)


def decode_request(line: bytes) -> Request:
    """Read a line from a client. Raises ``pydantic.ValidationError`` on anything else."""
    return Request.model_validate_json(line)
