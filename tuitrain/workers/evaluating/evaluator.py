"""Greedy evaluation: what the policy is worth without exploration.

It has its own environments and its own random streams, one per evaluation, so it never touches
training; the same numbered evaluation of the same weights gives the same returns in every schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain import seeding
from tuitrain.config.schema import Config
from tuitrain.envs.lanes.turns import AnyLanes
from tuitrain.envs.spec import EnvSpec
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import Published
from tuitrain.learning.weights_layout import sha256
from tuitrain.metrics.intervals import mean_ci95
from tuitrain.replay import first_seen
from tuitrain.replay.entries import some
from tuitrain.seeding import GlobalRandom, stream
from tuitrain.workers.build import close_lanes
from tuitrain.workers.evaluating.game import Game, game_on
from tuitrain.workers.stores import Stores

MAX_ENVS = 16
"""Environments stepped side by side during an evaluation."""


@dataclass(frozen=True)
class EvalResult:
    """One policy's evaluation. Returns are undiscounted sums of rewards per episode.

    Of agents that share the policy the mean counts, of those that took part: they play the same
    episode, so their returns are no independent samples.

    `return_ci95` is the half-width of the 95 % confidence interval of the mean (Student's t).
    `cut` is how many of the episodes `eval.max_episode_steps` ended; they count with what they had
    returned by then. `reward_min` and `reward_max` are of single steps. `reset_difference_p` bounds
    the chance to see first observations so different from those of training, in all evaluations so
    far, if episodes begin alike (``replay/first_seen.py``); NaN where that cannot be told.
    """

    policy: str
    episodes: int
    return_mean: float
    return_ci95: float
    return_min: float
    return_max: float
    length_mean: float
    cut: int = 0
    reward_min: float = math.nan
    reward_max: float = math.nan
    reset_difference_p: float = math.nan


class Evaluator:
    """Plays whole episodes with fixed weights."""

    def __init__(
        self,
        config: Config,
        spec: EnvSpec,
        policies: dict[str, Policy],
        make: Callable[[int], AnyLanes],
        session: int = 0,
        incarnation: int = 0,
    ) -> None:
        self.policies = policies
        self.config = config
        self.spec = spec
        self.held: dict[str, Published] = {}
        self._trained_on: dict[str, first_seen.Table] = {}
        """What episodes of training had begun with when weights were pulled last."""
        self._begun_with = dict.fromkeys(spec.policies, first_seen.NOTHING)
        """The same of all evaluations."""
        self.over = 0
        """Episodes of the evaluation at hand that have ended by themselves."""
        self._session = session
        self.n_envs = min(config.eval.episodes, MAX_ENVS)
        number = seeding.incarnation(session, incarnation)
        (seed,) = stream(config.run.seed, "evaluator", 0, number).spawn(1)
        with GlobalRandom(seed):
            self._lanes: AnyLanes = make(self.n_envs)

    def pull(self, stores: Stores, reader: int) -> None:
        """Take the newest published weights of every policy."""
        for name, policy in self.policies.items():
            self.held[name] = stores.weights[name].pull(reader, policy.buffer)
            policy.load(policy.buffer, self.held[name].version)
            self._trained_on[name] = stores.replays[name].first_seen()

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
        short ones. One that is cut by `eval.max_episode_steps` counts as it is then.

        Args:
            number: of this evaluation; it seeds environments and random actions.
            tick: called when episodes have begun, and after every vector step.
        """
        self.over = 0
        wanted = episodes or self.config.eval.episodes
        left = np.full(self.n_envs, wanted // self.n_envs)
        left[: wanted % self.n_envs] += 1
        seeds, chooser, global_seed = stream(
            self.config.run.seed,
            "evaluation_environment",
            number,
            seeding.incarnation(self._session, 0),
        ).spawn(3)
        rng = np.random.default_rng(chooser)

        def act(
            policy: str, stacked: NDArray[Any], legal: NDArray[np.bool_] | None
        ) -> NDArray[np.int64]:
            return self.policies[policy].act(stacked, self.config.eval.epsilon, rng, legal)

        plays = {
            name: _Play(self.n_envs, len(part.agents)) for name, part in self.spec.policies.items()
        }
        with GlobalRandom(global_seed):
            game = game_on(self._lanes, act)
            while left.any():
                game.start([int(s) for s in seeds.generate_state(self.n_envs)])
                tick()
                left = self._play(game, plays, left, tick)
                # Only an episode that was cut leaves some: new ones begin, elsewhere than before.
                (seeds,) = seeds.spawn(1)
        return [
            replace(play.result(name), reset_difference_p=self._difference(name))
            for name, play in plays.items()
        ]

    def _difference(self, policy: str) -> float:
        """How unlikely first observations are to be those of training; NaN if it is not known."""
        there = self._trained_on.get(policy, first_seen.NOTHING)
        p = first_seen.difference_p(self._begun_with[policy], there)
        return math.nan if p is None else p

    def _see_first(self, game: Game, counts: NDArray[np.bool_]) -> None:
        """Take in what episodes that count begin with; agents of an environment are one."""
        for name, so_far in self._begun_with.items():
            begun = game.begun(name)
            if begun is None or not begun[1].any():
                continue
            seen = some(begun[0], first_seen.ENTRIES)
            seen = seen.reshape(self.n_envs, -1, seen.shape[1])
            seen = seen[begun[1].reshape(self.n_envs, -1).all(1) & counts]
            table = first_seen.table_of(seen.mean(1, dtype=np.float64))
            self._begun_with[name] = first_seen.together([so_far, table])

    def _play(
        self,
        game: Game,
        plays: dict[str, _Play],
        quota: NDArray[np.int64],
        tick: Callable[[], None],
    ) -> NDArray[np.int64]:
        """Play until every environment has had its episodes, or has had one cut.

        An environment alone cannot begin anew in the midst of an episode, so what it plays after a
        cut does not count.

        After a row in which everybody is idle comes one in which the next episode begins, and that
        may be over in it: a game that ends before anybody has moved has length 0, and counts.

        Args:
            quota: int64[n_envs], how many of its episodes count.

        Returns:
            What is left of `quota`.
        """
        for play in plays.values():
            play.begin()
        left = quota.copy()
        length = np.zeros(self.n_envs, np.int64)
        over = game.everybody_idle()
        out = np.zeros(self.n_envs, bool)
        self._see_first(game, left > 0)
        while ((left > 0) & ~out).any():
            live = {name: ~game.idle[name] for name in plays}
            results = game.advance()
            length[~over] += 1
            for name, play in plays.items():
                play.add(results[name].reward, live[name], over)
            ended = game.everybody_idle()
            cut = ~ended & (length >= self.config.eval.max_episode_steps)
            finished = (ended | cut) & (left > 0) & ~out
            for env in np.flatnonzero(finished):
                for play in plays.values():
                    play.finish(int(env), int(length[env]), cut=bool(cut[env]))
            left[finished] -= 1
            self.over += int(np.count_nonzero(finished & ~cut))
            out |= cut
            self._see_first(game, (left > 0) & ~out)
            length[ended] = 0
            over = ended
            tick()
        return left

    def close(self) -> None:
        """Close the environments."""
        close_lanes(self._lanes)


class _Play:
    """One policy's side of an evaluation: what its episodes returned."""

    def __init__(self, n_envs: int, n_agents: int) -> None:
        self._sum = np.zeros((n_envs, n_agents))
        self._took_part = np.zeros((n_envs, n_agents), np.bool_)
        self._returns: list[float] = []
        self._lengths: list[int] = []
        self._cut = 0
        self._least, self._most = np.full((2, n_envs * n_agents), np.nan)

    def begin(self) -> None:
        """Episodes begin everywhere; what has been finished stays."""
        self._sum[:], self._took_part[:] = 0.0, False

    def add(
        self, reward: NDArray[np.float32], live: NDArray[np.bool_], over: NDArray[np.bool_]
    ) -> None:
        """Take in a step.

        Args:
            reward: float32[lanes].
            live: bool[lanes], who made a transition.
            over: bool[n_envs], where the step before ended an episode.
        """
        self._sum[over], self._took_part[over] = 0.0, False
        np.fmin(self._least, reward, out=self._least, where=live)
        np.fmax(self._most, reward, out=self._most, where=live)
        self._sum += reward.reshape(self._sum.shape)
        # in a game that is over before its first move an agent can be paid all the same
        self._took_part |= (live | (reward != 0)).reshape(self._sum.shape)

    def finish(self, env: int, length: int, *, cut: bool) -> None:
        """An episode is over. It does not count for a policy none of whose agents came."""
        there = self._took_part[env]
        if there.any():
            self._returns.append(float(self._sum[env][there].mean()))
            self._lengths.append(length)
            self._cut += cut

    def result(self, name: str) -> EvalResult:
        """What the episodes were worth; NaN where there was none."""
        if not self._returns:
            nan = math.nan
            return EvalResult(name, 0, nan, nan, nan, nan, nan)
        mean, ci95 = mean_ci95(self._returns)
        return EvalResult(
            policy=name,
            episodes=len(self._returns),
            return_mean=mean,
            return_ci95=ci95,
            return_min=min(self._returns),
            return_max=max(self._returns),
            length_mean=sum(self._lengths) / len(self._lengths),
            cut=self._cut,
            reward_min=float(np.fmin.reduce(self._least)),
            reward_max=float(np.fmax.reduce(self._most)),
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
