"""A first config for an environment that somebody has looked at: `tuitrain new` writes it.

Pure: from what was seen to the text of a TOML file with a word on every line. The numbers are
where the literature starts (CleanRL's DQN for vectors, Young & Tian 2019 for small images, Mnih et
al. 2015 and Hessel et al. 2018 for large ones), cut to what fits a machine's memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tuitrain.config.emit import emit_value

MAX_REPLAY_BYTES = 1 << 30
"""Observations that a first config keeps in replay, per policy."""

_LARGE_IMAGE = 36
"""Nature's convolutions need this many pixels at least."""

_GENERIC = {"make", "make_env", "env", "factory", "create", "create_env", "build", "new", "main"}


@dataclass(frozen=True)
class SeenPolicy:
    """What was seen of one policy's side of an environment.

    Attributes:
        shape, dtype: of an observation, as declared.
        high: the largest value its space declares; 0 where it has no bound.
        n_actions: number of actions.
        agents: names of the agents that act under it.
        masked: whether the environment says which actions are legal.
        layout: a line for each part of an observation that is a row of several; else ().
        absent: whether an agent came later than others, or left before them.
        rewarded: whether a step under random actions brought a reward other than 0.
        episodes: how many ended under random actions, of any of its agents; `return_mean`,
            `length_mean` of those.
    """

    shape: tuple[int, ...]
    dtype: str
    high: float
    n_actions: int
    agents: tuple[str, ...] = ()
    masked: bool = False
    layout: tuple[str, ...] = ()
    absent: bool = False
    rewarded: bool = True
    episodes: int = 0
    return_mean: float = math.nan
    length_mean: float = math.nan

    def described(self) -> list[str]:
        """What it sees and does, in words: a line, and one for each part of an observation."""
        masks = "; the environment says which are legal" if self.masked else ""
        comes = "; may be absent while others are there" if self.absent else ""
        first = f"observations {self.dtype}{list(self.shape)}, {self.n_actions} actions"
        return [first + masks + comes, *(f"  columns {line}" for line in self.layout)]

    def played(self) -> str:
        """What random actions brought it, in words."""
        if not self.episodes:
            return "no episode ended under random actions: mind its time limit"
        return (
            f"random actions return {self.return_mean:.4g} in {self.length_mean:.4g} steps "
            f"(mean of {self.episodes} episodes)"
        )

    def unpaid(self) -> str:
        """A warning if whole episodes brought nothing but rewards of 0; else empty."""
        if self.rewarded or not self.episodes:
            return ""
        return (
            f"WARNING: every reward in {self.episodes} episodes of random actions was 0, and "
            "without any there is nothing to learn: does step() return it? (It may only be rare.)"
        )


@dataclass(frozen=True)
class Seen:
    """What was seen of an environment.

    Attributes:
        env_id, kwargs: as it is to be written.
        policies: by name; a single-agent environment has one.
        step_s: seconds a step of one environment took, random actions.
        steps: how many were taken; 0 for none.
    """

    env_id: str
    policies: Mapping[str, SeenPolicy]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    step_s: float = 0.0
    steps: int = 0


class _Choice(NamedTuple):
    """What depends on the kind of observation."""

    network: str
    network_words: str
    total_steps: int
    epsilon_end: float
    learning_starts: int
    batch_size: int
    replay_ratio: float
    lr: float
    target_every: int
    n_step: int
    eval_episodes: int
    max_episode_steps: int


_CHOICES = {
    "mlp": _Choice(
        "mlp", "fully connected layers", 200_000, 0.05, 2_000, 128, 0.1, 5e-4, 200, 3, 20, 10_000
    ),
    "minatar": _Choice(
        "minatar",
        "one convolution, for small images",
        2_000_000,
        0.1,
        5_000,
        32,
        0.25,
        2.5e-4,
        1_000,
        1,
        20,
        10_000,
    ),
    "nature": _Choice(
        "nature",
        "three convolutions (Mnih et al. 2015), better with a GPU",
        10_000_000,
        0.01,
        20_000,
        32,
        0.25,
        1e-4,
        2_000,
        3,
        10,
        27_000,
    ),
}


