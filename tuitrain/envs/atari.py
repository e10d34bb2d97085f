"""Atari 2600 through the Arcade Learning Environment, as DQN sees it: `tuitrain.envs.atari:make`.

Four frames to a step, the maximum of the last two, grey, 84 × 84, as in Mnih et al. 2015; sticky
actions and whole games, as Machado et al. 2018 recommend. The first part is gymnasium's own
``AtariPreprocessing``: ale-py's vector environment does the same in C++, but most of a step is the
game (Pong: 350 µs with this, 300 with that). Frames are stacked by `env.n_frames`. The packages are
the extra `atari`.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from tuitrain.envs.spaces import EnvError

NAMESPACE = "ALE/"
INSTALL = "pip install 'tuitrain[atari]'"

FRAMES_PER_S = 60
"""Of the console; a step is `frame_skip` of them."""


def register() -> None:
    """Make gymnasium know the games (`ALE/Pong-v5`, raw). Calling it again changes nothing.

    Raises:
        EnvError: the package is not there; says how to get it.
    """
    try:
        import ale_py
    except ImportError as error:
        raise EnvError(f"ale-py cannot be imported ({error}). Get it with: {INSTALL}") from error
    if f"{NAMESPACE}Pong-v5" not in gymnasium.registry:
        gymnasium.register_envs(ale_py)


def make(
    game: str,
    frame_skip: int = 4,
    screen_size: int = 84,
    sticky: float = 0.25,
    noop_max: int = 0,
    life_loss: bool = False,
    clip_rewards: bool = True,
    full_action_space: bool = False,
    render_mode: str | None = None,
) -> gymnasium.Env[Any, Any]:
    """One game. Observations uint8[screen_size, screen_size].

    Args:
        game: as in gymnasium's ids, `Pong` or `SpaceInvaders`.
        frame_skip: frames of the game per step.
        screen_size: width and height in pixels.
        sticky: probability that a frame repeats the action before; 0 is the game as it is.
        noop_max: up to so many idle frames at the start, as in Mnih et al. 2015 (30); sticky
            actions make them unnecessary.
        life_loss: whether a lost life ends the episode; the game itself then goes on in the next.
        clip_rewards: the sign of each reward, as in Mnih et al. 2015. Returns are then sums of
            signs; the game's own score is the metric `score`.
        full_action_space: all 18 actions and not the game's own.
        render_mode: `rgb_array` for ``render``.

    What is published of Atari is the game's own score of whole games. Evaluations report it where
    the config says ``env.eval_kwargs = { clip_rewards = false, life_loss = false }``.

    Raises:
        EnvError: a package is not there, or there is no such game.
    """
    register()
    try:
        raw = gymnasium.make(
            f"{NAMESPACE}{game}-v5",
            disable_env_checker=True,
            frameskip=1,  # AtariPreprocessing skips
            obs_type="grayscale",  # it reads the screen itself; this is the cheapest to return
            repeat_action_probability=0.0,  # the console would not tell which action it repeats
            full_action_space=full_action_space,
            render_mode=render_mode,
        )
    except gymnasium.error.UnregisteredEnv as error:
        raise EnvError(f"there is no Atari game {game!r}: {error}") from error
    if sticky:
        raw = gymnasium.wrappers.StickyAction(raw, sticky)
    try:
        env = gymnasium.wrappers.AtariPreprocessing(
            raw,
            noop_max=noop_max,
            frame_skip=frame_skip,
            screen_size=screen_size,
        )
    except gymnasium.error.DependencyNotInstalled as error:
        raise EnvError(f"OpenCV cannot be imported ({error}). Get it with: {INSTALL}") from error
    made = Game(env, life_loss=life_loss, clip_rewards=clip_rewards)
    made.metadata = {**env.metadata, "render_fps": FRAMES_PER_S / frame_skip}
    return made


class Game(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Lives and rewards as an agent is to see them, and the score as it is.

    At the end of a game `info["metrics"]` has its `score` (the unclipped return over all lives).

    Args:
        env: an Atari game.
        life_loss, clip_rewards: as in ``make``.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], *, life_loss: bool, clip_rewards: bool
    ) -> None:
        super().__init__(env)
        self._life_loss = life_loss
        self._clip_rewards = clip_rewards
        self._lives = 0
        self._score = 0.0
        self._goes_on = False
        """A life was lost, the game is not over."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start a game, or go on with the next life by one idle step."""
        if self._goes_on and seed is None:
            observation, _, terminated, truncated, info = self._advance(0)
            if not (terminated or truncated):
                self._goes_on = False
                return observation, info
        self._score = 0.0
        self._goes_on = False
        observation, info = self.env.reset(seed=seed, options=options)
        self._lives = self._left()
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """One step of `frame_skip` frames."""
        before = self._lives
        observation, reward, terminated, truncated, info = self._advance(action)
        if self._life_loss and self._lives < before and not (terminated or truncated):
            terminated = self._goes_on = True
        if self._clip_rewards:
            reward = float(np.sign(reward))
        return observation, reward, terminated, truncated, info

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._score += float(reward)
        self._lives = self._left()
        if terminated or truncated:
            info = {**info, "metrics": {"score": self._score}}
        return observation, float(reward), terminated, truncated, info

    def _left(self) -> int:
        return int(self.env.unwrapped.ale.lives())  # type: ignore[attr-defined]  # its own
