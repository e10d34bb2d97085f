"""What `doctor --learn` asks a fresh process: what random play is worth, and one batch by heart.

``python -P -m tuitrain.workers.asides.rehearse RESULT_FD`` answers a config (see ``aside``) with
``{"rehearsed": ...}``, by policy: its random play, the rewards in a random replay, and whether a
network like the run's learns one batch of it (``learning.overfit``). Actor, replay and evaluator
are the run's own, in memory that has no name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tuitrain.config.schema import Config
from tuitrain.learning.batch import TensorBatch, split, to_device
from tuitrain.learning.overfit import Overfit, overfit
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.reader import Batch
from tuitrain.workers import stores
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.asides.aside import Tell, serve
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import checked_lanes, network_for, policies_for
from tuitrain.workers.evaluating.evaluator import EvalResult, Evaluator
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.stores import Stores

UPDATES = 500
SANE_LR = 1e-3
"""What is tried where nothing is learned with the config's own learning rate."""
LEFT = 0.5
"""A batch is learned if so much of the error that could vanish is left, or less."""
ROWS = 1024
"""Transitions that a batch is drawn from, at least."""
EPISODES = 20
"""Of random play, at least: with few of them nothing could be told from it."""

Over = Callable[[], bool]


def rehearse(question: dict[str, Any], tell: Tell) -> None:
    """Play at random, then learn.

    Args:
        question: `config`, fields of a resolved Config; `run_id`, eight hexadecimal digits;
            `folder`, an empty one to work in; `seconds`, for all of it: half for random play, the
            rest for one batch of every policy.
    """
    config = Config.model_validate(question["config"])
    torch.set_num_threads(config.run.threads_per_process)
    folder, seconds = Path(question["folder"]), float(question["seconds"])
    tell(stage="building environment and network")
    learner = config.learner.model_copy(update={"device": "cpu"})
    config = config.model_copy(update={"learner": learner})
    report = probe(config, None)
    agents = max(len(policy["agents"]) for policy in report["spec"]["policies"].values())
    blueprint = Blueprint.from_probe(
        run_id=question["run_id"],
        run_dir=str(folder),
        lock_path=str(folder / "lock"),
        config=_at_random(config, agents),
        report=report,
    )
    tell(stage="playing at random")
    played = _play(blueprint, _clock(seconds / 2))
    tell(stage="learning one batch")
    tried = _learn(config, blueprint, seconds / 2)
    tell(
        rehearsed={name: {"random": played.get(name), **tried[name]} for name in blueprint.policies}
    )


def _clock(seconds: float) -> Over:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _at_random(config: Config, agents: int) -> Config:
    """The config of one actor and an evaluator that do not know what they do.

    Args:
        agents: of one environment, under the policy that has most of them.
    """
    learner, actors = config.learner, config.actors
    rows = max(ROWS, 4 * learner.batch_size * learner.grad_accumulation)
    least = config.env.n_frames + learner.n_step + actors.chunk_steps
    least *= actors.envs_per_actor * agents
    changes: dict[str, dict[str, Any]] = {
        "run": {"schedule": "sequential", "init_from": None},
        "actors": {"count": 1, "device": "cpu"},
        "exploration": {"epsilon_start": 1.0, "epsilon_end": 1.0, "ladder_alpha": 0.0},
        "replay": {"capacity": 2 * max(rows, least), "learning_starts": rows, "prioritized": False},
        "eval": {"epsilon": 1.0, "episodes": max(EPISODES, config.eval.episodes)},
    }
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=to) for name, to in changes.items()}
    )


class _TimeIsUpError(Exception):
    """Episodes are too long for the time there is."""


def _play(blueprint: Blueprint, over: Over) -> dict[str, dict[str, Any]]:
    """Evaluations of random play, by policy; none where they take too long."""
    config, spec = blueprint.config, blueprint.spec

    def tick() -> None:
        if over():
            raise _TimeIsUpError

    evaluator = Evaluator(
        config,
        spec,
        policies_for(config, spec, "cpu"),
        lambda n: checked_lanes(config, spec, n, for_evaluation=True),
    )
    results: list[EvalResult] = []
    with closing(evaluator), suppress(_TimeIsUpError):
        results = evaluator.evaluate(0, tick)
    return {result.policy: asdict(result) for result in results}


