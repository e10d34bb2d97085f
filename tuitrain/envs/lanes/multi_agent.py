"""Parallel multi-agent environments as lanes: PettingZoo's parallel API, by its shape.

PettingZoo itself is not needed: anything with `possible_agents`, `observation_space(agent)`,
`action_space(agent)`, `reset(seed=, options=)` and `step({agent: action})` will do. Agents may end
before others, come later or come back; an agent goes by its own termination or truncation. Where
the environment has `agents`, these are the ones that act next; otherwise those that it sends an
observation. Its episode is over when nobody is left, and autoreset is NEXT_STEP, exactly as for
single-agent lanes (see ``vector.py``). Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs import masks
from tuitrain.envs.grouping import PolicyMap, agents_of, spec_of_agents
from tuitrain.envs.lanes.copies import build_copies, close_all, with_masks_of_infos
from tuitrain.envs.lanes.vector import LaneStep, checked_seeds, empty_step
from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.observations import Write, writer_of
from tuitrain.envs.saving.state import env_state, flags_from, restore_envs
from tuitrain.envs.spaces import EnvError, check_flag, check_reward, checked_actions
from tuitrain.envs.spec import EnvSpec


def is_parallel(env: Any) -> bool:
    """Whether `env` looks like a parallel multi-agent environment."""
    return (
        hasattr(env, "possible_agents")
        and callable(getattr(env, "observation_space", None))
        and callable(getattr(env, "action_space", None))
        and callable(getattr(env, "step", None))
        and not hasattr(env, "agent_iter")
    )


class _Place(NamedTuple):
    """One agent: its name, the environment's own object for it, and where its rows are."""

    name: str
    agent: Any
    policy: str
    offset: int
    """Among its policy's agents, `stride` of them."""
    stride: int
    write: Write


