"""Other libraries' buffers as stores, each the way its documentation and its own learner use it.

Where a library has several ways to hold the same work there is a variant for each, and a figure is
over the fastest. Work that a library's users do before they store (frame stacking for
stable-baselines3, cpprb and torchrl; n-step returns for torchrl) was done beforehand and costs
them nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from benchmarks.buffers import (
    ACTIONS,
    ALPHA,
    BETA,
    EPSILON,
    GAMMA,
    LANES,
    PERIOD,
    Store,
    Stream,
    Workload,
    td_errors,
)


class SB3:
    """stable-baselines3: stacked observations, one vector step at a time."""

    def __init__(self, work: Workload, stream: Stream, *, lean: bool) -> None:
        from gymnasium.spaces import Box, Discrete
        from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

        self.name = "stable-baselines3" + (", memory-optimised" if lean else "")
        self._obs = stream.stacked
        low, high = (0, 255) if work.dtype == "uint8" else (-np.inf, np.inf)
        space = Box(low, high, self._obs.shape[2:], np.dtype(work.dtype).type)
        options: dict[str, Any] = {
            "device": "cpu",
            "n_envs": LANES,
            "optimize_memory_usage": lean,
            "handle_timeout_termination": not lean,
        }
        if work.n_step > 1:
            self._buffer: Any = NStepReplayBuffer(
                work.capacity,
                space,
                Discrete(ACTIONS),
                n_steps=work.n_step,
                gamma=GAMMA,
                **options,
            )
        else:
            self._buffer = ReplayBuffer(work.capacity, space, Discrete(ACTIONS), **options)
        self._stream = stream
        self._infos = [
            [{"TimeLimit.truncated": bool(cut)} for cut in step] for step in stream.truncated
        ]
        self._at = 0

    def append(self, steps: int) -> None:
        """One `add` per vector step; it takes no more at once."""
        stream, obs = self._stream, self._obs
        for _ in range(steps):
            at = self._at
            self._buffer.add(
                *(obs[at], obs[at + 1], stream.action[at], stream.reward[at]),
                *(stream.done[at], self._infos[at]),
            )
            self._at = (at + 1) % PERIOD

    def sample(self, size: int) -> tuple[Any, ...]:
        """As its DQN does."""
        got = self._buffer.sample(size)
        done = got.dones if got.discounts is None else (1 - got.dones) * got.discounts
        return got.observations, got.next_observations, got.rewards, done, got.actions


class Cpprb:
    """cpprb: steps of one environment, as its n-step and compression ask for it.

    Experience comes one vector step at a time. It is added so, or collected first into arrays of a
    chunk, which are then added at once; copying it there is part of the work.
    """

    def __init__(
        self,
        work: Workload,
        stream: Stream,
        *,
        compress: str = "",
        collect: bool = True,
        prioritized: bool = False,
    ) -> None:
        import cpprb

        self.name = "cpprb" + (f", {compress}" if compress else "")
        self.name += "" if collect else ", step by step"
        obs = np.moveaxis(stream.stacked, 1, 0)[:, :PERIOD].reshape(
            LANES * PERIOD, *stream.stacked.shape[2:]
        )
        self._obs = np.ascontiguousarray(np.moveaxis(obs, 1, -1) if work.frames > 1 else obs)
        fields: dict[str, Any] = {
            "obs": {"shape": self._obs.shape[1:], "dtype": np.dtype(work.dtype)},
            "act": {"dtype": np.int64},
            "rew": {},
            "done": {},
        }
        options: dict[str, Any] = {}
        if work.n_step > 1:
            options["Nstep"] = {
                "size": work.n_step,
                "gamma": GAMMA,
                "rew": "rew",
                "next": "next_obs",
            }
        if compress == "next_of":
            options["next_of"] = "obs"
        else:
            fields["next_obs"] = fields["obs"]
        if compress == "stack_compress":
            options["stack_compress"] = ["obs", "next_obs"]
        if prioritized:
            kind, options["alpha"], options["eps"] = cpprb.PrioritizedReplayBuffer, ALPHA, EPSILON
        else:
            kind = cpprb.ReplayBuffer
        self._buffer = kind(work.capacity, fields, **options)
        self._more = {"beta": BETA} if prioritized else {}
        flat = [np.ascontiguousarray(c.T).reshape(-1) for c in (stream.action, stream.reward)]
        self._action, self._reward = flat
        self._done = np.zeros(len(self._obs), np.float32)
        self._done[PERIOD - 1 :: PERIOD] = 1
        self._collect = collect
        self._first = self._columns(0, 1)
        self._at = 0
        self._chunks: dict[int, dict[str, Any]] = {}

    def _columns(self, start: int, stop: int) -> dict[str, Any]:
        # the observation after the last is any other: a right one would be no slower
        after = slice(start + 1, stop + 1) if stop < len(self._obs) else slice(start, stop)
        return {
            "obs": self._obs[start:stop],
            "next_obs": self._obs[after],
            "act": self._action[start:stop],
            "rew": self._reward[start:stop],
            "done": self._done[start:stop],
        }

    def append(self, steps: int) -> None:
        """Vector steps one by one, or as whole arrays; both cut where an episode ends."""
        count = steps * LANES
        start = self._at if self._at + count <= len(self._obs) else 0
        stop = self._at = start + count
        chunk = self._collected(steps, start) if self._collect else {}
        at_once = PERIOD if self._collect else LANES
        cuts = range((start // at_once + 1) * at_once, stop, at_once)
        for low, high in pairwise((start, *cuts, stop)):
            if self._collect:
                self._buffer.add(**{k: c[low - start : high - start] for k, c in chunk.items()})
            else:
                self._buffer.add(**self._columns(low, high))
            if high % PERIOD == 0:
                self._buffer.on_episode_end()

    def _collected(self, steps: int, start: int) -> dict[str, Any]:
        count = steps * LANES
        if steps not in self._chunks:
            new = {k: np.empty((count, *c.shape[1:]), c.dtype) for k, c in self._first.items()}
            self._chunks[steps] = new
        chunk = self._chunks[steps]
        for low in range(0, count, LANES):
            for name, column in self._columns(start + low, start + low + LANES).items():
                chunk[name][low : low + LANES] = column
        return chunk

    def sample(self, size: int) -> tuple[Any, ...]:
        """Arrays to tensors, which copies nothing."""
        self.got = got = self._buffer.sample(size, **self._more)
        names = ("obs", "next_obs", "rew", "done", "act", "weights")
        return tuple(torch.from_numpy(got[name]) for name in names if name in got)

    def sample_and_update(self, size: int) -> None:
        """As its documentation shows it."""
        self.sample(size)
        self._buffer.update_priorities(self.got["indexes"], np.abs(td_errors(size)))


class Tianshou:
    """tianshou: one ring per environment, single frames, stacked when sampled."""

    def __init__(
        self, work: Workload, stream: Stream, *, keep_next: bool, prioritized: bool = False
    ) -> None:
        from tianshou.algorithm.algorithm_base import Algorithm
        from tianshou.data import Batch, PrioritizedVectorReplayBuffer, VectorReplayBuffer

        self.name = "tianshou" + (", obs_next kept" if keep_next else "")
        options = {"stack_num": work.frames, "ignore_obs_next": not keep_next}
        if prioritized:
            self._buffer: Any = PrioritizedVectorReplayBuffer(
                work.capacity, LANES, alpha=ALPHA, beta=BETA, **options
            )
        else:
            self._buffer = VectorReplayBuffer(work.capacity, LANES, **options)
        self._batch, self._nstep = Batch, Algorithm.compute_nstep_return
        self._n, self._stream, self._at = work.n_step, stream, 0

    def append(self, steps: int) -> None:
        """One `add` per vector step; it takes no more at once."""
        s = self._stream
        for _ in range(steps):
            at = self._at
            self._buffer.add(
                self._batch(
                    obs=s.observation[at],
                    act=s.action[at],
                    rew=s.reward[at],
                    terminated=s.terminated[at],
                    truncated=s.truncated[at],
                    obs_next=s.observation[at + 1],
                    info=self._batch(),
                )
            )
            self._at = (at + 1) % PERIOD

    def sample(self, size: int) -> tuple[Any, ...]:
        """As its Q-learning does, without looking at next observations twice."""
        buffer = self._buffer
        if self._n == 1:
            batch, self.index = buffer.sample(size)
            next_obs, returns = batch.obs_next, batch.rew
        else:
            self.index = index = buffer.sample_indices(size)
            batch = self._batch(
                obs=buffer.get(index, "obs"), act=buffer.act[index], terminated=buffer.done[index]
            )
            if hasattr(buffer, "get_weight"):
                batch.weight = buffer.get_weight(index)

            def target(buffer: Any, last: Any) -> torch.Tensor:
                nonlocal next_obs
                next_obs = buffer.get(buffer.next(last), "obs")
                return torch.zeros(len(last), 1)

            next_obs = None
            returns = self._nstep(batch, buffer, index, target, GAMMA, self._n).returns
        columns = [batch.obs, next_obs, returns, batch.terminated, batch.act]
        if "weight" in batch.get_keys():
            columns.append(batch.weight)
        return tuple(torch.as_tensor(column) for column in columns)

    def sample_and_update(self, size: int) -> None:
        """As its learner does after an update."""
        self.sample(size)
        self._buffer.update_weight(self.index, td_errors(size))


class TorchRL:
    """torchrl: a tensor storage of whole transitions, stacked and n-step before they are stored.

    Vector steps are collected into a tensordict of a chunk, as its collectors do; copying them
    there is part of the work, and as cheap as it can be.
    """

    name = "torchrl"

    def __init__(self, work: Workload, stream: Stream) -> None:
        from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

        self._buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(work.capacity))
        self._full = sum(GAMMA**k for k in range(work.n_step))
        self._stream = stream
        self._at = 0
        self._chunks: dict[int, tuple[list[Any], Any]] = {}

    def append(self, steps: int) -> None:
        """Collect, then `extend` once."""
        if steps not in self._chunks:
            self._chunks[steps] = self._chunk(steps)
        columns, chunk = self._chunks[steps]
        s = self._stream
        for step in range(steps):
            at = self._at
            rows = slice(step * LANES, (step + 1) * LANES)
            for column, new in zip(
                columns,
                (s.stacked[at], s.stacked[at + 1], s.action[at], s.terminated[at], s.done[at]),
                strict=True,
            ):
                column[rows] = new
            self._at = (at + 1) % PERIOD
        self._buffer.extend(chunk)

    def _chunk(self, steps: int) -> tuple[list[Any], Any]:
        """Columns to fill, and the tensordict that looks at them."""
        from tensordict import TensorDict

        n, s = steps * LANES, self._stream
        columns = [
            np.zeros((n, *like.shape[2:]), like.dtype)
            for like in (s.stacked, s.stacked, s.action, s.terminated, s.done)
        ]
        obs, next_obs, action, terminated, done = (torch.from_numpy(c) for c in columns)
        after = {
            "observation": next_obs,
            "reward": torch.full((n, 1), self._full),
            "terminated": terminated[:, None],
            "done": done[:, None],
        }
        return columns, TensorDict({"observation": obs, "action": action, "next": after}, [n])

    def sample(self, size: int) -> tuple[Any, ...]:
        """A tensordict's tensors."""
        got = self._buffer.sample(size)
        after = got["next"]
        return (
            *(got["observation"], after["observation"], after["reward"]),
            *(after["terminated"], got["action"]),
        )


