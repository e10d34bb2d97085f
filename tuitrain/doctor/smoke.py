"""A smoke run: what of the config is changed for it, and what its outcome means."""

from __future__ import annotations

from tuitrain.config.schema import Config
from tuitrain.doctor.facts import Smoke
from tuitrain.doctor.finding import Finding, size

MAX_EPISODES = 2
MAX_EPISODE_STEPS = 200
PRACTICE_EPISODES = 20
FOREVER = 10**12
PLANNED = 0.9
"""Of the run's steps: from here on nothing is said of a learning rate that has ended."""
SETTLED = 0.01
"""How close the replay ratio comes to what was asked for; a short run need not get there, and a
ratio that does not hold is a failed check of the run itself."""


def shortened(config: Config, out_dir: str, agents: int = 1) -> Config:
    """The config as it is run for a few seconds: everything the same but when things begin.

    Learning starts as early as a batch allows, evaluations are short, and what works outside the
    run (commands, files for others, reasons to stop) is left out.

    Args:
        config: resolved.
        agents: of one environment, under the policy that has most of them.
    """
    learner, replay, actors = config.learner, config.replay, config.actors
    assert isinstance(actors.count, int), "the config must be resolved"
    rows = config.env.n_frames + learner.n_step + actors.chunk_steps
    starts = max(2 * learner.batch_size, rows * actors.count * actors.envs_per_actor * agents)
    update = {
        "run": config.run.model_copy(
            update={
                "name": "doctor",
                "out_dir": out_dir,
                "total_steps": FOREVER,
                "tensorboard": False,
                "fingerprint": False,
                "checkpoint_every_s": 1e9,
            }
        ),
        "replay": replay.model_copy(
            update={"learning_starts": min(replay.learning_starts, starts)}
        ),
        "eval": config.eval.model_copy(
            update={
                "every_steps": FOREVER,
                "episodes": min(config.eval.episodes, MAX_EPISODES),
                "max_episode_steps": min(config.eval.max_episode_steps, MAX_EPISODE_STEPS),
            }
        ),
    }
    # what is found here is to be told of: no pause, no end, and who dies is not started again
    update["checks"] = config.checks.model_copy(update={"on_fail": "log"})
    update["supervisor"] = config.supervisor.model_copy(update={"max_restarts": 0})
    fields = Config.model_fields
    update |= {
        name: fields[name].get_default(call_default_factory=True)
        for name in ("stop", "hooks")
        if name in fields
    }
    return config.model_copy(update=update)


def practised(config: Config, schedule: str, out_dir: str, agents: int = 1) -> Config:
    """The config as it is tried whether it learns: ``shortened``, with one whole evaluation.

    Args:
        config: resolved.
    """
    short = shortened(config, out_dir, agents)
    episodes = max(PRACTICE_EPISODES, config.eval.episodes)
    asked = {"every_steps": FOREVER, "enabled": True, "episodes": episodes}
    return short.model_copy(
        update={
            "run": short.run.model_copy(update={"schedule": schedule}),
            "eval": config.eval.model_copy(update=asked),
        }
    )


def outlived(check: str, steps: int, config: Config) -> bool:
    """Whether a check only tells that a practice has lasted longer than its plan.

    On a fast machine it makes more steps than the whole run would, and the learning rate has ended,
    as it should. A little before already, since learning begins earlier in a practice.

    Args:
        check: its id.
        steps: environment steps of the practice.
        config: of the run.
    """
    return check == "lr" and steps >= PLANNED * config.run.total_steps


def training(smoke: Smoke | None, why_not: str) -> Finding:
    """Actors act, learners learn, and nothing fails.

    Args:
        why_not: why there was no smoke run.
    """
    name = "smoke run"
    if smoke is None:
        return Finding("training", name, "n/a", why_not)
    if smoke.error:
        first, *more = smoke.error.splitlines()
        return Finding("training", name, "fail", first, "In full:" if more else "", tuple(more))
    if not smoke.steps:
        advice = "Is one step or reset of the environment that slow?"
        if not smoke.steps_before:
            return Finding("training", name, "warn", f"no step within {smoke.ran_s:.0f} s", advice)
        found = f"{smoke.steps_before:,} steps, then none for {smoke.ran_s:.0f} s"
        if smoke.updates:  # the actors wait: the learner has its updates to catch up with
            return Finding("training", name, "warn", f"{found}, but {smoke.updates:,} updates")
        return Finding("training", name, "fail", found, f"{advice} --seconds waits longer.")
    steps, updates = smoke.steps / smoke.ran_s, smoke.updates / smoke.ran_s
    found = f"{steps:,.0f} steps/s, {updates:,.{1 if updates < 100 else 0}f} updates/s"
    if smoke.failing:
        return Finding("training", name, "fail", found, "Checks failed:", smoke.failing)
    if not smoke.updates:
        advice = "That is too short to see an update; nothing else is wrong."
        return Finding("training", name, "warn", f"{found} within {smoke.ran_s:.0f} s", advice)
    return Finding("training", name, "ok", found)


def ratio(smoke: Smoke | None) -> Finding:
    """Updates per transition are what was asked for."""
    measured = [] if smoke is None else [(a, t) for a, t in smoke.ratios.values() if a is not None]
    if not measured:
        return Finding("ratio", "replay ratio", "n/a", "not measured")
    achieved, target = max(measured, key=lambda pair: abs(pair[0] / pair[1] - 1))
    found = f"{achieved:.4g} updates/transition, asked for {target:.4g}"
    if abs(achieved / target - 1) > SETTLED:
        found += " (still settling)"
    return Finding("ratio", "replay ratio", "ok", found)


def evaluator(smoke: Smoke | None) -> Finding:
    """An evaluation can be made."""
    if smoke is None or smoke.error:
        return Finding("evaluator", "evaluator", "n/a", "not tried")
    if smoke.evaluation_ok is None:
        return Finding("evaluator", "evaluator", "n/a", "none (eval.enabled is false)")
    if smoke.evaluation_ok:
        found = f"plays ({MAX_EPISODES} episodes of at most {MAX_EPISODE_STEPS} steps)"
        return Finding("evaluator", "evaluator", "ok", found)
    advice = f"It was to play {MAX_EPISODES} episodes of at most {MAX_EPISODE_STEPS} steps."
    return Finding("evaluator", "evaluator", "warn", smoke.evaluated, advice)


def checkpoint(smoke: Smoke | None) -> Finding:
    """A checkpoint can be written."""
    if smoke is None or smoke.error:
        return Finding("checkpoint", "checkpoint", "n/a", "not tried")
    if smoke.checkpoint_bytes is None:
        return Finding("checkpoint", "checkpoint", "fail", "none was written at the end")
    return Finding("checkpoint", "checkpoint", "ok", f"written, {size(smoke.checkpoint_bytes)}")


def duration(smoke: Smoke | None, total_steps: int) -> Finding:
    """How long the whole run would take at this pace."""
    if smoke is None or smoke.error or not smoke.steps:
        return Finding("duration", "whole run", "n/a", "not measured")
    seconds = total_steps * smoke.ran_s / smoke.steps
    return Finding(
        "duration", "whole run", "ok", f"{total_steps:,} steps in about {_words(seconds)}"
    )


def _words(seconds: float) -> str:
    for length, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{0 if seconds >= 20 * length else 1}f} {unit}"
    return f"{max(1, round(seconds))} s"
