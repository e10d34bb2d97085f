"""Networks: shapes, layouts, scaling, dueling, seeds, and errors a user can act on."""

from __future__ import annotations

import hashlib
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tuitrain.learning.bodies import Convolutional, NetworkError, dueling_q, image_layout
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.networks import build_network
from tuitrain.loading import LoadError


def digest(network: nn.Module) -> str:
    sha = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        sha.update(name.encode() + tensor.numpy().tobytes())
    return sha.hexdigest()


def global_state() -> list[object]:
    return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]


@pytest.fixture
def factory(tmp_path: Path):
    """Write a network file; returns its reference."""

    def write(body: str, name: str = "net") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text("import torch, random, numpy\nfrom torch import nn\n" + body)
        return f"{path}:make"

    return write


# ---- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "minatar"])
def test_same_seed_same_bytes_and_global_state_untouched(name: str) -> None:
    before = global_state()
    built = [build_network(name, (2, 10, 10), "uint8", 3, seed=seed) for seed in (5, 5, 6)]
    assert digest(built[0]) == digest(built[1]) != digest(built[2])
    assert global_state() == before
    torch.rand(1)
    again = build_network(name, (2, 10, 10), "uint8", 3, seed=5)
    assert digest(again) == digest(built[0]), "the global torch state has an influence"


def test_user_network_is_seeded_whatever_generator_it_draws_from(factory) -> None:
    ref = factory(
        "def make(input_shape, n_actions):\n"
        "    m = nn.Sequential(nn.Flatten(), nn.Linear(4, n_actions))\n"
        "    with torch.no_grad(): m[1].bias += random.random() + numpy.random.rand()\n"
        "    return m\n"
    )
    before = global_state()
    one, two, other = (build_network(ref, (1, 4), "float32", 2, seed=s) for s in (1, 1, 2))
    assert digest(one) == digest(two) != digest(other)
    assert global_state() == before


# ---- shapes and numbers --------------------------------------------------------------------------


def test_mlp_equals_plain_torch_layers() -> None:
    network = build_network("mlp", (2, 3), "float32", 4, kwargs={"hidden": [7, 5]}, seed=1)
    first, second, last = (m for m in network.modules() if isinstance(m, nn.Linear))
    plain = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), last)
    x = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))
    assert [m.out_features for m in (first, second, last)] == [7, 5, 4]
    assert torch.equal(network(x), plain(x))
    linear = build_network("mlp", (2, 3), "float32", 4, kwargs={"hidden": []})
    assert sum(1 for m in linear.modules() if isinstance(m, nn.Linear)) == 1


@pytest.mark.parametrize(
    ("name", "convolutions", "hidden"),
    [
        ("nature", [(4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)], (3136, 512)),
        ("minatar", [(4, 16, 3, 1)], (1024, 128)),
    ],
)
def test_published_architectures(
    name: str, convolutions: list[tuple[int, ...]], hidden: tuple[int, int]
) -> None:
    size = 84 if name == "nature" else 10
    network = build_network(name, (4, size, size), "uint8", 6)
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    shapes = [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0]) for m in found]
    assert shapes == convolutions
    first, last = (m for m in network.modules() if isinstance(m, nn.Linear))
    assert (first.in_features, first.out_features) == hidden
    assert last.out_features == 6


def test_uint8_is_divided_by_255_and_minatar_by_nothing(factory) -> None:
    ref = factory(
        "class Probe(nn.Module):\n"
        "    def __init__(self, shape, n, scale=None):\n"
        "        super().__init__(); self.p = nn.Parameter(torch.zeros(1))\n"
        "        if scale: self.input_scale = scale\n"
        "    def forward(self, x): return x.flatten(1)[:, :2]\n"
        "make = Probe\n"
    )
    x = torch.tensor([[[0, 255]], [[51, 102]]], dtype=torch.uint8)
    scaled = build_network(ref, (1, 2), "uint8", 2)(x)
    assert scaled.dtype == torch.float32
    assert scaled.tolist() == torch.tensor([[0.0, 1.0], [0.2, 0.4]]).tolist()
    raw = build_network(ref, (1, 2), "uint8", 2, kwargs={"scale": 1.0})
    assert raw(x).tolist() == x.flatten(1).tolist()
    same = torch.tensor([[[0.5, -300.0]]])
    assert build_network(ref, (1, 2), "float32", 2)(same).tolist() == same[0].tolist()
    assert build_network("minatar", (1, 5, 5), "uint8", 2).input_scale == 1.0
    assert build_network("mlp", (1, 5), "uint8", 2, kwargs={"input_scale": 2}).input_scale == 2.0
    assert x.tolist() == [[[0, 255]], [[51, 102]]], "the input was changed"
    for name in ("mlp", "minatar", ref):  # 0 and 1, whichever network looks at them
        kwargs = {"scale": None} if name == ref else {}
        assert build_network(name, (1, 5, 5), "bool", 2, kwargs=kwargs).input_scale == 1.0