Make = Callable[[], Store]


def variants(work: Workload, stream: Stream) -> list[Make]:
    """Every way to hold `work` in the libraries that are installed."""
    made: list[Make] = []
    if find_spec("stable_baselines3"):
        made.append(lambda: SB3(work, stream, lean=False))
        if work.n_step == 1:  # its n-step buffer has no such option
            made.append(lambda: SB3(work, stream, lean=True))
    if find_spec("cpprb"):
        made.append(lambda: Cpprb(work, stream))
        if work.n_step == 1:  # n-step sums are of one environment's steps
            made.append(lambda: Cpprb(work, stream, collect=False))
        if work.n_step == 1:  # next_of and n-step leave no next observation in the sample
            made.append(lambda: Cpprb(work, stream, compress="next_of"))
        if work.frames > 1:
            made.append(lambda: Cpprb(work, stream, compress="stack_compress"))
    if find_spec("tianshou"):
        made.append(lambda: Tianshou(work, stream, keep_next=False))
        if work.frames == 1:
            made.append(lambda: Tianshou(work, stream, keep_next=True))
    if find_spec("torchrl"):
        made.append(lambda: TorchRL(work, stream))
    return made


def prioritized_variants(work: Workload, stream: Stream) -> list[Make]:
    """Those with priorities. (torchrl's do not load with this torch: a symbol is missing.)"""
    made: list[Make] = []
    if find_spec("cpprb"):
        made.append(lambda: Cpprb(work, stream, prioritized=True))
        if work.n_step == 1:
            made.append(lambda: Cpprb(work, stream, compress="next_of", prioritized=True))
        if work.frames > 1:
            made.append(lambda: Cpprb(work, stream, compress="stack_compress", prioritized=True))
    if find_spec("tianshou"):
        made.append(lambda: Tianshou(work, stream, keep_next=False, prioritized=True))
    return made
