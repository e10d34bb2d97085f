"""The hook for test doubles: every part is really asked for, and a double is what it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.one_actor import one_actor
from tuitrain import parts
from tuitrain.learning.dqn import DQN
from tuitrain.loading import LoadError, load_object
from tuitrain.parts import PARTS, PROCESS, CannotReplace, the
from tuitrain.schedules.sequential import Trainer
from tuitrain.workers.learners.policy_learner import PolicyLearner

AHEAD = "tuitrain.workers.acting.ahead_lanes:AheadLanes"
LANES = "tuitrain.workers.acting.policy_lanes:PolicyLanes"


def noting(name: str, made: set[str]) -> tuple[Any, Any]:
    """A part, and a double that notes that it was made or called."""
    part = load_object(name)
    if isinstance(part, type):

        class Double(part):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                made.add(name)
                super().__init__(*args, **kwargs)

        return part, Double

    def double(*args: Any, **kwargs: Any) -> Any:
        made.add(name)
        return part(*args, **kwargs)

    return part, double


@pytest.mark.parametrize(
    ("env", "not_made"), [("tests.envs:Chain", AHEAD), ("tests.envs.aec:TicTacToe", LANES)]
)
def test_a_worker_is_built_from_the_doubles_of_all_parts(
    tmp_path: Path, env: str, not_made: str
) -> None:
    made: set[str] = set()
    with PROCESS.restored() as registry:
        for name in PARTS:
            registry.replace(*noting(name, made))
        with one_actor(tmp_path, env={"id": env}) as (blueprint, stores):
            Trainer(blueprint, stores).close()
    assert made == set(PARTS) - {not_made}
    assert the(DQN) is DQN, "put back"


def test_what_would_not_be_the_part_is_refused() -> None:
    class Own:
        pass

    class Private(PolicyLearner):
        def _told(self) -> None:
            """Its own, and allowed."""

        def __reduce__(self) -> Any:
            return super().__reduce__()

    class Patches(DQN):
        def _update_target(self) -> None:
            """The base class's."""

    with PROCESS.restored() as registry:
        with pytest.raises(CannotReplace, match=r"no part of a worker: these are: .*DQN"):
            registry.replace(Own, Own)
        with pytest.raises(CannotReplace, match="must be a subclass"):
            registry.replace(DQN, Own)
        with pytest.raises(CannotReplace, match=r"overrides _update_target of .*:DQN"):
            registry.replace(DQN, Patches)
        registry.replace(PolicyLearner, Private)
        assert the(PolicyLearner) is Private


def test_the_variable_names_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "double.py"
    file.write_text(
        "from tuitrain.learning.dqn import DQN\n"
        "class Mine(DQN):\n    pass\n"
        "def mine(parts):\n    parts.replace(DQN, Mine)\n"
    )
    with PROCESS.restored():
        monkeypatch.delenv(parts.VARIABLE, raising=False)
        parts.put_in_place()
        assert the(DQN) is DQN
        monkeypatch.setenv(parts.VARIABLE, f"{file}:mine")
        parts.put_in_place()
        assert the(DQN).__name__ == "Mine"
        monkeypatch.setenv(parts.VARIABLE, f"{file}:nobody")
        with pytest.raises(LoadError, match="has no 'nobody'"):
            parts.put_in_place()