def test_dueling_algebra() -> None:
    value, advantage = torch.tensor([[10.0]]), torch.tensor([[1.0, 2.0, 6.0]])
    assert dueling_q(value, advantage).tolist() == [[8.0, 9.0, 13.0]]
    shifted = dueling_q(value, advantage + 100.0)
    assert shifted.tolist() == [[8.0, 9.0, 13.0]], "a shift of all advantages must not matter"


@pytest.mark.parametrize(("name", "shape"), [("mlp", (1, 4)), ("minatar", (1, 6, 6))])
def test_dueling_network_has_two_streams(name: str, shape: tuple[int, ...]) -> None:
    network = build_network(name, shape, "float32", 3, True, seed=3)
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    seen: dict[str, torch.Tensor] = {}
    heads = network.body.heads
    features = {}

    def keep(features_in: torch.Tensor) -> torch.Tensor:
        features["x"] = features_in
        seen["value"] = heads.value.forward(features_in)
        seen["advantage"] = heads.advantage.forward(features_in)
        return dueling_q(seen["value"], seen["advantage"])

    expected = network(x)
    heads.forward = keep
    assert torch.equal(network(x), expected)
    assert seen["value"].shape == (5, 1)
    assert torch.allclose(expected.mean(1, keepdim=True), seen["value"], atol=1e-5)


# ---- image layouts -------------------------------------------------------------------------------


def test_image_layouts_by_hand() -> None:
    assert image_layout((4, 84, 80)) == ("none", (4, 84, 80))
    assert image_layout((4, 84, 80, 3)) == ("last", (12, 84, 80))
    assert image_layout((4, 3, 84, 80)) == ("first", (12, 84, 80))
    assert image_layout((1, 6, 9, 6)) == ("last", (6, 6, 9)), "equal ends: channels last"
    assert image_layout((1, 6, 9, 6), "first") == ("first", (6, 9, 6))
    assert image_layout((2, 3, 84, 80), "last") == ("last", (160, 3, 84))
    for shape in ((4, 5), (4, 1, 2, 3, 4)):
        with pytest.raises(NetworkError, match='network = "mlp"'):
            image_layout(shape)
    with pytest.raises(NetworkError, match="channels must be"):
        image_layout((1, 4, 4, 1), "middle")


def test_all_layouts_of_the_same_image_give_the_same_values() -> None:
    frames, channels, height, width = 2, 3, 9, 7
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(0, 256, (4, frames, channels, height, width), generator=generator)
    first = first.to(torch.uint8)
    last = first.permute(0, 1, 3, 4, 2).contiguous()
    flat = first.flatten(1, 2)
    shapes = [(2, channels, height, width), (2, height, width, channels), (6, height, width)]
    values = [
        build_network("minatar", shape, "uint8", 4, seed=8)(x)
        for shape, x in zip(shapes, (first, last, flat), strict=True)
    ]
    assert torch.allclose(values[0], values[1], rtol=1e-4, atol=1e-4)
    assert torch.equal(values[0], values[2])
    mixed = build_network("minatar", shapes[1], "uint8", 4, seed=8)(last.flip(4))
    assert not torch.allclose(values[0], mixed, atol=1e-2), "channels do not matter?"


def test_rows_do_not_influence_each_other() -> None:
    network = build_network("minatar", (2, 6, 6, 3), "float32", 4, True)
    x = torch.randn(3, 2, 6, 6, 3, generator=torch.Generator().manual_seed(0))
    whole = network(x)
    for i in range(3):
        assert torch.allclose(network(x[i : i + 1]), whole[i : i + 1], atol=1e-5)


# ---- errors --------------------------------------------------------------------------------------


