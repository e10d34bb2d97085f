"""What checks need of a run besides what clients are shown: records merged, and what is planned.

Pure but for the arguments: no clock, no processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuitrain.config.live import differing
from tuitrain.config.schema import Config
from tuitrain.diagnosis import planned
from tuitrain.diagnosis.merging import FEW_FOR_BOUND, Merged
from tuitrain.metrics.rewind import is_number
from tuitrain.protocol import ProcessView

SETTLED_S = 10.0
"""After a change of the config, so long until what is measured must be as it says now."""

_BEAT_S = 1.0
"""A heartbeat says what was so up to this long ago."""

_ATARI = "tuitrain.envs.atari:make"


@dataclass
class Measured:
    """Of all policies of a run, since its session began."""

    _merged: dict[str, Merged] = field(default_factory=dict)
    _earlier: dict[str, float] = field(default_factory=dict)
    """Per policy: the largest return or reward of earlier sessions, and of before a way back."""
    _lr_planned: dict[str, float | None] = field(default_factory=dict)
    _config: Config | None = None
    changed_at: float = -math.inf
    """When it was changed last: what comes soon after, or before, is not judged by it."""

    def follow(self, config: Config, now: float) -> bool:
        """Go by this config; whether it has held long enough for all to have it."""
        before, self._config = self._config, config
        if before is not None and before is not config and differing(before, config):
            self.changed_at = now
        return now - self.changed_at >= SETTLED_S

    def add(self, record: Mapping[str, Any], config: Config, now: float) -> None:
        """Take in a metrics record."""
        policy = str(record.get("policy", ""))
        if policy not in self._merged:
            untrained = config.run.init_from is None
            self._merged[policy] = Merged(environments(config), untrained=untrained)
        self._merged[policy].add(record)
        if record.get("kind") != "learner":
            return
        self._lr_planned[policy] = None
        lr, updates = record.get("lr"), record.get("updates")
        # at the time of the record: who is paused makes none by which a change would show
        if self.follow(config, now) and is_number(lr) and is_number(updates):
            self._lr_planned[policy] = planned.lr_planned(lr, int(updates), config)

    def rewind(self) -> None:
        """Training goes on from weights of before."""
        for merged in self._merged.values():
            merged.rewind()

    def begin(self) -> None:
        """What has come so far is of earlier sessions; what was paid then, values may still say."""
        for policy in self._merged:
            self._earlier[policy] = self._largest(policy)
        self._merged.clear()
        self._lr_planned.clear()

    def of(self, policy: str, agents: int, config: Config) -> dict[str, Any]:
        """Fields of ``Measurements`` by name; what is not known is left out.

        Args:
            agents: of one environment that share the policy.
        """
        merged = self._merged.get(policy) or Merged()
        out = merged.fields()
        if "returns_abs_max" in out and merged.learner_records >= FEW_FOR_BOUND:
            out["q_bound"] = planned.q_bound(self._largest(policy), config)
        if ":" in config.learner.network:
            out.pop("observation_size", None)
        how = config.algorithm
        if _begins_anywhere(config):
            out.pop("reset_difference_p", None)
        return out | {
            "learner_records": merged.learner_records,
            "eval_kwargs": str(config.env.eval_kwargs) if config.env.eval_kwargs else None,
            "eval_steps_max": config.eval.max_episode_steps,
            "evals_planned": planned.evals_planned(config),
            "value_range": f"{how.v_min:g} to {how.v_max:g}" if how.name == "c51" else None,
            "gamma": config.learner.gamma,
            "lr_start": config.learner.lr,
            "lr_planned": self._lr_planned.get(policy),
            "learned_share": planned.learned_share(config, agents),
            "weight_move": planned.weight_move(config, agents),
            "lr_spent_share": planned.lr_spent_share(config, agents),
            "most_epsilon": planned.most_epsilon(config),
            "final_epsilon": planned.final_epsilon(config),
            "target_kept_at_end": planned.target_kept_at_end(config, agents),
        }

    def _largest(self, policy: str) -> float:
        """The largest |return| or |reward| there has been.

        A rare reward may have been learned from in a draw that was not looked at, or long ago.
        """
        out = self._merged[policy].fields()
        seen = (abs(out.get(name, 0.0)) for name in ("returns_abs_max", "reward_min", "reward_max"))
        return float(max(self._earlier.get(policy, 0.0), *seen))


def device_asked(role: str, config: Config) -> str | None:
    """Where a worker is to compute; None while that is open."""
    asked = {
        "learner": config.learner.device,
        "trainer": config.learner.device,
        "actor": config.actors.device,
        "evaluator": "cpu",
    }.get(role)
    return None if asked == "auto" else asked


def environments(config: Config) -> int:
    """Of all actors."""
    return config.actors.envs_per_actor * _actors(config)


def compare_epsilons(
    processes: Sequence[ProcessView], config: Config, steps: int, steps_per_s: float, age_s: float
) -> None:
    """Say of every actor at work how far its epsilon is from all that the config allows about now.

    Args:
        steps: of the whole run, by whoever has counted most.
        age_s: how old they are.
    """
    chunk = config.actors.chunk_steps * config.actors.envs_per_actor
    ahead = (3 + config.replay.max_lead) * chunk * _actors(config)  # reserved by all, not yet made
    for process in processes:
        epsilon, beat_age_s = process.epsilon, process.beat_age_s
        works = process.role in ("actor", "trainer") and process.state == "running"
        if not works or epsilon is None or beat_age_s is None or not process.rate:
            continue
        index = int(process.name[1:]) if process.role == "actor" else 0
        # made by others during a chunk of its own
        behind_s = chunk / process.rate + age_s + beat_age_s + _BEAT_S
        slack = ahead + 2 * steps_per_s * behind_s
        process.epsilon_off = planned.epsilon_off(epsilon, index, steps, slack, config)


def _actors(config: Config) -> int:
    count = config.actors.count
    return 1 if count == "auto" else count


def _begins_anywhere(config: Config) -> bool:
    """Whether episodes of training begin in the middle of a game, after each life."""
    return config.env.id == _ATARI and bool(config.env.kwargs.get("life_loss"))
