"""Greedy evaluation: what the policy is worth without exploration.

It has its own environments and its own random streams, one per evaluation, so it never touches
training; the same numbered evaluation of the same weights gives the same returns in every schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec
from tuitrain.envs.turns import AnyLanes, TurnLanes, TurnRow, empty_row
from tuitrain.envs.vector import Lanes, LaneStep
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import Published, sha256
from tuitrain.metrics.intervals import mean_ci95
from tuitrain.seeding import GlobalRandom, stream
from tuitrain.workers.build import close_lanes
from tuitrain.workers.history import FrameHistory
from tuitrain.workers.stores import Stores

MAX_ENVS = 16
"""Environments stepped side by side during an evaluation."""


@dataclass(frozen=True)
class EvalResult:
    """One policy's evaluation. Returns are undiscounted sums of rewards per episode.

    Of agents that share the policy the mean counts: they play the same episode, so their returns
    are no independent samples.

    `return_ci95` is the half-width of the 95 % confidence interval of the mean (Student's t).
    """

    policy: str
    episodes: int
    return_mean: float
    return_ci95: float
    return_min: float
    return_max: float
    length_mean: float


class Evaluator:
    """Plays whole episodes with fixed weights."""

    def __init__(
        self,
        config: Config,
        spec: EnvSpec,
        policies: dict[str, Policy],
        make: Callable[[int], AnyLanes],
        session: int = 0,
    ) -> None:
        self.policies = policies
        self.config = config
        self.spec = spec
        self.held: dict[str, Published] = {}
        self._session = session
        self.n_envs = min(config.eval.episodes, MAX_ENVS)
        (seed,) = stream(config.run.seed, "evaluator", 0, session).spawn(1)
        with GlobalRandom(seed):
            self._lanes: AnyLanes = make(self.n_envs)

    def pull(self, stores: Stores, reader: int) -> None:
        """Take the newest published weights of every policy."""
        for name, policy in self.policies.items():
            self.held[name] = stores.weights[name].pull(reader, policy.buffer)
            policy.load(policy.buffer, self.held[name].version)

    def holdings(self) -> dict[str, Any]:
        """Version and hash of the weights held: the answer to a resync."""
        return {
            name: {"version": held.version, "sha256": sha256(self.policies[name].buffer)}
            for name, held in self.held.items()
        }

    def evaluate(
        self, number: int, tick: Callable[[], None], episodes: int | None = None
    ) -> list[EvalResult]:
        """Play `episodes` (default: the config's) and return one result per policy.

        Each environment plays a fixed number of episodes: taking whichever end first would favour
        short ones.

        Args:
            number: of this evaluation; it seeds environments and random actions.
            tick: called between vector steps.
        """
        wanted = episodes or self.config.eval.episodes
        quota = np.full(self.n_envs, wanted // self.n_envs)
        quota[: wanted % self.n_envs] += 1
        seeds, chooser, global_seed = stream(
            self.config.run.seed, "evaluation_environment", number, self._session
        ).spawn(3)
        with GlobalRandom(global_seed):
            return self._play(
                quota,
                [int(s) for s in seeds.generate_state(self.n_envs)],
                np.random.default_rng(chooser),
                tick,
            )

    def _play(
        self,
        quota: np.ndarray[Any, np.dtype[np.int64]],
        seeds: list[int],
        rng: np.random.Generator,
        tick: Callable[[], None],
    ) -> list[EvalResult]:
        limits = self.config.eval

        def act(policy: str, stacked: NDArray[Any]) -> NDArray[np.int64]:
            return self.policies[policy].act(stacked, limits.epsilon, rng)

        lanes = self._lanes
        game = _Turns(lanes, act) if isinstance(lanes, TurnLanes) else _Steps(lanes, act)
        game.start(seeds)
        plays = {
            name: _Play(self.n_envs, len(part.agents)) for name, part in self.spec.policies.items()
        }
        episodes_done = np.zeros(self.n_envs, np.int64)
        length = np.zeros(self.n_envs, np.int64)
        over = np.zeros(self.n_envs, bool)
        while (episodes_done < quota).any():
            results = game.advance(over)
            counted = ~over & (episodes_done < quota)
            length[~over] += 1
            for name, play in plays.items():
                ended = play.add(results[name], over)
            cut = ~over & ~ended & (length >= limits.max_episode_steps)
            finished = counted & (ended | cut)
            for env in np.flatnonzero(finished):
                for play in plays.values():
                    play.finish(int(env), int(length[env]))
            # an episode that was cut goes on in its environment, uncounted
            episodes_done[finished] += 1
            episodes_done[cut] = quota[cut]
            length[ended] = 0
            over = ended
            tick()
        return [play.result(name) for name, play in plays.items()]

    def close(self) -> None:
        """Close the environments."""
        close_lanes(self._lanes)


Act = Callable[[str, NDArray[Any]], NDArray[np.int64]]
"""Actions of a policy for a stack of frames."""


class _Steps:
    """Environments whose agents act together, step by step."""

    def __init__(self, lanes: Lanes, act: Act) -> None:
        self._lanes, self._act = lanes, act
        self._histories = _histories(lanes)

    def start(self, seeds: list[int]) -> None:
        """Episodes begin everywhere."""
        first = self._lanes.reset(seeds)
        self._stacked = {n: h.push(first[n].observation, True) for n, h in self._histories.items()}

    def advance(self, over: NDArray[np.bool_]) -> Mapping[str, LaneStep]:
        """One step; `over` says where the one before ended an episode."""
        results = self._lanes.step({n: self._act(n, s) for n, s in self._stacked.items()})
        for name, history in self._histories.items():
            step = results[name]
            first = np.repeat(over, len(step.reward) // len(over))
            self._stacked[name] = history.push(step.observation, first)
        return results


class _Turns:
    """Worlds whose agents take turns, turn by turn."""

    def __init__(self, lanes: TurnLanes, act: Act) -> None:
        self._lanes, self._act = lanes, act
        self._histories = _histories(lanes)
        self._rows = {n: empty_row(p, lanes.n_envs) for n, p in lanes.spec.policies.items()}

    def start(self, seeds: list[int]) -> None:
        """Episodes begin everywhere."""
        self._lanes.reset(seeds)
        self._begins = np.ones(self._lanes.n_envs, np.bool_)

    def advance(self, over: NDArray[np.bool_]) -> Mapping[str, TurnRow]:
        """One turn; `over` says where the one before ended an episode, and this one shows it."""
        for name, history in self._histories.items():
            row = self._rows[name]
            first = np.repeat(self._begins, len(row.reward) // len(over))
            self._rows[name] = row._replace(observation=history.begin(first))
        self._lanes.turn(self._choose, self._rows)
        self._begins = over
        return self._rows

    def _choose(self, policy: str, place: int) -> NDArray[np.int64]:
        lanes = slice(place, None, len(self._lanes.spec.policies[policy].agents))
        return self._act(policy, self._histories[policy].stack(lanes))


def _histories(lanes: AnyLanes) -> dict[str, FrameHistory]:
    spec = lanes.spec
    return {n: FrameHistory(p, spec.n_frames, lanes.n_envs) for n, p in spec.policies.items()}


class _Play:
    """One policy's side of an evaluation: what its episodes returned."""

    def __init__(self, n_envs: int, n_agents: int) -> None:
        self._sum = np.zeros((n_envs, n_agents))
        self._returns: list[float] = []
        self._lengths: list[int] = []

    def add(self, result: LaneStep | TurnRow, over: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take in a step; returns which environments' episodes it ended."""
        self._sum[over] = 0.0
        self._sum += result.reward.reshape(self._sum.shape)
        ended = (result.terminated | result.truncated).reshape(self._sum.shape)
        return ended[:, 0].copy()

    def finish(self, env: int, length: int) -> None:
        self._returns.append(float(self._sum[env].mean()))
        self._lengths.append(length)

    def result(self, name: str) -> EvalResult:
        mean, ci95 = mean_ci95(self._returns)
        return EvalResult(
            policy=name,
            episodes=len(self._returns),
            return_mean=mean,
            return_ci95=ci95,
            return_min=min(self._returns),
            return_max=max(self._returns),
            length_mean=sum(self._lengths) / len(self._lengths),
        )


def records(
    results: list[EvalResult], held: dict[str, Published], steps: int, duration_s: float
) -> list[dict[str, Any]]:
    """`eval` records for metrics.jsonl."""
    return [
        {
            "kind": "eval",
            "steps": steps,
            "updates": held[r.policy].updates,
            "version": held[r.policy].version,
            "duration_s": duration_s,
            **{k: (None if _nan(v) else v) for k, v in asdict(r).items()},
        }
        for r in results
    ]


def _nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