def choose_network(policies: Sequence[SeenPolicy]) -> str:
    """`mlp`, `minatar` or `nature`: the largest that suits the observations of every policy."""
    kinds = {_kind(policy.shape) for policy in policies}
    return kinds.pop() if len(kinds) == 1 else "mlp"


def name_for(env_id: str) -> str:
    """A run's name for an environment: its own, without folder, namespace and version."""
    where, _, name = env_id.rpartition(":")
    if where and name.lower() in _GENERIC:
        where = where.removesuffix(".py")
        name = re.split(r"[./\\]", where)[-1]
    else:
        name = re.sub(r"-v\d+$", "", name.rpartition("/")[2])
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-").lower()[:64]
    return name or "run"


def starter(seen: Seen, name: str) -> str:
    """The text of a TOML file that trains on `seen`, every line with its reason."""
    policies = list(seen.policies.values())
    kind = choose_network(policies)
    choice = _CHOICES[kind]
    lines: list[tuple[str, str]] = []

    def put(key: str, value: Any, words: str) -> None:
        lines.append((f"{key} = {_number(value)}", words))

    def table(title: str) -> None:
        lines.extend([("", ""), (f"[{title}]", "")])

    table("run")
    put("name", name, f"the run's folder is runs/{name}-0001, -0002, …")
    put("seed", 1, "of every random stream")
    put("schedule", "async", '"sequential": one process; "lockstep": parallel and repeatable')
    put("total_steps", choice.total_steps, "environment steps over all actors; a first guess")

    table("env")
    put("id", seen.env_id, "a gymnasium id, package.module:factory or file.py:factory")
    if seen.kwargs:
        put("kwargs", dict(seen.kwargs), "given to the factory")
    put("n_frames", _frames(kind, policies), "observations stacked into one input, newest last")

    if len(policies) > 1 or len(policies[0].agents) > 1:
        table("policies")
        put("map", "each", '"shared": one for all; a table of agent = "policy" groups them')

    table("actors")
    envs, chunk = _pace(seen.step_s)
    put("count", "auto", "actor processes: cores less one, at least 1")
    put("envs_per_actor", envs, _pace_words(seen.step_s))
    put("chunk_steps", chunk, "steps of each of them between two commits to replay")

    table("exploration")
    put("epsilon_start", 1.0, "share of random actions at first")
    put("epsilon_end", choice.epsilon_end, "and after the decay")
    put("epsilon_decay_steps", choice.total_steps // 10, "environment steps; a tenth of the run")

    table("replay")
    capacity = _capacity(policies, choice)
    size = capacity * max(_bytes(policy) for policy in policies)
    put("capacity", capacity, f"transitions, {_size(size)} of shared memory for observations")
    put("learning_starts", choice.learning_starts, "transitions before the first update")

    table("learner")
    put("network", choice.network, choice.network_words)
    _put_network_kwargs(kind, policies, lines)
    put("double", True, "double DQN (van Hasselt et al. 2016)")
    put("n_step", choice.n_step, "rewards summed before the bootstrap")
    put("gamma", 0.99, "discount per environment step")
    put("batch_size", choice.batch_size, "transitions per gradient batch")
    drawn = choice.batch_size * choice.replay_ratio
    put(
        "replay_ratio",
        choice.replay_ratio,
        f"updates per transition: each is drawn {drawn:g} times",
    )
    put("lr", choice.lr, "Adam's; the first thing to try larger and smaller")
    put("target_update_every_updates", choice.target_every, "copies to the target network")

    table("eval")
    put("every_steps", choice.total_steps // 20, "environment steps between greedy evaluations")
    put("episodes", choice.eval_episodes, "played in each")
    put("max_episode_steps", choice.max_episode_steps, "a longer episode is cut")
    return _head(seen, name) + _aligned(lines)


# ---- pieces ----------------------------------------------------------------------------------


def _kind(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return "mlp"
    if len(shape) == 3:  # channels are the smaller end, as networks take them
        shape = shape[1:] if shape[0] < shape[2] else shape[:2]
    smallest = min(shape)
    return "mlp" if smallest < 3 else "minatar" if smallest < _LARGE_IMAGE else "nature"


def _frames(kind: str, policies: Sequence[SeenPolicy]) -> int:
    """4 for large images that show one moment; who has several channels may have stacked them."""
    if kind != "nature":
        return 1
    one_moment = all(len(p.shape) == 2 or min(p.shape[0], p.shape[2]) in (1, 3) for p in policies)
    return 4 if one_moment else 1


def _pace(step_s: float) -> tuple[int, int]:
    """Environments per actor and steps per chunk, so that a chunk stays well under a second."""
    if step_s < 1e-3:
        return 8, 16
    return (4, 8) if step_s < 1e-2 else (1, 8)


def _pace_words(step_s: float) -> str:
    if step_s <= 0:
        return "environments of each actor, stepped in turn"
    took = f"{step_s * 1e6:.0f} µs" if step_s < 1e-3 else f"{step_s * 1e3:.3g} ms"
    return f"environments of each actor, stepped in turn; a step of one took {took}"


def _bytes(policy: SeenPolicy) -> int:
    return math.prod(policy.shape) * (1 if policy.dtype in ("uint8", "bool") else 4)


def _capacity(policies: Sequence[SeenPolicy], choice: _Choice) -> int:
    wanted = (
        50_000 if choice.network == "mlp" else 100_000 if choice.network == "minatar" else 10**6
    )
    fits = MAX_REPLAY_BYTES // max(_bytes(policy) for policy in policies)
    if fits < wanted:
        digit = 10 ** (len(str(fits)) - 1)
        wanted = fits // digit * digit
    return max(wanted, 2 * choice.learning_starts)


def _put_network_kwargs(
    kind: str, policies: Sequence[SeenPolicy], lines: list[tuple[str, str]]
) -> None:
    kwargs: dict[str, Any] = {}
    words = []
    if kind == "mlp":
        wide = max(math.prod(policy.shape) for policy in policies) > 64
        kwargs["hidden"] = [256, 256] if wide else [120, 84]
        words.append("widths of the hidden layers")
    highs = {policy.high for policy in policies if policy.dtype == "uint8"}
    default = 1.0 if kind == "minatar" else 255.0
    if len(highs) == 1 and (high := highs.pop()) != default and 0 < high <= 255:
        kwargs["input_scale"] = high
        words.append(f"observations go up to {high:g} and are divided by it")
    if kwargs:
        lines.append((f"network_kwargs = {emit_value(kwargs)}", "; ".join(words)))


def _head(seen: Seen, name: str) -> str:
    lines = [f"# {seen.env_id}: a first config, written by `tuitrain new`.", "#"]
    for policy_name, policy in seen.policies.items():
        whose = f"policy {policy_name}: " if len(seen.policies) > 1 else ""
        lines += [f"# {whose}{policy.described()[0]}"]
        lines += [f"# {line}" for line in policy.described()[1:]]
        lines += [f"#   {policy.played()}"] if seen.steps else []
    lines += [
        "#",
        f"#   tuitrain launch {name}.toml",
        f"#   tuitrain launch {name}.toml --set learner.lr=1e-4 --set run.seed=2",
        "#",
        "# Keys that are not here have their defaults; this prints all of them:",
        f"#   tuitrain config check {name}.toml --show",
    ]
    return "\n".join(lines) + "\n"


def _aligned(lines: Sequence[tuple[str, str]]) -> str:
    width = max((len(left) for left, _ in lines if len(left) <= 42), default=0)
    return "".join(
        (f"{left.ljust(width)}  # {words}" if words else left) + "\n" for left, words in lines
    )


def _number(value: Any) -> str:
    """As people write it: 200_000, 5e-4."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1_000:
        return f"{value:_}"
    if isinstance(value, float) and 0 < value < 1e-2:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return emit_value(value)


def _size(n_bytes: int) -> str:
    if n_bytes >= 10**9:
        return f"{n_bytes / 10**9:.1f} GB"
    return f"{n_bytes / 10**6:.0f} MB" if n_bytes >= 10**7 else f"{n_bytes / 10**6:.1f} MB"