def _learn(config: Config, blueprint: Blueprint, seconds: float) -> dict[str, dict[str, Any]]:
    """By policy, the rewards in a replay of random play and what came of learning one batch."""
    shared = stores.create(blueprint)
    shared.unlink()  # nobody else attaches, and so nothing stays whatever happens
    with closing(shared):
        learner = Learner(blueprint, shared)
        learner.publish(0)
        _fill(blueprint, shared, learner, _clock(seconds / 4))
        each = 0.75 * seconds / len(blueprint.policies)
        return {
            name: _learn_one(config, blueprint, learner, name, each) for name in learner.policies
        }


def _fill(blueprint: Blueprint, shared: Stores, learner: Learner, over: Over) -> None:
    """Play until every policy has rows enough, the replay is half full, or time is up."""
    config = blueprint.config
    actor = Actor(
        blueprint,
        shared,
        0,
        lambda: checked_lanes(config, blueprint.spec, config.actors.envs_per_actor),
        policies_for(config, blueprint.spec, "cpu"),
    )
    chunk, limiter = config.actors.chunk_steps, shared.limiter
    with closing(actor):
        actor.pull()
        while not over():
            totals = limiter.totals()
            enough = config.replay.learning_starts
            if min(totals.inserts) >= enough or max(totals.inserts) >= config.replay.capacity // 2:
                break
            actor.begin(Ticket(totals.steps, totals.inserts), chunk)
            actor.rollout(chunk, lambda: None)
            committed = actor.commit()
            limiter.commit(0, committed.inserts, committed.steps)
        learner.open_windows(limiter.totals().inserts)


def _learn_one(
    config: Config, blueprint: Blueprint, learner: Learner, name: str, seconds: float
) -> dict[str, Any]:
    part, how = learner.policies[name], config.learner
    window = part.window
    if window is None or not window.sampleable:
        return {"transitions": 0, "rewarded_share": None, "still_share": None, "tried": []}
    rows = part.reader.sample(window, how.batch_size, part.rng, batches=how.grad_accumulation)
    batches = split(_copied(to_device(rows, "cpu")), how.batch_size)
    drawn = part.reader.sample(window, min(ROWS, window.sampleable), part.rng, slot=1)
    tries: list[Overfit] = []
    for lr in (how.lr, SANE_LR):
        tries.append(
            overfit(
                partial(network_for, config, blueprint.spec, name),
                batches,
                how.model_copy(update={"lr": lr}),
                blueprint.spec.policies[name].n_actions,
                config.algorithm,
                updates=UPDATES,
                over=_clock(seconds),
            )
        )
        if _learned(tries[-1]):
            break
    return {
        "transitions": len(drawn.returns),
        "rewarded_share": float((drawn.returns != 0).mean()),
        "still_share": _still(drawn),
        "tried": [asdict(result) | {"learned": _learned(result)} for result in tries],
    }


def _still(drawn: Batch) -> float | None:
    """The share of transitions within episodes whose next observation is the same; None: of none.

    An end has no next one: what a task of one step shows after it need not be new.
    """
    goes_on = drawn.discount != 0
    now, after = (array[goes_on, -1] for array in (drawn.state, drawn.next_state))
    if not len(now):
        return None
    return float((now == after).reshape(len(now), -1).all(1).mean())


def _learned(tried: Overfit) -> bool:
    """Whether most of what could be learned was."""
    return tried.after - tried.floor <= LEFT * (tried.before - tried.floor)


def _copied(batch: TensorBatch) -> TensorBatch:
    """Of arrays that the next draw overwrites."""
    columns = {name: column for name, column in batch._asdict().items() if column is not None}
    return TensorBatch(**{name: column.clone() for name, column in columns.items()})


if __name__ == "__main__":
    from tuitrain.config.problems import ConfigError
    from tuitrain.envs.spaces import EnvError
    from tuitrain.learning.bodies import NetworkError
    from tuitrain.loading import LoadError

    serve(rehearse, (ConfigError, EnvError, LoadError, NetworkError))
