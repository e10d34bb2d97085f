"""What is wrong with a network is found by asking it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.unit.learning.faulty_networks import (
    FAULTY,
    REFUSED,
    DropsOut,
    FirstFrame,
    InAClosure,
    InADictionary,
    InAList,
    LastFrame,
    MakesLayers,
    Off,
    Pads,
    Repeats,
    TwoAtOnce,
)
from tests.unit.learning.networks_asked import (
    ACTIONS,
    FRAMES,
    SHAPE,
    SIZE,
    Plain,
    Recurrent,
    examined,
    kinds,
)
from tuitrain.envs.spec import Part
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.network_probe import Examined, examine


@pytest.mark.parametrize("make", FAULTY, ids=lambda make: make.__name__)
def test_what_is_wrong_is_named_and_nothing_else(make: type[nn.Module]) -> None:
    found = examined(make)
    assert kinds(found) == [FAULTY[make]]
    (fault,) = found.faults
    assert (fault.state == "refused") == (fault.kind in REFUSED)
    assert fault.says
    assert fault.advice


def test_the_frame_that_is_looked_at_is_named() -> None:
    assert "newest" in examined(LastFrame).faults[0].advice
    assert "oldest" in examined(FirstFrame).faults[0].advice


def test_weights_that_nobody_trains_are_named() -> None:
    assert "layers[0].weight, layers[0].bias, which are" in examined(InAList).faults[0].advice
    assert "more['gates'][0], which is" in examined(InADictionary).faults[0].advice
    assert "one of [16, 12]" in examined(InAClosure).faults[0].advice
    assert "[16, 16], [16]" in examined(MakesLayers).faults[0].advice


def test_frames_that_it_makes_are_counted() -> None:
    (zeros,), (again,) = examined(Pads).faults, examined(Repeats).faults
    assert zeros.says == again.says == "is made for 5 frames and is shown 3"
    assert "fills up with zeros" in zeros.advice
    assert "fills up with the same again" in again.advice
    assert "env.n_frames = 5" in zeros.advice


def test_made_frames_are_seen_by_convolutions_and_recurrent_layers() -> None:
    class Images(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(FRAMES + 1, 2, 3), nn.Linear(2 * 4, ACTIONS)

        def forward(self, x: Tensor) -> Tensor:
            more = functional.pad(0.1 * x, (0, 0, 0, 0, 1, 0))
            return self.last(torch.relu(self.first(more)).flatten(1))

    class Longer(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(functional.pad(x, (0, 0, 1, 0)))

    assert kinds(examined(Images, (FRAMES, 4, 4))) == ["made_frames"]
    assert kinds(examined(Images, (FRAMES, 4, 4), "uint8")) == ["made_frames"]
    assert kinds(examined(Longer)) == ["made_frames"]


def test_who_is_at_a_limit_of_its_values_from_the_start_is_told_of_that() -> None:
    """All its outputs are 0: that it does not look at anything follows from that."""
    (fault,) = examined(ending(lambda q: torch.relu(q - 100))).faults
    assert (fault.kind, fault.state) == ("dead", "fail")
    assert fault.says == "gives no value below 0, and is there from the start"
    assert "Leave its last layer linear" in fault.advice


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_who_gives_no_numbers_for_what_there_may_be_is_remembered(dtype: str) -> None:
    class Log(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.log(x + 1.0))

    found = examined(Log, dtype=dtype)
    assert found == Examined(no_numbers=dtype == "float32")  # of uint8 there is nothing below 0


def test_what_fails_at_a_batch_of_one_is_quoted() -> None:
    (fault,) = examined(TwoAtOnce).faults
    assert fault.says == "cannot answer a batch of 1"
    assert "RuntimeError: shape '[2, 3, 4]' is invalid" in fault.advice


def test_parts_that_are_not_looked_at_are_named() -> None:
    class Half(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.cat([x[..., :2], torch.zeros_like(x[..., 2:])], 2))

    parts = tuple(
        Part((name,), "box", (width,), "float32", column)
        for name, width, column in (("near", 2, 0), ("far", 1, 2), ("wind", 1, 3))
    )
    (fault,) = examined(Half, parts=parts).faults
    assert fault.kind == "parts"
    assert "far, wind" in fault.advice
    assert "near" not in fault.advice
    assert kinds(examined(Plain, parts=parts)) == []


def test_several_faults_come_worst_first() -> None:
    class Both(LastFrame):
        def hidden(self, x: Tensor) -> Tensor:
            return functional.dropout(super().hidden(x), 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :1].expand(-1, ACTIONS)

    assert kinds(examined(Both)) == ["actions", "random", "frames"]


# ---- limits --------------------------------------------------------------------------------------


def ending(with_: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    class Ends(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return with_(super().forward(x))

    return Ends


@pytest.mark.parametrize(
    ("with_", "low", "high"),
    [
        (torch.tanh, -1.0, 1.0),
        (torch.sigmoid, 0.0, 1.0),
        (lambda q: functional.softmax(q, 1), 0.0, 1.0),
        (torch.relu, 0.0, None),
        (lambda q: 10 * torch.tanh(q), -10.0, 10.0),
        (lambda q: q.clamp(-5, 5), -5.0, 5.0),
        (lambda q: q, None, None),
    ],
)
def test_limits_of_values(
    with_: Callable[[Tensor], Tensor], low: float | None, high: float | None
) -> None:
    found = examined(ending(with_), (FRAMES, SIZE))
    assert found.faults == ()
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, rel=1e-3))


# ---- what it leaves ------------------------------------------------------------------------------


def test_network_and_global_state_are_left_as_they_were() -> None:
    def state() -> list[Any]:
        return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]

    for make, training in itertools.product((Plain, DropsOut, Off), (False, True)):
        network, twin = QNetwork(make(), 1.0).train(training), QNetwork(make(), 1.0)
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        before = state()
        examine(network, twin, SHAPE, "float32")
        assert state() == before
        assert network.training == training
        assert all(torch.equal(weights[n], t) for n, t in network.state_dict().items())
