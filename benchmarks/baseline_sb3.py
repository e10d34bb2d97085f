"""The same task by stable-baselines3's DQN, an arm of the `cartpole` subject.

Its loss is Huber's (it has no other) and its norm limit is set so high that nothing is clipped;
all else is as in ``cartpole_task``. Alone: `python -m benchmarks.baseline_sb3 --seed 1`.
"""

from __future__ import annotations

import argparse
import time

import gymnasium
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.cartpole_task import SETTINGS, Judge, Outcome

FOREVER = 10_000_000


class Watch(BaseCallback):
    """Hands every finished episode to the judge."""

    def __init__(self, limit_at: float) -> None:
        super().__init__()
        self.judge = Judge(
            lambda observation: self.model.predict(observation, deterministic=True)[0], limit_at
        )

    def _on_step(self) -> bool:
        if self.locals["dones"][0]:
            episode = self.locals["infos"][0]["episode"]
            return not self.judge.episode(float(episode["r"]), self.num_timesteps)
        return True


def train(seed: int, limit_at: float) -> Outcome:
    """Train until solved or out of time."""
    model = DQN(
        "MlpPolicy",
        gymnasium.make("CartPole-v1"),
        learning_rate=SETTINGS.lr,
        buffer_size=SETTINGS.capacity,
        learning_starts=SETTINGS.learning_starts,
        batch_size=SETTINGS.batch_size,
        gamma=SETTINGS.gamma,
        train_freq=SETTINGS.update_every,
        gradient_steps=1,
        target_update_interval=SETTINGS.target_every,
        exploration_fraction=SETTINGS.epsilon_decay / FOREVER,
        exploration_initial_eps=SETTINGS.epsilon_start,
        exploration_final_eps=SETTINGS.epsilon_end,
        max_grad_norm=1e9,
        policy_kwargs={"net_arch": list(SETTINGS.hidden)},
        seed=seed,
        device="cpu",
    )
    watch = Watch(limit_at)
    model.learn(FOREVER, callback=watch)
    return watch.judge.outcome


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-at", type=float, default=time.time() + 240, help="unix time")
    given = parser.parse_args()
    train(given.seed, given.limit_at).print()
