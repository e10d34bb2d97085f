"""Taking an environment apart and putting it together: identities, kinds, and what is refused."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.make import build_env
from tuitrain.envs.saving.graph import MAX_NODES, Graph
from tuitrain.envs.saving.leaves import CannotRestore, CannotSave, plain_copy
from tuitrain.envs.saving.rebuild import put

ENVS = Path(__file__).with_name("state_envs.py")


def env_of(name: str, seed: int = 0, steps: int = 0, **kwargs: Any) -> Any:
    """An environment after some steps."""
    env = build_env(EnvConfig(id=f"{ENVS}:{name}", kwargs=kwargs))
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        if env.step(int(rng.integers(4)))[2]:
            env.reset()
    return env


def plays_alike(one: Any, other: Any, steps: int = 50) -> bool:
    rng = np.random.default_rng(7)
    for _ in range(steps):
        action = int(rng.integers(4))
        ours, theirs = one.step(action), other.step(action)
        if ours[0].tobytes() != theirs[0].tobytes() or ours[1:4] != theirs[1:4]:
            return False
        if ours[2] and one.reset()[0].tobytes() != other.reset()[0].tobytes():
            return False
    return True


def handed_over(saved: Any, other: Any) -> None:
    put(other, plain_copy(Graph(saved).nodes))


@pytest.mark.parametrize("steps", [0, 1, 13, 40])
def test_every_kind_of_value_comes_back(steps: int) -> None:
    saved, other = env_of("Everything", 1, steps), env_of("Everything", 2, 5)
    handed_over(saved, other)
    assert plays_alike(saved, other)


def test_whatever_is_left_out_is_noticed() -> None:
    """Else the test above would prove little."""
    nodes = Graph(env_of("Everything", 1, 13)).nodes
    noticed = set()
    for name, before in itertools.product(nodes[0]["attributes"], (5, 6, 7, 8)):
        saved, other = env_of("Everything", 1, 13), env_of("Everything", 2, before)
        kept = getattr(other, name)
        put(other, nodes)
        setattr(other, name, kept)
        if saved.digest() != other.digest() or not plays_alike(saved, other, 5):
            noticed.add(name)
    stays = {"observation_space", "action_space", "me", "slotted"}  # the same object all along
    never_changes = {"bounds", "constant", "philox", "_np_random_seed"}
    assert set(nodes[0]["attributes"]) - noticed == stays | never_changes


def test_what_is_one_thing_stays_one_thing() -> None:
    saved, other = env_of("Everything", 1, 13), env_of("Everything", 2)
    other.again = [0]
    handed_over(saved, other)
    assert other.again is other.twice
    assert other.me is other
    assert np.shares_memory(other.part, other.whole)
    assert np.shares_memory(other.back, other.row)
    assert other.whole.flags.f_contiguous
    assert not other.constant.flags.writeable
    assert other.draw.__self__ is other.philox
    assert other.push.__self__ is other.line
    assert other.things[0].friends[0] is other.things[0]


def test_what_is_two_things_stays_two_things() -> None:
    saved, other = env_of("Everything", 1), env_of("Everything", 2)
    saved.again = list(saved.twice)
    handed_over(saved, other)
    assert other.again == other.twice
    assert other.again is not other.twice


def test_a_modules_own_things_are_neither_changed_nor_copied() -> None:
    saved, other = env_of("Everything", 1, 13), env_of("Everything", 2)
    module = sys.modules[type(other).__module__]
    assert other.place is module.START
    handed_over(saved, other)
    assert module.START == [0, 0]
    empty = [cell for cell in other.grid.reshape(-1) if type(cell).__name__ == "Kind"]
    assert empty
    assert all(cell is module.NOTHING for cell in empty)


def test_the_random_stream_of_a_space_is_part_of_it() -> None:
    saved, other = env_of("Digest", 1), env_of("Digest", 2)
    saved.action_space.seed(3)
    for _ in range(5):
        saved.action_space.sample()
    space = other.action_space
    handed_over(saved, other)
    assert other.action_space is space
    assert [space.sample() for _ in range(20)] == [saved.action_space.sample() for _ in range(20)]


def test_a_stream_goes_on_spawning() -> None:
    saved, other = env_of("Digest", 1), env_of("Digest", 2)
    saved.np_random.spawn(3)
    handed_over(saved, other)
    ours, theirs = (env.np_random.spawn(1)[0].random() for env in (saved, other))
    assert ours == theirs


def test_an_environment_may_say_itself_what_its_state_is() -> None:
    saved, other = env_of("Explicit", 1, 13), env_of("Explicit", 2, 4)
    wrapped = [gymnasium.wrappers.TimeLimit(env, 30) for env in (saved, other)]
    wrapped[0].reset()
    wrapped[0].step(0)
    wrapped[1].reset()
    handed_over(*wrapped)
    assert plays_alike(*wrapped)


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("Counting", r"env\.tools\['numbers'\] is a itertools\.count"),
        ("Locked", r"env\.gate is a _thread\.lock"),
    ],
)
def test_what_cannot_be_saved_is_named(name: str, attribute: str) -> None:
    with pytest.raises(CannotSave, match=f"^attribute {attribute}$"):
        Graph(env_of(name))


@pytest.mark.parametrize(
    ("thing", "what"),
    [
        (lambda: (n for n in ()), "a generator"),
        (lambda: iter([]), "a list_iterator"),
        (lambda: np.ma.zeros(3), r"a numpy\.ma\.MaskedArray"),
        (lambda: np.zeros(2, "i4,f4"), r"an array of dtype \[.*"),
        (lambda: np.frombuffer(bytearray(8)), "an array over the memory of a memoryview"),
        (lambda: [a := np.array([1, "a"], object), a[:1]], r"a view of an array of objects"),
        (lambda: memoryview(b"a"), "a memoryview"),
        (lambda: type("Ints", (int,), {})(3), r".*Ints"),
        (lambda: type("Lists", (list,), {})(), r".*Lists"),
        (lambda: open("/dev/null"), r"a _io\.TextIOWrapper"),  # noqa: SIM115  # the test closes it
        (lambda: ValueError(), "a ValueError"),
    ],
)
def test_kinds_with_a_state_of_their_own_are_refused(thing: Any, what: str) -> None:
    env = env_of("Digest")
    env.thing = thing()
    with pytest.raises(CannotSave, match=rf"^attribute env\.thing(\[1\])? is (a )?{what}$"):
        Graph(env)
    if hasattr(env.thing, "close"):
        env.thing.close()


def test_a_window_is_refused_by_name_behind_wrappers() -> None:
    pygame = pytest.importorskip("pygame")
    env = gymnasium.wrappers.TimeLimit(env_of("Digest"), 5)
    env.unwrapped.screen = pygame.Surface((2, 2))
    with pytest.raises(CannotSave, match=r"attribute env\.unwrapped\.screen is a pygame\.surface"):
        Graph(env)


def test_too_many_objects_are_refused() -> None:
    env = env_of("Digest")
    env.things = [[] for _ in range(MAX_NODES)]
    with pytest.raises(CannotSave, match="holds more than"):
        Graph(env)


# ---- states that are wrong ------------------------------------------------------------------


def refusal(change: Any, name: str = "Everything") -> str:
    """What is said to a state that somebody has changed."""
    nodes = plain_copy(Graph(env_of(name, 1, 13)).nodes)
    instead = change(nodes)
    nodes = nodes if instead is None else instead
    other = env_of(name, 2, 3)
    untouched = {n: id(v) for n, v in vars(other).items()}
    with pytest.raises(CannotRestore) as refused:
        put(other, nodes)
    assert {n: id(v) for n, v in vars(other).items()} == untouched
    return str(refused.value)


def node_of(nodes: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return nodes[nodes[0]["attributes"][name][0]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: [], "list of nodes"),
        (lambda n: {"is": "object"}, "list of nodes"),
        (lambda n: [*n, 3], "list of nodes"),
        (lambda n: n[0].update({"class": "os:Path"}), "state is of a"),
        (lambda n: n[0]["attributes"].update({"__class__": 1}), "no attribute '__class__'"),
        (lambda n: n[0]["attributes"].update({"x": [10**9]}), "no node"),
        (lambda n: n[0]["attributes"].update({"x": [-1]}), "no node"),
        (lambda n: n[0]["attributes"].update({"x": ["0"]}), "neither a value nor a reference"),
        (lambda n: n[0]["attributes"].update({"x": b"raw"}), "neither a value nor a reference"),
        (lambda n: n[0].update(attributes=[1]), "attributes"),
        (lambda n: node_of(n, "twice").update({"is": "function"}), "nothing is a 'function'"),
        (lambda n: node_of(n, "twice").update(items=3), "no list"),
        (lambda n: node_of(n, "twice").update({"is": "constant", "name": "system"}), "no system"),
        (lambda n: node_of(n, "slotted").update({"class": "os:_wrap_close"}), "no module"),
        (lambda n: node_of(n, "slotted").update({"global": "os:environ"}), "no module"),
        (lambda n: node_of(n, "slotted")["attributes"].update({"__dict__": 1}), "__dict__"),
        (lambda n: node_of(n, "point").update(items=[1]), "2 fields"),
        (lambda n: node_of(n, "point").update(items=[n[0]["attributes"]["point"], 1]), "itself"),
        (lambda n: node_of(n, "phase").update(name="GONE"), "GONE"),
        (lambda n: node_of(n, "phase_of").update(name="os.system"), "no method"),
        (lambda n: node_of(n, "draw").update(name="__reduce__"), "no method"),
        (lambda n: node_of(n, "part").update(offset=10**6), "Value"),
        (lambda n: node_of(n, "part").update(shape=[1000, 1000]), "Value"),
        (lambda n: node_of(n, "part").update(dtype="O"), "view of dtype"),
        (lambda n: node_of(n, "row").update(data=[1, 2]), "data is a list"),
        (lambda n: node_of(n, "row").update(strides=[2, 2]), "strides"),
        (lambda n: node_of(n, "names").update(dtype="O"), "dtype is object"),
        (lambda n: node_of(n, "grid").update(shape=[3, 3]), "too many or too few"),
        (lambda n: node_of(n, "old").update(state={"bit_generator": "PCG64"}), "Error"),
        (lambda n: node_of(n, "python").update(words=np.zeros(3, np.uint32)), "Error"),
        (lambda n: node_of(n, "raw").update(data=None), "data is a NoneType"),
    ],
)  # fmt: skip
def test_a_wrong_state_is_refused_before_anything_is_changed(change: Any, said: str) -> None:
    assert said in refusal(change)


def test_a_class_that_does_something_when_it_dies_is_never_made() -> None:
    module = type(env_of("Everything")).__module__

    def change(nodes: list[dict[str, Any]]) -> None:
        node_of(nodes, "things").update(items=[[len(nodes)]])
        nodes.append({"is": "object", "class": f"{module}:Evil", "attributes": {}})

    assert "Evil cannot be made" in refusal(change)
