"""Sizes: what must fit, and that a differing layout is seen."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import layout
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.layout import Columns


@pytest.mark.parametrize("masked", [False, True])
def test_columns_are_aligned_apart_and_inside(masked: bool) -> None:
    shape = layout(spec=PolicySpec((3, 5), "uint8", 4, ("a", "b"), masked=masked))
    buf = bytearray(shape.nbytes)
    columns = shape.columns(buf)
    base = np.frombuffer(buf, np.uint8).ctypes.data
    spans = []
    for array in (
        *(columns.header, columns.pins, columns.told, columns.audits, columns.first_seen),
        *(a for _, a in columns.data()),
    ):
        start = array.ctypes.data - base
        assert start % 64 == 0
        spans.append((start, start + array.nbytes))
    spans.sort()
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert spans[-1][1] <= shape.nbytes < spans[-1][1] + 64
    assert columns.observation.shape == (2, shape.ring_rows, 6, 3, 5)
    assert columns.flat_observation.shape == (2 * shape.ring_rows * 6, 3, 5)
    columns.observation[1, 2, 3] = 7
    assert (columns.flat_observation[(shape.ring_rows + 2) * 6 + 3] == 7).all()


def test_columns_that_would_be_copied_are_refused() -> None:
    shape = layout()
    good = shape.columns(bytearray(shape.nbytes))
    arrays = dict(good.data()) | {
        "header": good.header,
        "pins": good.pins,
        "told": good.told,
        "audits": good.audits,
        "first_seen": good.first_seen,
        "reward": good.reward[:, ::2],
    }
    with pytest.raises(ValueError, match="not contiguous"):
        Columns(arrays)


def test_only_masked_policies_have_memory_for_legal_actions() -> None:
    plain = layout()
    masked = layout(spec=replace(plain.spec, masked=True))
    columns = {
        which: shape.columns(bytearray(shape.nbytes))
        for which, shape in (("plain", plain), ("masked", masked))
    }
    assert columns["plain"].legal is columns["plain"].flat_legal is None
    assert "legal" not in dict(columns["plain"].data())
    cells = 2 * masked.ring_rows * 3
    assert 0 < masked.nbytes - plain.nbytes - cells * 5 < 64
    legal = columns["masked"].legal
    assert legal is not None
    assert legal.shape == (2, masked.ring_rows, 3, 5)
    assert legal.dtype == np.bool_
    assert dict(columns["masked"].data())["legal"] is legal
    flat = columns["masked"].flat_legal
    assert flat is not None
    legal[1, 2, 1, 3] = True
    assert flat[(masked.ring_rows + 2) * 3 + 1].tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("actors", [1, 3])
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("episode", [4, 100])
def test_the_capacity_stays_sampleable(actors: int, lanes: int, episode: int) -> None:
    """With episodes of four or more transitions, whatever the chunk."""
    shape = layout(n_actors=actors, envs_per_actor=lanes, capacity=5000, chunk_steps=50)
    # a window leaves out the next chunk and its pending row; history and future must fit too
    rows = shape.ring_rows - (shape.chunk_steps + 1) - shape.n_frames - shape.n_step
    boundaries = -(-rows // (episode + 1))
    assert (rows - boundaries) * lanes * actors >= shape.capacity


@pytest.mark.parametrize("capacity", [10, 1000])
@pytest.mark.parametrize("lanes", [1, 7])
@pytest.mark.parametrize("starts", [1, 10, 1000])
@pytest.mark.parametrize("chunk", [1, 16])
def test_no_shard_wraps_in_warm_up(capacity: int, lanes: int, starts: int, chunk: int) -> None:
    """One actor does all the work and every second row is a boundary row."""
    lead = 3 * chunk * lanes
    shape = layout(
        capacity=capacity,
        envs_per_actor=lanes,
        learning_starts=starts,
        chunk_steps=chunk,
        max_lead_inserts=lead,
    )
    rows = inserts = 0
    while inserts + chunk * lanes <= starts + lead:  # the limiter reserves whole chunks
        for _ in range(chunk):
            inserts += lanes * (rows % 2 == 0)
            rows += 1
    assert rows + 1 <= shape.ring_rows


CHANGES: list[dict[str, Any]] = [
    {"policy": "other"},
    {"spec": PolicySpec((5,), "float32", 5, ("agent",))},
    {"spec": PolicySpec((4,), "uint8", 5, ("agent",))},
    {"spec": PolicySpec((4,), "float32", 6, ("agent",))},
    {"spec": PolicySpec((4,), "float32", 5, ("other",))},
    {"spec": PolicySpec((4,), "float32", 5, ("agent",), masked=True)},
    {"n_frames": 4},
    {"n_step": 3},
    {"n_actors": 3},
    {"envs_per_actor": 4},
    {"chunk_steps": 5},
    {"capacity": 61},
    {"learning_starts": 7},
    {"max_lead_inserts": 25},
    {"n_readers": 2},
]


def test_the_hash_changes_with_every_field() -> None:
    hashes = {layout(**change).layout_hash() for change in [{}, *CHANGES]}
    assert len(hashes) == len(CHANGES) + 1
    assert layout().layout_hash() == layout().layout_hash()
    assert {len(value) for value in hashes} == {32}


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_frames", 0), ("n_step", 0), ("n_actors", 0), ("capacity", 0), ("learning_starts", -1)],
)
def test_sizes_out_of_range_are_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"'default': {name} is {value}"):
        layout(**{name: value})


def test_a_policy_without_agents_has_no_lanes() -> None:
    with pytest.raises(ValueError, match="no agents"):
        layout(spec=PolicySpec((4,), "float32", 5, ()))
