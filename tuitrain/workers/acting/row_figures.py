"""What an actor's own rows show of its environments, looked at many at once and seldom.

Whatever a row holds lies in the shard until it is overwritten, so nothing is done step by step: all
rows since the last look are taken together with each report, or before the first of them would be
overwritten. Only one thing is not in the shard, which actions were drawn at random; it is noted of
some chunks, until it is certain that actions matter. So long it is the clock that says of how many:
what followed upon an action takes time to look at. Reads rows that their only writer has settled;
changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.spec import PolicySpec
from tuitrain.replay import first_seen
from tuitrain.replay.audit import Budget
from tuitrain.replay.entries import pooled, some
from tuitrain.replay.layout import ABSENT, BOUNDARY
from tuitrain.replay.seen import tell_first_seen
from tuitrain.replay.shard import ShardWriter
from tuitrain.replay.window import Int, cells
from tuitrain.workers.acting.effects import FIRST_ROWS, PROVEN, SEEN, ActionEffect
from tuitrain.workers.acting.kept import Kept

NOTED_CELLS, NOTED_NUMBERS = 8192, 1 << 20
"""Between two looks nothing more is noted once there are so many rows of single lanes, or so many
numbers in them."""
LOOK_ROWS = 8192
"""So many rows are looked at together at most, however long nothing is reported."""
COMPARED = 64
"""Numbers of two observations that are compared first."""
RESETS_LOOKED = 256
"""Of a look, in which numbers are compared one by one."""

CHANGES_LOOKED, CHANGES_NUMBERS, UNCHANGED_ROWS = 1024, 1 << 20, 4096
"""Of a look, in which observations are compared with those after them until one was another: so
many rows and numbers at most. And so many rows, in several looks, without any are enough to say."""

SHARE = 0.006
"""At most so much of an actor's time goes into what follows upon actions."""
GIVEN_S = 1.0
"""Besides, once, for each policy in each actor: so it is soon clear whether actions matter, or many
rows say that they do not."""
TOGETHER_ROWS, TOGETHER_NUMBERS = 1024, 1 << 17
"""So many rows at most, or so many numbers, are worked on together: they shall stay in the caches,
and leave there some of what the actor needs."""


