"""Random streams: fixed for ever, apart from each other, and fenced from global state."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from tuitrain.seeding import ROLES, GlobalRandom, generator, incarnation, integers, stream


def draw_all() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), torch.rand(1).item()


def global_state() -> list[object]:
    return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]


def test_streams_are_what_they_always_were() -> None:
    """Golden: a change here changes every run of every seed that was ever published."""
    assert stream(1, "actor", 0).spawn_key == (1, 0, 0)
    assert integers(stream(7, "network", 2, 1), 3) == integers(
        np.random.SeedSequence(7, spawn_key=(3, 2, 1)), 3
    )
    assert integers(stream(0, "actor", 0), 2) == [476252562, 1086430734]
    assert len(set(ROLES.values())) == len(ROLES)


def test_every_stream_differs() -> None:
    keys = itertools.product((0, 1, 2**62), ROLES, (0, 1, 2), (0, 1))
    first = [tuple(integers(stream(*key), 4)) for key in keys]
    assert len(set(first)) == len(first)


def test_generator_is_reproducible() -> None:
    a, b = (generator(3, "learner", 1, 2).random(5).tolist() for _ in range(2))
    assert a == b
    assert a != generator(3, "learner", 1, 3).random(5).tolist()


def test_wrong_streams_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no random stream is called 'actr'; there are: actor"):
        stream(1, "actr")
    for numbers in ((-1, 0, 0), (0, -1, 0), (0, 0, -1)):
        with pytest.raises(ValueError, match="negative"):
            stream(numbers[0], "actor", *numbers[1:])


def test_inside_is_reproducible_and_outside_undisturbed() -> None:
    before = global_state()
    runs = []
    for _ in range(2):
        private = GlobalRandom(stream(1, "actor", 0))
        inside = []
        for _ in range(3):
            with private:
                inside.append(draw_all())
            draw_all()  # what others draw in between must not matter
        runs.append(inside)
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3, "the private state does not go on"
    assert global_state() != before
    now = global_state()
    with GlobalRandom(stream(2, "actor", 0)):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        draw_all()
    assert global_state() == now


def test_one_continuous_state_equals_many_entries() -> None:
    split, whole = (GlobalRandom(stream(4, "actor")) for _ in range(2))
    parts = []
    for _ in range(4):
        with split:
            parts.append(draw_all())
    with whole:
        assert [draw_all() for _ in range(4)] == parts


def test_state_is_given_back_after_an_exception() -> None:
    before = global_state()
    private = GlobalRandom(stream(1, "actor"))
    with pytest.raises(ZeroDivisionError), private:
        draw_all()[0] / 0
    assert global_state() == before
    with private:
        pass


def test_nesting_two_is_fine_and_one_in_itself_nothing() -> None:
    a, b = (GlobalRandom(stream(1, "actor", i)) for i in range(2))
    before = global_state()
    with a:
        first = draw_all()
        with b:
            draw_all()
        second = draw_all()
        with a:
            third = draw_all()
        fourth = draw_all()
    assert global_state() == before
    with GlobalRandom(stream(1, "actor", 0)):
        assert [draw_all() for _ in range(4)] == [first, second, third, fourth]


def test_making_one_does_not_use_up_the_sequence() -> None:
    sequence = stream(1, "actor")
    GlobalRandom(sequence)
    assert sequence.n_children_spawned == 0
    child = np.random.SeedSequence(1, spawn_key=(*sequence.spawn_key, 0))
    with GlobalRandom(sequence):
        inside = np.random.random()
    assert inside != np.random.RandomState(integers(child, 2)[1]).random()


def test_torch_imported_in_between_or_inside() -> None:
    code = """
import sys, random
from tuitrain.seeding import GlobalRandom, stream
private = GlobalRandom(stream(5, "actor"))
with private: random.random()
assert "torch" not in sys.modules
with private:
    import torch
    torch.rand(1)
outside = torch.get_rng_state()
with private: got = torch.rand(1)
assert torch.equal(torch.get_rng_state(), outside)
with GlobalRandom(stream(5, "actor")): assert torch.equal(torch.rand(1), got)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_restarts_and_sessions_have_streams_of_their_own() -> None:
    numbers = [incarnation(session, restarts) for session in range(3) for restarts in range(100)]
    assert len(set(numbers)) == 300
    assert incarnation(0, 0) == 0, "a run that is never resumed keeps its numbers"
    with pytest.raises(ValueError, match="65536 restarts"):
        incarnation(0, 65_536)
