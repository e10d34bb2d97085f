"""Acting: observations in, transitions out.

``Actor.step`` is one vector step and a plain call: it does not know which process it runs in, who
calls it, or what happens to the rows it writes. The frames it acts on are read back from the rows
it wrote, with the function the learner uses, so there is no second memory that could disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain import seeding
from tuitrain.envs.lanes.cycles import CycleLanes
from tuitrain.envs.lanes.turns import AnyLanes, TurnLanes
from tuitrain.envs.lanes.vector import Lanes
from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.saving.state import CannotRestore, SavesState
from tuitrain.learning.exploration import actor_epsilon, epsilon_at
from tuitrain.learning.policy import Policy
from tuitrain.metrics.phases import UNTIMED, Phases
from tuitrain.parts import the
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.saved_rows import Held, held
from tuitrain.seeding import GlobalRandom, stream
from tuitrain.workers.acting.ahead_lanes import AheadLanes
from tuitrain.workers.acting.policy_lanes import PolicyLanes
from tuitrain.workers.acting.row_audit import RowAudit
from tuitrain.workers.acting.row_figures import RowFigures
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import close_lanes
from tuitrain.workers.stores import Stores

Wait = Callable[[Callable[[], bool], str], None]


@dataclass(frozen=True)
class Committed:
    """What one chunk added: transitions per policy (in blueprint order) and environment steps."""

    inserts: tuple[int, ...]
    steps: int


class Actor:
    """Steps E environments with its own copy of the weights.

    A chunk is ``begin(ticket)``, then ``step()`` up to L times, then ``commit()``. Nothing that was
    stepped can be seen by a reader before ``commit``.

    Args:
        make: builds the environments; called under this actor's own global random state, since
            environments may draw from it as they are built.
        policies: acting networks by policy name; they are loaded by ``pull``.
        incarnation: how many were in its place before it in this session.

    Attributes:
        audit: of its rows.
        parts: by policy.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        stores: Stores,
        index: int,
        make: Callable[[], AnyLanes],
        policies: dict[str, Policy],
        incarnation: int = 0,
    ) -> None:
        self.index = index
        self.stores = stores
        self.epsilon = float("nan")
        self.begun_anew = ""
        """Why its environments did not take back the state they were saved in, if they did not."""
        self.steps = 0
        self._exploration = blueprint.config.exploration
        self._n_actors, self._envs_total = blueprint.n_actors, blueprint.envs_total
        self._absences = any(part.absences for part in blueprint.spec.policies.values())
        chooser, env_seeds, globals_seed = stream(
            blueprint.config.run.seed,
            "actor",
            index,
            seeding.incarnation(blueprint.base.stream, incarnation),
        ).spawn(3)
        self.random = GlobalRandom(globals_seed)
        """This actor's global random state; who runs nothing else in the process stays inside."""
        with self.random:
            self._lanes: AnyLanes = make()
            seeds = env_seeds.generate_state(self._lanes.n_envs)
            self._first = self._lanes.reset([int(s) for s in seeds]) or {}
        self.env_metrics: EnvMetrics | None = getattr(self._lanes, "metrics", None)
        """What the environments have told of themselves, for whoever reports."""
        # Told apart once: to look for a protocol in an object takes longer than a small step.
        lanes = self._lanes
        self._turning = lanes if isinstance(lanes, TurnLanes) else None
        self._cycling = lanes if isinstance(lanes, CycleLanes) else None
        self._stepping = None if isinstance(lanes, TurnLanes | CycleLanes) else lanes
        kind = the(PolicyLanes) if self._cycling is None else the(AheadLanes)
        generators = chooser.spawn(len(blueprint.policies))
        writers = {name: stores.replays[name].writer(index) for name in blueprint.policies}
        together = blueprint.actors_in_process * len(writers)
        self.parts = {
            name: kind(
                policies[name],
                writers[name],
                stores.weights[name],
                index,
                spec,
                blueprint.spec.n_frames,
                np.random.default_rng(seed),
                f"environment {blueprint.spec.env_id!r}, policy {name!r}",
                RowFigures(
                    writers[name],
                    spec,
                    self._stepping is not None,
                    together,
                    n_frames=blueprint.spec.n_frames,
                ),
            )
            for name, seed in zip(writers, generators, strict=True)
            for spec in [blueprint.spec.policies[name]]
        }
        self._ahead = {n: part for n, part in self.parts.items() if isinstance(part, AheadLanes)}
        self.audit = RowAudit(
            self.parts, blueprint.spec.n_frames, bool(self._ahead), blueprint.audit_share(1)
        )
        self._started = False
        self._in_chunk = 0
        self._ticket = Ticket(0, (0,) * len(self.parts))
        self._inserts_before = [0] * len(self.parts)

    def retune(self, blueprint: Blueprint) -> None:
        """Go on with changed keys of ``config.live``, between two steps."""
        self._exploration = blueprint.config.exploration

    def pull(self) -> None:
        """Take the newest published weights of every policy."""
        for part in self.parts.values():
            part.pull()

    def begin(self, ticket: Ticket, rows: int, wait: Wait | None = None) -> None:
        """Reserve slots for the next `rows` vector steps.

        Args:
            ticket: the counts that epsilon and row stamps start from.
            wait: how to wait for a reader that pins rows to be overwritten.
        """
        parts = self.parts
        for part in parts.values():
            part.writer.begin(rows, wait)
        if not self._started:
            for name, part in parts.items():
                part.put_first(self._first.get(name))
            self._started = True
        for part, stamp in zip(parts.values(), ticket.stamp_base, strict=True):
            part.begin(rows, stamp)
        self.audit.begin(rows)
        self._ticket = ticket
        self._in_chunk = 0
        self._inserts_before = [part.inserts for part in parts.values()]

    def step(self, phases: Phases = UNTIMED) -> None:
        """One step of every environment: stack, act, step; where agents take turns, one of each."""
        phases.enter("act")
        self.epsilon = self.planned_epsilon()
        if self._turning is not None:
            self._take_turn(self._turning, phases)
        elif self._cycling is not None:
            self._play_cycle(self._cycling, phases)
        elif self._stepping is not None:
            self._step_together(self._stepping, phases)
        self._in_chunk += 1

    def _step_together(self, lanes: Lanes, phases: Phases) -> None:
        k, epsilon = self._in_chunk, self.epsilon
        actions, out = {}, {}
        for name, part in self.parts.items():
            row = part.row(k)
            if k == self.audit.k:
                self.audit.watch(name)
            actions[name] = action = part.choose(row, epsilon)
            out[name] = part.outcome(row, action)
        phases.enter("env step")
        lanes.step(actions, out)

    def _take_turn(self, lanes: TurnLanes, phases: Phases) -> None:
        k, epsilon, parts = self._in_chunk, self.epsilon, self.parts

        def choose(policy: str, place: int) -> NDArray[np.int64]:
            phases.enter("act")
            part = parts[policy]
            if k == self.audit.k:
                self.audit.watch(policy, slice(place, None, part.n_agents))
            action = part.choose_in_turn(part.row(k), epsilon, place)
            phases.enter("env step")
            return action

        phases.enter("env step")
        lanes.turn(choose, {name: part.turn(part.row(k)) for name, part in parts.items()})

    def _play_cycle(self, lanes: CycleLanes, phases: Phases) -> None:
        k, epsilon, parts = self._in_chunk, self.epsilon, self._ahead

        def choose(policy: str, at: NDArray[np.int64]) -> NDArray[np.int64]:
            phases.enter("act")
            part = parts[policy]
            if k + 1 == self.audit.k:
                self.audit.watch(policy, at)
            action = part.choose_ahead(part.row(k), epsilon, at)
            phases.enter("env step")
            return action

        phases.enter("env step")
        lanes.cycle(choose, {name: part.cycle(part.row(k)) for name, part in parts.items()})
        for part in parts.values():
            part.move_on(part.row(k))

    def rollout(self, rows: int, tick: Callable[[], None], phases: Phases = UNTIMED) -> None:
        """`rows` steps under this actor's own global random state; `tick` between them."""
        with self.random:
            for _ in range(rows):
                self.step(phases)
                tick()
        phases.enter("commit")

    def commit(self, phases: Phases = UNTIMED) -> Committed:
        """Make the steps since ``begin`` readable.

        Raises:
            EnvError: something that was observed is not finite; nothing is made readable.
        """
        parts, rows = list(self.parts.values()), self._in_chunk
        # where agents take turns, nothing has been seen in the pending row yet
        seen = rows if self._turning is not None else rows + 1
        for part in parts:
            part.settle(part.row(rows))
            part.check_finite(part.row(0), part.row(seen))
        self.audit.note(rows, phases)
        for part in parts:
            part.writer.commit(part.row(rows))
        inserts = tuple(
            part.inserts - before for part, before in zip(parts, self._inserts_before, strict=True)
        )
        steps = self._environment_steps(inserts)
        self.steps += steps
        return Committed(inserts, steps)

    def _environment_steps(self, inserts: tuple[int, ...]) -> int:
        """Steps of single environments since ``begin``; resets do not count."""
        parts = list(self.parts.values())
        if not self._absences:
            # every agent of an environment makes one transition, so any policy's count them
            return inserts[0] // parts[0].n_agents
        live = parts[0].live(self._in_chunk)
        for part in parts[1:]:
            live |= part.live(self._in_chunk)
        return int(np.count_nonzero(live))

    def planned_epsilon(self) -> float:
        """Epsilon of the next step: a pure function of the global step count and this actor."""
        done = self._ticket.step_base + self._in_chunk * self._envs_total
        epsilon = epsilon_at(done, self._exploration)
        return actor_epsilon(epsilon, self.index, self._n_actors, self._exploration.ladder_alpha)

    # ---- to be looked at

    @property
    def device(self) -> str:
        """Where the parameters that it acts with are."""
        return ", ".join(sorted({part.policy.device for part in self.parts.values()}))

    def seen(self, policy: str) -> NDArray[Any] | None:
        """The newest observation in a policy's first lane; None before there is one.

        Where agents take turns, what lies in the pending row is not seen before their turn.
        """
        part = self.parts[policy]
        row = part.row(self._in_chunk) - (self._stepping is None)
        return part.first_lane(row) if self._started and row >= 0 else None

    def drawn(self) -> NDArray[np.uint8] | None:
        """The first world as its lanes draw it: uint8 [height, width, 3]; None if they do not."""
        render = getattr(self._lanes, "render", None)
        return render() if callable(render) else None

    # ---- to be saved and go on -------------------------------------------------------------------

    def state(self, *, environments: bool) -> dict[str, Any]:
        """All that this actor holds between two chunks but its rows: plain values and arrays.

        Args:
            environments: whether theirs can be saved too, and with it everything that makes no
                sense without: how far episodes are, what has been drawn.

        Raises:
            whatever an environment raises that cannot be saved in the state it is in.
        """
        state: dict[str, Any] = {
            "policies": {name: part.state() for name, part in self.parts.items()},
            "environments": None,
        }
        if environments and self._started and isinstance(self._lanes, SavesState):
            with self.random:
                state["environments"] = self._lanes.state()
            state["random"] = self.random.state()
            state["epsilon"] = self.epsilon
        return state

    @property
    def first(self) -> bool:
        """Whether none has been in its place before, so that its shards are empty."""
        return all(part.writer.first for part in self.parts.values())

    def rows(self) -> dict[str, Held]:
        """Per policy the columns of its shard, where they lie; nobody writes between two chunks."""
        return {name: held(part.writer) for name, part in self.parts.items()}

    def take_rows(
        self,
        state: Mapping[str, Any],
        fill: Callable[[str, Held], None],
    ) -> None:
        """Fill the empty shards with saved rows; new episodes begin behind them.

        Args:
            fill: called with a policy and the memory that ``rows`` describes, to be filled.
        """
        for name, part in self.parts.items():
            part.take_rows(state["policies"][name], partial(fill, name))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, in the midst of the episodes; the rows are here.

        Raises:
            CannotRestore: an environment does not take its state back.
        """
        if not isinstance(self._lanes, SavesState):
            raise CannotRestore("these environments have no state that could be put back")
        with self.random:
            self._lanes.restore(state["environments"])
        self.random.restore(state["random"])
        self.epsilon = state["epsilon"]
        for name, part in self.parts.items():
            part.restore(state["policies"][name])
        self._started = True

    def close(self) -> None:
        """Close the environments, which may write their last files then."""
        close_lanes(self._lanes)
