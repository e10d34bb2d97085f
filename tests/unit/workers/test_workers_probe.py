"""What the probe tells a user of how observations and actions are taken."""

from __future__ import annotations

from dataclasses import replace

from tuitrain.envs.spec import EnvSpec, Part, PolicySpec
from tuitrain.workers.probe import seen

PLAIN = PolicySpec((4,), "float32", 2, ("a",))
PARTS = (
    Part(("at",), "box", (2,), "float32", 0),
    Part(("way",), "one_hot", (), "int", 2, (4,), (0,)),
)


def test_the_layout_is_told_once_for_policies_that_are_alike() -> None:
    row = replace(PLAIN, observation_shape=(6,), parts=PARTS)
    spec = EnvSpec("e", 1, {"a": row, "b": PLAIN, "c": replace(row, masked=True)})
    assert seen(spec) == [
        "a, c: an observation is a row of 6 numbers: 0…1: at, float32[2]; "
        "2…5: way, one-hot of 4 values",
        "c: the environment says which actions are legal; no other is chosen",
    ]


def test_what_is_kept_as_declared_is_not_told() -> None:
    image = replace(PLAIN, observation_shape=(2,), observation_dtype="uint8")
    one_box = replace(image, parts=(Part(("see",), "box", (2,), "uint8"),))
    flags = replace(PLAIN, observation_dtype="bool")
    assert seen(EnvSpec("e", 1, {"a": PLAIN, "b": image, "c": one_box, "d": flags})) == []
    counts = replace(PLAIN, observation_dtype="int8")
    (told,) = seen(EnvSpec("e", 1, {"a": counts}))
    assert told == "a: observations are declared int8; they are kept, and learned from, as float32"
