"""Ten configs and environments of somebody whose run does not learn: files in ``sabotaged/``.

Each can be looked at by hand: ``cd tests/diagnosis && tuitrain launch sabotaged/tau.toml``.
"""

from __future__ import annotations

from tests.diagnosis.cases import HERE, Case

FOLDER = HERE / "sabotaged"


def of(name: str, fault: str, check: str, names: str = "") -> Case:
    """A config whose run does not learn, or does not begin."""
    file = FOLDER / f"{name}.toml"
    return Case(f"sabotaged-{name}", fault, check, file=file, names=names)


SABOTAGED: tuple[Case, ...] = (
    of("ends", "done flags: the goal is told as a time limit", "episode_ends"),
    of("reward", "rewards are a million times too large", "reward_scale"),
    of("frames", "n_frames is known to the network alone", "processes", "env.n_frames"),
    of("rows", "the network mixes the rows of a batch", "processes", "mixes the rows"),
    of("state", "the network keeps its hidden state", "processes", "remembers what it was asked"),
    of("actions", "actions are shuffled", "action_effect"),
    of("constant", "every observation is the same", "observations"),
    of("epsilon", "epsilon never falls", "exploration", "exploration.epsilon_end"),
    of("lr", "the learning rate is 10", "config", "learner.lr"),
    of("lr-allowed", "the learning rate is 0.9, which no rule forbids", "lr", "learner.lr"),
    of("tau", "tau is 1e-7", "target_network", "learner.tau"),
    of("starts", "learning_starts is above the total", "config", "replay.learning_starts"),
    of("evaluation", "evaluations play another game", "evaluation_env", "env.eval_kwargs"),
)