class RowFigures:
    """Figures of one policy's rows in one actor.

    Args:
        writer: of these rows.
        spec: of the policy.
        begins_together: what is seen first in an episode depends on nobody's action: agents see it
            when their environment is reset.
        n_frames: that are stacked.
        together: so many work in this process, and share the time for what follows upon actions.
        clock: seconds.
    """

    def __init__(
        self,
        writer: ShardWriter,
        spec: PolicySpec,
        begins_together: bool,
        together: int = 1,
        clock: Callable[[], float] = time.perf_counter,
        n_frames: int = 1,
    ) -> None:
        self._writer = writer
        self._n_frames = n_frames
        self._looked: int | None = None
        """The last row that has been looked at; before the first look, the first one there is."""
        self._looks = 0
        self._behind = 0
        """How many rows before the first one that is written here have not been looked at."""
        self._clock = clock
        self._budget = Budget(SHARE / together, clock(), given_s=GIVEN_S)
        numbers = prod(spec.observation_shape)
        self._numbers_at_once = max(1, TOGETHER_NUMBERS // numbers)
        self._changes_at_once = max(1, min(CHANGES_LOOKED, CHANGES_NUMBERS // numbers))
        self._changes, self._unchanged = False, 0
        self._effect: ActionEffect | None = None
        if spec.n_actions > 1:
            places = np.indices(spec.observation_shape)  # [axes, *shape]
            self._effect = ActionEffect(spec.n_actions, pooled(places, SEEN).T, numbers)
        self._p: float | None = None
        numbers = max(spec.n_actions, min(4 * SEEN, numbers))  # adding them up takes time too
        self._rows_at_once = min(TOGETHER_ROWS, max(FIRST_ROWS, TOGETHER_NUMBERS // numbers))
        self._wanted = min(NOTED_CELLS, NOTED_NUMBERS // numbers) if self._effect else 0
        self._noted: list[tuple[int, NDArray[np.bool_]]] = []
        self._noted_cells = 0
        self._resets_unchanged = 0
        self._kept = Kept() if begins_together else None
        self._reward_min, self._reward_max = float("inf"), float("-inf")
        self._agents, self._come_and_go = len(spec.agents), spec.absences
        self._first_seen = first_seen.NOTHING if begins_together else None

    def begin(self, head: int, rows: int) -> NDArray[np.bool_] | None:
        """Rows from `head` on are about to be written; older ones may go.

        Returns:
            Where to note which actions are drawn at random: bool [rows + 1, lanes], all False; None
            if that is not wanted of this chunk.
        """
        if self._looked is None:
            self._looked = head - self._behind
        if head + rows + 1 - self._looked > min(self._writer.ring.rows, LOOK_ROWS):
            self._look(head)
        if self._noted_cells >= self._wanted or not self._budget.allows(self._clock()):
            return None
        noted = np.zeros((rows + 1, self._writer.ring.lanes), np.bool_)
        self._noted.append((head, noted))
        self._noted_cells += noted.size
        return noted

    def take(self) -> dict[str, float]:
        """Fields of a `train` or `rows` record, and start anew; the test of actions goes on.

        Of rewards there are none if no row has come.

        What episodes have begun with is shown to the evaluator.
        """
        self._look(self._writer.head)
        if self._first_seen is not None:
            tell_first_seen(self._writer.columns, self._writer.shard, self._first_seen)
        told: dict[str, float] = {"resets_unchanged": self._resets_unchanged}
        if self._first_seen is not None:
            told["begins_differ"] = int(first_seen.differ(self._first_seen))
        if self._changes or self._unchanged >= UNCHANGED_ROWS:
            told["changes_within"] = int(self._changes)
        if self._kept is not None and self._kept.resets:
            told["resets_kept_share"] = self._kept.share()
        if self._reward_min <= self._reward_max:
            told |= {"reward_min": self._reward_min, "reward_max": self._reward_max}
        if self._effect is not None:
            told["action_effect_rows"] = self._effect.rows
            told["action_effect_rows_wanted"] = self._effect.wanted
            if self._p is not None:
                told["action_effect_p"] = self._p
        self._resets_unchanged = 0
        self._reward_min, self._reward_max = float("inf"), float("-inf")
        return told

    def state(self) -> dict[str, Any]:
        """What has not been reported yet, as plain values.

        The test of actions, what episodes have begun with and whether observations change belong to
        this process: whoever goes on begins them anew.
        """
        return {
            "behind": 0 if self._looked is None else self._writer.head - self._looked,
            "looks": self._looks,
            "resets_unchanged": self._resets_unchanged,
            "rewards": [self._reward_min, self._reward_max],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, before the next ``begin``; the rows are here."""
        self._looked = None
        self._noted.clear()
        self._noted_cells = 0
        self._behind, self._looks = state["behind"], state["looks"]
        self._resets_unchanged = state["resets_unchanged"]
        self._reward_min, self._reward_max = state["rewards"]

    def _look(self, head: int) -> None:
        """Look at the rows before `head`; at the last of them next time, with what follows it.

        All are this writer's own, so none is cut off from the one before. One that has moved on,
        while its agent waits, looks like an end; but the row after it begins no episode.
        """
        if self._looked is None or head - self._looked < 2:
            return
        rows = np.arange(self._looked, head)
        columns, slots = self._writer.columns, rows % self._writer.ring.rows
        flags = columns.flags[self._writer.shard].take(slots, axis=0)
        age = columns.age[self._writer.shard].take(slots, axis=0)
        reward = columns.reward[self._writer.shard].take(slots[:-1], axis=0)
        live = flags & (BOUNDARY | ABSENT) == 0
        earned = reward[live[:-1]]
        if earned.size:
            self._reward_min = min(self._reward_min, float(earned.min()))
            self._reward_max = max(self._reward_max, float(earned.max()))
        begins = (age == 0) & live
        begins[0] &= self._looks == 0
        after_end = flags[:-1] & BOUNDARY != 0
        anew = begins[1:] & after_end
        self._compare_resets(*self._cells(rows, anew))
        if not self._changes:
            self._look_for_changes(*self._cells(rows, live[:-1]))
        if self._kept is not None:
            self._look_for_kept(self._kept, rows, age, anew)
        if self._first_seen is not None:
            if self._come_and_go:  # who was absent before may see what others have done
                begins[1:] &= after_end
            table = self._table_of_first(rows, begins)
            self._first_seen = first_seen.together([self._first_seen, table])
        if self._noted:
            drawn = np.zeros_like(after_end)
            for first, noted in self._noted:
                at = first - self._looked
                many = max(0, min(len(noted) - 1, len(drawn) - at))
                drawn[at : at + many] = noted[:many]
            self._follow_actions(rows, age, live, drawn & live[:-1])
            self._noted = [part for part in self._noted if part[0] >= head]  # being written
            self._noted_cells = sum(noted.size for _, noted in self._noted)
        self._looked = head - 1
        self._looks += 1

    def _cells(self, rows: Int, where: NDArray[np.bool_]) -> tuple[Int, Int]:
        """Cells of rows where something is so, bool [rows - 1, lanes], and of the rows after."""
        ring, shard = self._writer.ring, self._writer.shard
        # np.nonzero would take thirty times as long
        k, lanes = np.divmod(where.ravel().nonzero()[0], ring.lanes)
        return cells(ring, shard, rows[k], lanes), cells(ring, shard, rows[k + 1], lanes)

    def _table_of_first(self, rows: Int, begins: NDArray[np.bool_]) -> first_seen.Table:
        """Of first observations; those of an environment's agents are one, their mean."""
        ring, agents = self._writer.ring, self._agents
        together = begins.reshape(len(rows), -1, agents).all(2)
        k, envs = np.divmod(together.ravel().nonzero()[0], together.shape[1])
        lanes = envs[:, None] * agents + np.arange(agents)
        at = cells(ring, self._writer.shard, rows[k][:, None], lanes)
        seen = some(self._writer.columns.flat_observation, first_seen.ENTRIES)[at].mean(
            1, dtype=np.float64
        )
        return first_seen.table_of(seen)

    def _compare_resets(self, last: Int, first: Int) -> None:
        """Count where the final observation of an episode is the first one of the next."""
        seen = self._writer.columns.flat_observation
        part = some(seen, COMPARED)
        alike = (part[last] == part[first]).all(1)
        last, first = last[alike], first[alike]
        if len(last):
            same = (seen[last] == seen[first]).reshape(len(last), -1).all(1)
            self._resets_unchanged += int(np.count_nonzero(same))

    def _look_for_changes(self, now: Int, after: Int) -> None:
        """Whether an observation is another than the one before it in its episode, anywhere."""
        few = slice(None, None, -(-len(now) // self._changes_at_once) or 1)
        seen = self._writer.columns.flat_observation
        now, after = now[few], after[few]
        self._changes = bool((seen[now] != seen[after]).any())
        self._unchanged += len(now)

    def _look_for_kept(self, kept: Kept, rows: Int, age: Int, anew: NDArray[np.bool_]) -> None:
        """Compare episodes that begin after rows, bool [rows - 1, lanes], with those before.

        Of one that is longer than there are rows it is not known any more how it has begun.
        """
        ring, shard = self._writer.ring, self._writer.shard
        k, lanes = np.divmod(anew.ravel().nonzero()[0][:RESETS_LOOKED], ring.lanes)
        steps = age[k, lanes].astype(np.int64)
        known = rows[k] - steps >= self._writer.tail
        k, lanes, steps = k[known], lanes[known], steps[known]
        seen = some(self._writer.columns.flat_observation, COMPARED)
        begun, ended, first = (
            seen[cells(ring, shard, row, lanes)] for row in (rows[k] - steps, rows[k], rows[k + 1])
        )
        kept.add(begun, ended, first)

    def _follow_actions(
        self, rows: Int, age: Int, live: NDArray[np.bool_], drawn: NDArray[np.bool_]
    ) -> None:
        """Take in the actions that were drawn at random, and what came of them in two rows."""
        assert self._effect is not None
        began = self._clock()
        k, lanes = np.divmod(drawn.ravel().nonzero()[0], drawn.shape[1])
        goes_on = live[k + 1, lanes] & (k + 2 < len(rows))
        # the one before the first may be overwritten
        went_on = (age[k, lanes] > 0) & (k > 0)
        for first in range(0, len(k), self._rows_at_once):
            some_rows = slice(first, first + self._rows_at_once)
            of_them = (lanes[some_rows], went_on[some_rows], goes_on[some_rows])
            self._follow(self._effect, rows[k[some_rows]], *of_them)
        self._p = self._effect.p_value()
        if self._p is not None and self._p <= PROVEN:
            self._wanted = 0
        self._budget.spend(self._clock() - began)

    def _follow(
        self,
        effect: ActionEffect,
        row: Int,
        lanes: Int,
        went_on: NDArray[np.bool_],
        goes_on: NDArray[np.bool_],
    ) -> None:
        """Take in single lanes of rows, [n] each; of those that go on, two rows that follow.

        And of those that went on, where frames are stacked, the row before.
        """
        columns, ring, shard = self._writer.columns, self._writer.ring, self._writer.shard
        now, after = (cells(ring, shard, row + at, lanes) for at in (0, 1))
        later = np.where(goes_on, cells(ring, shard, row + 2, lanes), after)
        outcome = np.zeros((len(now), 4), np.float32)
        outcome[:, 0] = columns.flat_reward[now]
        outcome[goes_on, 1] = columns.flat_reward[after[goes_on]]
        outcome[:, 2] = columns.flat_terminated[now]
        outcome[goes_on, 3] = columns.flat_terminated[after[goes_on]]
        cells_of = [now, after, later]
        if self._n_frames > 1:
            cells_of.append(np.where(went_on, cells(ring, shard, row - 1, lanes), now))
        before, then, at_last, *previous = self._seen(*cells_of)
        effect.add(
            before,
            then,
            at_last,
            columns.flat_action[now],
            outcome,
            None if columns.flat_legal is None else columns.flat_legal[now],
            previous[0] if previous else None,
        )

    def _seen(self, *cells_of: Int) -> Sequence[NDArray[np.float32]]:
        """Numbers of what lies in these cells, [n, k] each; every cell is looked at once."""
        seen, most = self._writer.columns.flat_observation, self._numbers_at_once
        each, where = np.unique(np.concatenate(cells_of), return_inverse=True)
        parts = [pooled(seen[each[at : at + most]], SEEN) for at in range(0, len(each), most)]
        return np.split(np.concatenate(parts)[where], len(cells_of))