class ParallelLanes:
    """``Lanes`` over copies of a parallel multi-agent environment, stepped in turn.

    Attributes:
        metrics: what the environments have told of their agents.
    """

    def __init__(
        self,
        factories: Sequence[Callable[[], Any]],
        env_id: str,
        n_frames: int,
        policy_map: PolicyMap,
        told: EnvSpec | None = None,
    ) -> None:
        """Build every copy.

        Args:
            told: see ``copies.with_masks_of_infos``.

        Raises:
            EnvError: see ``spec_of_agents`` and ``build_copies``.
            UnsupportedSpace: an agent's spaces are not supported.
        """
        self._where = where = f"environment {env_id!r}"

        def spec_of(env: Any) -> EnvSpec:
            return spec_of_agents(env, env_id, n_frames, policy_map)

        self._envs, spec = build_copies(factories, where, spec_of)
        agents = agents_of(self._envs[0])
        self.spec = with_masks_of_infos(spec, told, self._envs, _tell)
        self._mask_is_seen = {name: policy.masked for name, policy in spec.policies.items()}
        self._places = [
            _Place(name, agents[name], policy, offset, len(part.agents), writer_of(part))
            for policy, part in self.spec.policies.items()
            for offset, name in enumerate(part.agents)
        ]
        self.n_envs = len(self._envs)
        self._alive = [[False] * len(self._places) for _ in self._envs]
        self.metrics = EnvMetrics()
        self._own = {
            name: empty_step(policy, self.n_envs) for name, policy in self.spec.policies.items()
        }

    def reset(self, seeds: Sequence[int]) -> Mapping[str, LaneStep]:
        """See ``Lanes.reset``."""
        for index, seed in enumerate(checked_seeds(seeds, self.n_envs)):
            self._reset_one(index, seed, self._own)
        return self._own

    def step(
        self, actions: Mapping[str, NDArray[np.int64]], out: Mapping[str, LaneStep] | None = None
    ) -> Mapping[str, LaneStep]:
        """See ``Lanes.step``.

        Raises:
            EnvError: an agent goes without having ended, or something is not what it must be.
        """
        chosen = {
            name: checked_actions(
                actions[name], self.n_envs * len(policy.agents), policy.n_actions, name
            )
            for name, policy in self.spec.policies.items()
        }
        into = self._own if out is None else out
        for index, alive in enumerate(self._alive):
            if any(alive):
                self._step_one(index, chosen, into)
            else:
                self._reset_one(index, None, into)
        return into

    def state(self) -> dict[str, Any]:
        """See ``state.SavesState``."""
        return {
            "kind": "parallel",
            "envs": [env_state(env) for env in self._envs],
            "alive": [list(alive) for alive in self._alive],
            "metrics": self.metrics.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See ``state.SavesState``."""
        restore_envs(self._envs, state, "parallel")
        alive = flags_from(state["alive"], (self.n_envs, len(self._places)), "alive")
        self._alive = alive.tolist()
        self.metrics.restore(state["metrics"])

    def close(self) -> None:
        """See ``Lanes.close``."""
        close_all(self._envs)

    def _reset_one(self, index: int, seed: int | None, into: Mapping[str, LaneStep]) -> None:
        result = self._envs[index].reset(seed=seed, options=None)
        if not isinstance(result, tuple) or len(result) != 2:
            raise EnvError(f"{self._where}: reset() must return (observations, infos).")
        observations, infos = result
        listed, alive = self._listed(index), self._alive[index]
        for number, place in enumerate(self._places):
            step, lane = into[place.policy], index * place.stride + place.offset
            step.reward[lane] = 0.0
            step.terminated[lane] = step.truncated[lane] = False
            alive[number] = (
                place.name in listed if listed is not None else place.agent in observations
            )
            if alive[number]:
                self._see(place, lane, step, observations, infos, "reset()", ended=False)
            else:
                _leave_out(step, lane)
        if not any(alive):
            raise EnvError(f"{self._where}: after reset() there is no agent.")

    def _step_one(
        self, index: int, chosen: Mapping[str, list[int]], into: Mapping[str, LaneStep]
    ) -> None:
        alive = self._alive[index]
        actions = {
            place.agent: chosen[place.policy][index * place.stride + place.offset]
            for place, acts in zip(self._places, alive, strict=True)
            if acts
        }
        result = self._envs[index].step(actions)
        if not isinstance(result, tuple) or len(result) != 5:
            raise EnvError(
                f"{self._where}: step() must return (observations, rewards, terminations, "
                "truncations, infos)."
            )
        observations, rewards, terminations, truncations, infos = result
        listed = self._listed(index)
        for number, place in enumerate(self._places):
            step, lane = into[place.policy], index * place.stride + place.offset
            key = place.agent
            if alive[number]:
                try:
                    reward, ends, cut = rewards[key], terminations[key], truncations[key]
                except (KeyError, TypeError):
                    told = rewards, terminations, truncations
                    raise self._untold(place, told) from None
                step.reward[lane] = check_reward(reward, self._at(place, "step()"))
                if ends or cut:
                    at = self._at(place, "step()")
                    ends = check_flag(ends, "its termination", at)
                    cut = check_flag(cut, "its truncation", at)
                step.terminated[lane], step.truncated[lane] = ends, cut
                goes_on = alive[number] = not (ends or cut)
                if goes_on and listed is not None and place.name not in listed:
                    raise EnvError(
                        f"{self._at(place, 'step()')}: it is no longer in env.agents, though "
                        f"neither terminated nor truncated. {_GOING}"
                    )
                self._see(place, lane, step, observations, infos, "step()", ended=bool(ends))
                if infos and (info := _of(infos, key)):
                    self.metrics.add(place.policy, info)
                continue
            step.reward[lane] = 0.0
            step.terminated[lane] = step.truncated[lane] = False
            if (
                key in observations
                and (listed is None or place.name in listed)
                and not (_of(terminations, key) or _of(truncations, key))
            ):
                alive[number] = True
                self._see(place, lane, step, observations, infos, "step()", ended=False)
            else:
                _leave_out(step, lane)

    def _see(
        self,
        place: _Place,
        lane: int,
        step: LaneStep,
        observations: Any,
        infos: Any,
        call: str,
        *,
        ended: bool,
    ) -> None:
        """Write what an agent observes, and what it may do unless it has come to an end."""
        try:
            observation = observations[place.agent]
        except KeyError:
            why = "which acted" if call == "step()" else "which is in env.agents"
            raise EnvError(
                f"{self._at(place, call)}: observations has no entry for {place.name!r}, {why}. "
                + (_GOING if call == "step()" else "Who is there must see something.")
            ) from None
        place.write(step.observation, lane, observation, self._at(place, call))
        assert step.absent is not None
        step.absent[lane] = False
        legal = step.legal
        if legal is None:
            if infos and masks.mask_in(_of(infos, place.agent)) is not None:
                raise masks.unexpected(self._at(place, call))
        elif ended:
            legal[lane] = True
        else:
            said = observation if self._mask_is_seen[place.policy] else _of(infos, place.agent)
            masks.write_mask(legal[lane], masks.mask_in(said), self._at(place, call))

    def _listed(self, index: int) -> set[str] | None:
        """Names of the agents that act next, if the environment says so."""
        agents = getattr(self._envs[index], "agents", None)
        return None if agents is None else {str(agent) for agent in agents}

    def _at(self, place: _Place, call: str) -> str:
        return f"{self._where}, agent {place.name!r}, {call}"

    def _untold(self, place: _Place, told: tuple[Any, Any, Any]) -> EnvError:
        """Which of the dictionaries of a step lack an agent."""
        names = "rewards", "terminations", "truncations"
        at = self._at(place, "step()")
        for name, given in zip(names, told, strict=True):
            if not isinstance(given, Mapping):
                return EnvError(f"{at}: {name} is {given!r:.80}, not a dictionary by agent.")
        lack = [n for n, given in zip(names, told, strict=True) if place.agent not in given]
        return EnvError(
            f"{at}: {' and '.join(lack)} {'have' if len(lack) > 1 else 'has'} no entry for "
            f"{place.name!r}, which acted." + (f" {_GOING}" if len(lack) == len(names) else "")
        )


_GOING = (
    "An agent that goes must be terminated or truncated in its last step, with a final observation."
)


def _tell(env: Any) -> Iterator[Mapping[str, Any]]:
    """See ``copies.Tell``."""
    while True:
        result = env.reset(seed=0, options=None)
        if not isinstance(result, tuple) or len(result) != 2:
            return  # refused where it is played in earnest
        observations, infos = result
        if not _acting(env, observations):
            return
        ends: Any = {}
        cuts: Any = {}
        while acting := [
            a for a in _acting(env, observations) if not (_of(ends, a) or _of(cuts, a))
        ]:
            yield {str(agent): _of(infos, agent) for agent in acting}
            actions = {a: masks.any_legal(_of(observations, a), _of(infos, a)) for a in acting}
            observations, _, ends, cuts, infos = env.step(actions)


def _acting(env: Any, observations: Any) -> Iterable[Any]:
    """Those who act next, the environment's own objects."""
    agents: Iterable[Any] | None = getattr(env, "agents", None)
    return observations if agents is None else agents


def _of(told: Any, agent: Any) -> Any:
    """What a dictionary by agent says about one; None if nothing."""
    return told.get(agent) if isinstance(told, dict) else None


def _leave_out(step: LaneStep, lane: int) -> None:
    """A row in which there is no such agent; always the same bytes."""
    assert step.absent is not None
    step.observation[lane] = 0
    step.absent[lane] = True
    if step.legal is not None:
        step.legal[lane] = True
