"""Prioritized draws: in proportion, corrected by weights, and never of what is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.replay.helpers import Feeder, layout
from tests.unit.replay.tagged import GAMMA, crossings, filled
from tuitrain.replay.buffer import NothingToSample, PolicyReplay, PriorityRule, ReplayReader
from tuitrain.replay.priority import SumTree

RULE = PriorityRule(alpha=0.6, beta_start=0.4, epsilon=1e-3)


def prioritized(
    chunks: int = 40, **changes: Any
) -> tuple[PolicyReplay, list[Feeder], ReplayReader]:
    store, feeders = filled(layout(**changes), chunks)
    return store, feeders, store.reader(0, GAMMA, RULE)


def proportional(counts: np.ndarray[Any, Any], shares: np.ndarray[Any, Any]) -> bool:
    """Chi-square against the shares, with a limit that honest draws pass nearly always."""
    expected = counts.sum() * shares / shares.sum()
    seen = expected > 0
    assert not counts[~seen].any()
    chi2 = ((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum()
    degrees = int(seen.sum()) - 1
    return bool(chi2 < degrees + 4 * (2 * degrees) ** 0.5)


# ---- the sum tree ------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from([1, 5, 63, 64, 65, 300, 5000]),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-12, 1.0, 1e9]),
)
def test_the_tree_finds_what_a_running_sum_finds(size: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    tree, plain = SumTree(size), np.zeros(size)
    for _ in range(6):
        leaves = rng.integers(0, size, rng.integers(1, 200))
        values = rng.random(len(leaves)) * scale * (rng.random(len(leaves)) < 0.7)
        tree.set(leaves, values)
        for leaf, value in zip(leaves, values, strict=True):
            plain[leaf] = value  # of equal leaves the last counts
        start = int(rng.integers(0, size))
        stop = int(rng.integers(start, size + 1))
        if rng.random() < 0.3:
            tree.clear(start, stop)
            plain[start:stop] = 0.0
    assert (tree.get(np.arange(size)) == plain).all()
    assert tree.total == pytest.approx(plain.sum(), rel=1e-12)
    if tree.total == 0.0:
        return
    mass = np.concatenate(
        [rng.random(500) * tree.total, [0.0, tree.total, np.nextafter(tree.total, 0)]]
    )
    found = tree.find(mass.copy())
    assert (plain[found] > 0).all(), "a leaf of value 0 was found"
    ends = plain.cumsum()
    slack = 1e-9 * ends[-1]
    assert (ends[found] >= mass - slack).all()
    assert (ends[found] - plain[found] <= mass + slack).all()


def test_equal_values_give_equal_bits_in_whatever_order_they_came() -> None:
    rng = np.random.default_rng(0)
    values, order = rng.random(3000), rng.permutation(3000)
    one, two = SumTree(3000), SumTree(3000)
    one.set(np.arange(3000), values)
    for part in np.array_split(order, 70):
        two.set(part, rng.random(len(part)))
        two.set(part, values[part])
    assert one.total == two.total
    mass = rng.random(1000) * one.total
    assert (one.find(mass.copy()) == two.find(mass.copy())).all()


# ---- draws -------------------------------------------------------------------------------------


def test_draws_match_priorities() -> None:
    store, _, reader = prioritized(capacity=400)
    window = reader.pin()
    everything = reader.sample(window, 4000, np.random.default_rng(0))
    known, at = np.unique(everything.cells, return_index=True)
    assert len(known) > 60
    errors = np.random.default_rng(1).gamma(0.5, 2.0, len(known)) - 1.0
    reader.write_priorities(known, everything.rows[at], errors)
    shares = np.full(store.columns.flat_reward.size, 0.0)
    shares[reader._index.positions(np.arange(window.sampleable))] = 1.0  # what nobody has drawn
    shares[known] = (np.abs(errors) + RULE.epsilon) ** RULE.alpha
    rng = np.random.default_rng(2)
    counts = np.zeros_like(shares)
    for _ in range(60):
        np.add.at(counts, reader.sample(window, 100, rng, batches=5).cells, 1)
    assert proportional(counts, shares)
    assert not proportional(counts, np.where(shares > 0, 1.0, 0.0)), "the test could not fail"


def test_new_transitions_get_the_greatest_priority_and_old_ones_leave() -> None:
    _, feeders, reader = prioritized()
    rng = np.random.default_rng(0)
    batch = reader.sample(reader.pin(), 300, rng)
    reader.write_priorities(batch.cells, batch.rows, np.full(300, 7.0))
    greatest = (7.0 + RULE.epsilon) ** RULE.alpha
    tree = reader._priorities._tree
    before = {int(n) for n in np.flatnonzero(tree._leaves)}
    for feed in feeders:
        feed.write_chunk(4)
    window = reader.pin()
    after = {int(n) for n in np.flatnonzero(tree._leaves)}
    assert len(after) == window.sampleable
    assert before - after, "nothing left"
    assert after - before, "nothing entered"
    assert np.allclose(tree.get(np.array(sorted(after - before))), greatest)
    assert after == set(reader._index.positions(np.arange(window.sampleable)).tolist())
    assert crossings(reader, reader.sample(window, 300, rng), 2) == 0


def test_late_priorities_are_dropped_and_counted() -> None:
    store, feeders, reader = prioritized()
    batch = reader.sample(reader.pin(), 400, np.random.default_rng(0))
    cells, rows = batch.cells.copy(), batch.rows.copy()
    for _ in range(3):  # two chunks are less than a ring
        for feed in feeders:
            reader.unpin()
            feed.write_chunk(4)
    window = reader.pin()
    shard = cells // (store.layout.ring_rows * store.layout.lanes)
    gone = rows < window.low[shard]
    assert 0 < gone.sum() < 400
    before = reader._priorities._tree._leaves.copy()
    reader.write_priorities(cells, rows, np.full(400, 50.0))
    assert reader.stale_priorities == gone.sum()
    after = reader._priorities._tree._leaves
    assert (after[cells[gone]] == before[cells[gone]]).all() or set(cells[gone]) & set(cells[~gone])
    assert np.allclose(after[cells[~gone]], (50.0 + RULE.epsilon) ** RULE.alpha)


def test_a_row_that_took_the_place_of_another_does_not_get_its_priority() -> None:
    """The ring goes all the way round between draw and update."""
    store, feeders, reader = prioritized(n_actors=1, envs_per_actor=1)
    batch = reader.sample(reader.pin(), 50, np.random.default_rng(0))
    cells, rows = batch.cells.copy(), batch.rows.copy()
    goal = feeders[0].row + store.layout.ring_rows
    while feeders[0].row < goal:
        reader.unpin()
        feeders[0].write_chunk(min(4, goal - feeders[0].row))
    reader.pin()
    tree = reader._priorities._tree
    assert (tree.get(cells) > 0).any(), "no cell is in use again, so nothing is shown"
    before = tree._leaves.copy()
    reader.write_priorities(cells, rows, np.full(50, 9.0))
    assert reader.stale_priorities == 50
    assert (tree._leaves == before).all()


def test_weights_undo_the_bias() -> None:
    """With beta 1 the weighted mean over prioritized draws is the mean over all transitions."""
    _, _, reader = prioritized(capacity=400)
    window = reader.pin()
    rng = np.random.default_rng(0)
    batch = reader.sample(window, 4000, rng)
    reader.write_priorities(batch.cells, batch.rows, rng.gamma(0.5, 2.0, 4000))
    truth = reader._index.returns[reader._index.positions(np.arange(window.sampleable))].mean()
    weighted, total, plain = 0.0, 0.0, []
    for _ in range(100):
        batch = reader.sample(window, 1000, rng, beta=1.0)
        assert batch.weights is not None
        assert batch.weights.max() == 1.0
        # undo the scaling by the greatest weight of the batch: N P of that transition
        tree = reader._priorities._tree
        share = tree.get(batch.cells) / tree.total * window.sampleable
        raw = batch.weights * (1 / share).max()
        weighted += float((raw * batch.returns).sum())
        total += float(raw.sum())
        plain.append(float(batch.returns.mean()))
    assert weighted / total == pytest.approx(truth, rel=0.02)
    assert abs(np.mean(plain) / truth - 1) > 0.03, "the draws were not biased at all"


def test_each_batch_of_a_draw_is_stratified_and_scaled_for_itself() -> None:
    _, _, reader = prioritized(capacity=400)
    window, rng = reader.pin(), np.random.default_rng(0)
    batch = reader.sample(window, 200, rng)
    reader.write_priorities(batch.cells, batch.rows, rng.gamma(0.5, 2.0, 200))
    batch = reader.sample(window, 16, rng, batches=8, beta=0.5)
    assert batch.weights is not None
    assert (batch.weights.reshape(8, 16).max(1) == 1.0).all()
    assert (np.diff(batch.cells.reshape(8, 16), axis=1) >= 0).all(), "one draw of each part"
    assert (batch.weights > 0).all()


def test_beta_grows_to_one() -> None:
    assert RULE.beta(0, 1000) == 0.4
    assert RULE.beta(500, 1000) == pytest.approx(0.7)
    assert RULE.beta(1000, 1000) == RULE.beta(5000, 1000) == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_undefined_error_does_not_break_the_tree(bad: float) -> None:
    _, _, reader = prioritized()
    window, rng = reader.pin(), np.random.default_rng(0)
    batch = reader.sample(window, 40, rng)
    reader.write_priorities(batch.cells, batch.rows, np.full(40, bad))
    assert np.isfinite(reader._priorities._tree.total)
    assert crossings(reader, reader.sample(window, 40, rng), 2) == 0


def test_alpha_zero_is_uniform() -> None:
    store, _ = filled(layout(), 40)
    reader = store.reader(0, GAMMA, replace(RULE, alpha=0.0))
    window, rng = reader.pin(), np.random.default_rng(0)
    batch = reader.sample(window, 300, rng)
    reader.write_priorities(batch.cells, batch.rows, rng.gamma(0.5, 2.0, 300))
    counts = np.zeros(store.columns.flat_reward.size)
    for _ in range(100):
        batch = reader.sample(window, 100, rng)
        np.add.at(counts, batch.cells, 1)
        assert batch.weights is not None
        assert (batch.weights == 1.0).all()
    shares = np.zeros_like(counts)
    shares[reader._index.positions(np.arange(window.sampleable))] = 1.0
    assert proportional(counts, shares)


def test_an_empty_window_is_said_before_the_tree_is_asked() -> None:
    store, _ = filled(layout(), 0)
    reader = store.reader(0, GAMMA, RULE)
    with pytest.raises(NothingToSample, match="the window is empty"):
        reader.sample(reader.pin(), 8, np.random.default_rng(0))
