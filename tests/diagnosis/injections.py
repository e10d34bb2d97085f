"""For every check a fault in a real run that it is there for."""

from __future__ import annotations

from typing import Any

from tests.diagnosis.cases import (
    ROOT,
    Case,
    edit_environment,
    hold_lock,
    lose_metrics,
    resync,
    stop_actor,
)


def env(name: str, **kwargs: Any) -> dict[str, dict[str, Any]]:
    """The `[env]` table of an environment of ``envs``."""
    return {"env": {"id": f"envs.py:{name}", "kwargs": kwargs}}


LEARNED = ROOT / "tests" / "envs" / "learned.py"
FRAMES = {"env": {"n_frames": 4}}

INJECTIONS: tuple[Case, ...] = (
    # ---- processes and what is shared between them
    Case("dies", "an actor ends without a word", "processes", "12.2", env("Dies")),
    Case(
        "stopped",
        "an actor is stopped by a signal",
        "heartbeat",
        "12.2, X.7",
        act=stop_actor,
    ),
    Case(
        "stands",
        "an actor says that it works, and gets nothing done",
        "progress",
        "X.7",
        {"checks": {"progress_s": 3.0}},
        double="stands",
    ),
    Case(
        "all-wait",
        "nobody may go on, and all say that they wait",
        "standstill",
        "X.4",
        {"checks": {"standstill_s": 3.0}},
        double="all_wait",
    ),
    Case(
        "wrong-weights",
        "who acts has other weights than were published",
        "weights_hash",
        "3.3",
        double="reads_wrong",
        act=resync,
    ),
    Case(
        "edited",
        "the environment's file is edited while the run goes on",
        "provenance",
        "X.12",
        act=edit_environment,
    ),
    Case(
        "lost-lines",
        "metrics cannot be written",
        "lost_lines",
        "X.13",
        act=lose_metrics,
    ),
    Case(
        "flipped",
        "a bit of a row changes in shared memory",
        "row_checksums",
        "2.1, 2.3, 12.3",
        double="flips_bits",
    ),
    Case(
        "held-lock",
        "another process holds a shard's lock for seconds",
        "lock_wait",
        "X.5, X.6",
        act=hold_lock,
    ),
    # ---- pace
    Case(
        "over-ratio",
        "the learner makes updates that nobody has earned",
        "replay_ratio",
        "X.8",
        {"learner": {"replay_ratio": 0.02}},
        double="over_ratio",
    ),
    Case(
        "too-early",
        "the first update comes before learning_starts",
        "warm_up",
        "5.1, 12.1",
        {
            "env": {"id": "envs.py:Slow", "kwargs": {"seconds": 0.001}},
            "replay": {"learning_starts": 5_000},
        },
        double="too_early",
    ),
    Case(
        "starts-late",
        "the first update comes long after the rings are full",
        "overwritten",
        "5.2",
        {"replay": {"capacity": 2_000}},
        double="starts_late",
    ),
    Case(
        "never-published",
        "weights are published once and never again",
        "policy_lag",
        "3.1",
        {"replay": {"capacity": 1_000}},
        double="never_publishes",
    ),
    Case(
        "never-there",
        "one of two agents is never there",
        "left_behind",
        "X.15",
        env("SeldomThere"),
    ),
    Case(
        "slow-copies",
        "batches take ten milliseconds each to the device",
        "phase_time",
        "8.2, X.4, X.10",
        double="copies_slowly",
    ),
    # ---- acting
    Case(
        "elsewhere-computed",
        "an actor says that it computes on another device than asked for",
        "device",
        "8.1",
        double="elsewhere",
    ),
    Case(
        "other-frames",
        "an actor acts on frames in another order than is learned from",
        "stack_agreement",
        "0.1, 0.2, 6.1, 6.2",
        FRAMES,
        double="acts_on_others",
    ),
    Case(
        "old-marks",
        "stacks reach into the episode before",
        "cross_episode",
        "6.3",
        FRAMES,
        double="old_marks",
    ),
    Case(
        "old-count",
        "an actor explores by an old count of steps",
        "epsilon",
        "3.2, 9.3",
        double="old_count",
    ),
    # ---- the update
    Case(
        "twice-the-target",
        "the target network is updated twice",
        "target_updates",
        "0.3, 4.1",
        double="twice_the_target",
    ),
    Case(
        "not-a-number",
        "weights become NaN",
        "non_finite",
        "7.1",
        double="not_a_number",
    ),
    Case(
        "other-rate",
        "the learning rate is not the planned one",
        "lr",
        "4.4, 9.1",
        double="other_rate",
    ),
    Case(
        "loud-loss",
        "the loss counts ten thousandfold",
        "grad_norm",
        "X.2",
        {"learner": {"lr": 1e-5}},  # errors stay what they are
        double="loud_loss",
    ),
    Case(
        "cut-layer",
        "a layer of the network gets no gradient",
        "grad_flow",
        "X.2",
        {"learner": {"network": "networks.py:cut", "network_kwargs": {}}},
    ),
    Case(
        "one-frame",
        "the network looks at the newest of four frames alone",
        "network",
        "X.32",
        FRAMES | {"learner": {"network": "networks.py:newest", "network_kwargs": {}}},
    ),
    Case(
        "blind",
        "the network does not look at the observation",
        "network",
        "X.32",
        {"learner": {"network": "networks.py:blind", "network_kwargs": {}}},
    ),
    Case(
        "padded",
        "the network is made for four frames, and env.n_frames is 1",
        "network",
        "X.32",
        {"learner": {"network": "networks.py:padded", "network_kwargs": {}}},
    ),
    Case(
        "squashed",
        "the network ends in a tanh, and values are larger than 1",
        "network",
        "X.32",
        env("Rich") | {"learner": {"network": "networks.py:squashed", "network_kwargs": {}}},
    ),
    Case(
        "loud-network",
        "values are far beyond what can be earned",
        "q_bound",
        "7.1",
        {"learner": {"network": "networks.py:loud", "network_kwargs": {}}},
    ),
    Case(
        "frozen-target",
        "tau is so small that the target network never moves",
        "target_network",
        "9.4",
        {"learner": {"tau": 1e-7, "target_update_every_updates": None}},
    ),
    Case(
        "learns-nothing",
        "no update changes a weight",
        "learning",
        "11.1, 11.2",
        {"run": {"seed": 2}, "env": {"id": f"{LEARNED}:Chain"}, "eval": {"every_steps": 2_000}},
        double="learns_nothing",
    ),
    # ---- data
    Case(
        "more-frames",
        "workers stack one frame more than the probe did",
        "spec",
        "1.2, 1.3, 10.3",
        double="other_spec",
    ),
    Case("constant", "every observation is the same", "observations", "X.1", env("Constant")),
    Case("still", "an episode shows what it began with", "observations", "X.1", env("Still")),
    Case("faint", "all observations are tiny", "observations", "X.1", env("Faint")),
    Case("zero", "every observation is zero", "observations", "X.1", env("Zero")),
    Case(
        "never-reset",
        "an episode begins where the one before has ended",
        "resets",
        "10.1",
        env("NeverReset"),
    ),
    Case(
        "adrift",
        "nothing is ever reset, and runs away",
        "resets",
        "10.1",
        {"run": {"total_steps": 100_000}, **env("Adrift")},
        to_end=True,
    ),
    Case(
        "seldom-reset",
        "one reset in four leaves a part of the state",
        "resets",
        "10.1",
        env("SeldomReset"),
    ),
    Case(
        "ends-are-cuts",
        "ends are told as time limits",
        "episode_ends",
        "10.2",
        env("EndsAreCuts"),
    ),
    Case(
        "swapped",
        "ends and time limits are swapped, and who has learned gets to the limit",
        "episode_ends",
        "10.2",
        {"run": {"total_steps": 100_000}, **env("Swapped")},
        to_end=True,
    ),
    Case(
        "counts-on",
        "the count of steps goes on across resets",
        "episode_ends",
        "10.2",
        env("CountsOn"),
    ),
    Case(
        "shuffled",
        "what is done is not what was asked for",
        "action_effect",
        "X.27",
        env("Shuffled"),
    ),
    Case("unpaid", "no step is ever paid", "reward_signal", "7.2", env("Unpaid")),
    Case("huge", "rewards are a million times too large", "reward_scale", "7.1", env("Huge")),
    Case(
        "elsewhere",
        "evaluations play another game than training",
        "evaluation_env",
        "X.28",
        {"env": {"id": "envs.py:Elsewhere", "eval_kwargs": {"evaluating": True}}},
    ),
    Case(
        "mirrored",
        "evaluations begin and pay as training does, and actions do the opposite",
        "evaluation_env",
        "X.28",
        {
            "run": {"total_steps": 60_000},
            "env": {"id": "envs.py:Mirrored", "eval_kwargs": {"mirrored": True}},
            "eval": {"every_steps": 2_000},
        },
        deadline_s=120.0,
    ),
    # ---- settings
    Case(
        "next-alone",
        "gamma is 0 where every step is paid the same",
        "discount",
        "X.35",
        {"env": {"id": "CartPole-v1"}, "learner": {"gamma": 0.0}},
    ),
    Case(
        "narrow",
        "returns are ten times as large as c51 can say",
        "value_range",
        "X.34",
        env("Rich") | {"algorithm": {"name": "c51", "v_min": -1.0, "v_max": 1.0}},
    ),
    Case(
        "ends-early",
        "the learning rate has fallen to 0 after a hundred updates",
        "lr",
        "9.1",
        {"learner": {"lr_schedule": "linear", "lr_schedule_updates": 100}},
    ),
    Case(
        "never-random",
        "epsilon is 0 from the first step",
        "exploration",
        "9.3",
        {"exploration": {"epsilon_start": 0.0, "epsilon_end": 0.0}},
    ),
    Case(
        "never-evaluated",
        "the first evaluation is due after the run",
        "evaluations",
        "X.33",
        {"eval": {"every_steps": 1_000_000}},
    ),
    Case(
        "cut-short",
        "evaluations are cut before anybody can get anywhere",
        "evaluations",
        "X.33",
        {
            "env": {"id": "CartPole-v1"},  # in which nobody falls so soon
            "eval": {"every_steps": 2_000, "max_episode_steps": 5},
        },
    ),
    Case(
        "always-random",
        "the plan leaves epsilon at 1 to its end",
        "exploration",
        "9.3",
        {"exploration": {"epsilon_end": 1.0}},
    ),
)