def test_names_and_arguments_that_do_not_exist() -> None:
    with pytest.raises(NetworkError, match="no network is called 'mlpp'; there are mlp"):
        build_network("mlpp", (1, 4), "float32", 2)
    with pytest.raises(NetworkError, match=r"mlp cannot be called.*hiden"):
        build_network("mlp", (1, 4), "float32", 2, kwargs={"hiden": [3]})
    with pytest.raises(NetworkError, match="positive widths"):
        build_network("mlp", (1, 4), "float32", 2, kwargs={"hidden": [3, 0]})
    with pytest.raises(NetworkError, match="input_scale must be positive"):
        build_network("mlp", (1, 4), "float32", 2, kwargs={"input_scale": 0})
    with pytest.raises(LoadError, match="no module"):
        build_network("no_such_module_here:f", (1, 4), "float32", 2)


def test_too_small_images_say_the_smallest_size() -> None:
    with pytest.raises(NetworkError, match="at least 36×36, got 35×84"):
        build_network("nature", (4, 35, 84), "uint8", 2)
    assert isinstance(build_network("nature", (4, 36, 36), "uint8", 2).body, Convolutional)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("make = 3", "is a int, not a function"),
        ("def make(s, n): return 3", "must return a torch.nn.Module, got int"),
        ("def make(s, n): raise KeyError('k')", "failed to build: KeyError: 'k'"),
        ("def make(s): return nn.Identity()", "cannot be called with network_kwargs {}"),
        (
            "def make(s, n): return nn.Sequential(nn.Flatten(), nn.Linear(4, n + 1))",
            r"must return float32\[2, 2\] .* for an input of float32\[2, 1, 4\].*, "
            r"got float32\[2, 3\]",
        ),
        (
            "def make(s, n): return nn.Linear(4, n)",
            r"must return float32\[2, 2\].*got float32\[2, 1, 2\]",
        ),
        (
            "def make(s, n): return nn.Sequential(nn.Flatten(), nn.Linear(9, n))",
            r"failed on an input of float32\[2, 1, 4\].*RuntimeError: mat1 and mat2",
        ),
        (
            "class M(nn.Module):\n  def forward(self, x): return x.flatten(1)[:, :2].double()\n"
            "def make(s, n): return M()",
            r"got float64\[2, 2\]",
        ),
        (
            "class M(nn.Module):\n  def forward(self, x): return (x, x)\n"
            "def make(s, n): return M()",
            "must return a tensor .* got tuple",
        ),
    ],
)
def test_user_networks_that_do_not_fit(factory, body: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build_network(factory(body), (1, 4), "float32", 2)


def test_dueling_is_for_own_networks(factory) -> None:
    with pytest.raises(NetworkError, match="dueling"):
        build_network(factory("make = nn.Identity"), (1, 4), "float32", 2, dueling=True)


def test_trial_leaves_no_trace(factory) -> None:
    ref = factory(
        "def make(s, n):\n"
        "    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.LazyLinear(n))\n"
    )
    network = build_network(ref, (1, 4), "float32", 2)
    assert isinstance(network, QNetwork)
    assert network.training
    assert int(network.state_dict()["body.1.num_batches_tracked"]) == 0
    assert not any(nn.parameter.is_lazy(p) for p in network.parameters())


class InPlace(nn.Module):
    """Centres its input where it lies."""

    def __init__(self, input_shape: tuple[int, ...], n_actions: int) -> None:
        super().__init__()
        self.layer = nn.Linear(math.prod(input_shape), n_actions)

    def forward(self, x: Tensor) -> Tensor:
        x -= x.mean()
        return self.layer(x.flatten(1))


def test_a_network_that_changes_its_input_is_refused() -> None:
    """Actors show it the replay's own memory."""
    with pytest.raises(NetworkError, match="changes its input in place"):
        build_network(f"{__name__}:InPlace", (1, 4), "float32", 2)
    # images are turned to float first, into memory of the network's own
    build_network(f"{__name__}:InPlace", (1, 4), "uint8", 2)


class PerFrame(nn.Module):
    """Looks at every frame alone, by a view that folds batch and frames."""

    def __init__(self, input_shape: tuple[int, ...], n_actions: int) -> None:
        super().__init__()
        self.layer = nn.Linear(input_shape[1], n_actions)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.view(-1, x.shape[2])).view(len(x), x.shape[1], -1).mean(1)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_overlapping_stacks_reach_a_network_contiguous(dtype: str) -> None:
    network = build_network(f"{__name__}:PerFrame", (2, 4), dtype, 3)
    both = torch.zeros(5, 3, 4, dtype=getattr(torch, dtype))
    for stack in (both[:, :2], both[:, 1:]):
        assert network(stack).shape == (5, 3)
