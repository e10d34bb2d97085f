"""What `doctor --learn` starts, and what it makes of the answers; nothing is started here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.diagnosis.healthy import healthy
from tuitrain.cli import practice
from tuitrain.cli.aside import AsideError
from tuitrain.cli.errors import Refused
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder
from tuitrain.config.schema import Config
from tuitrain.doctor.learning import Learned, Practice, Score
from tuitrain.protocol import CheckView, Reply

TRIED = {"lr": 1e-3, "updates": 500, "before": 1.0, "after": 0.1, "floor": 0.0, "unmoved": [],
         "tensors": 4, "learned": True}  # fmt: skip
PLAYED = {"return_mean": 20.0, "return_ci95": 4.0, "episodes": 20}

Asked = list[dict[str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Questions to the aside, and configs that would have been run."""
    seen: Asked = []

    def ask(module: str, question: str, answered: Callable[[Any], bool], *_: Any) -> None:
        seen.append(json.loads(question))
        rehearsed = {"random": PLAYED, "rewarded_share": 0.5, "still_share": 0.25, "transitions": 9,
                     "tried": [TRIED]}  # fmt: skip
        assert not answered({"stage": "…"})
        assert answered({"rehearsed": {"p": rehearsed, "q": rehearsed | {"random": None}}})

    def under_supervisor(made: Callable[[str], Config], tell: Any, use: Any) -> Practice:
        seen.append(made("home").model_dump())
        assert use.keywords["seconds"] == pytest.approx(0.75 * 40 / 2)
        return Practice(use.keywords["schedule"])

    monkeypatch.setattr(practice, "ask", ask)
    monkeypatch.setattr(practice, "under_supervisor", under_supervisor)
    return seen


def learn(schedule: str = "async", seconds: float = 40.0) -> Learned:
    config = resolve(config_from({"run": {"schedule": schedule}}), cores=2)
    return practice.learn(config, 1, seconds, lambda text: None)


def test_a_rehearsal_and_a_run_in_each_schedule(asked: Asked) -> None:
    found = learn()
    question, *runs = asked
    assert question["seconds"] == 10.0
    assert not Path(question["folder"]).exists()
    assert [run["run"]["schedule"] for run in runs] == ["sequential", "async"]
    assert {run["eval"]["episodes"] for run in runs} == {20}
    assert [p.schedule for p in found.practices] == ["sequential", "async"]
    assert found.rehearsed["p"].random == Score(20.0, 4.0)
    assert found.rehearsed["q"].random is None
    assert found.rehearsed["p"].still_share == 0.25
    assert found.rehearsed["p"].tried[0].unmoved == ()


def test_a_sequential_config_is_run_once(asked: Asked) -> None:
    found = learn("sequential", 20.0)
    assert [p.schedule for p in found.practices] == ["sequential"]


def test_what_does_not_come_up_is_told(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise Refused("no room")

    monkeypatch.setattr(practice, "under_supervisor", refused)
    assert [p.error for p in learn().practices] == ["no room", "no room"]

    def crashed(*_: Any) -> None:
        raise AsideError("it crashed")

    monkeypatch.setattr(practice, "ask", crashed)
    assert learn() == Learned(error="it crashed")


class Answering:
    """A client of a run at so many steps, of which `lr` is said to have ended, and more."""

    def __init__(self, steps: int) -> None:
        ended = CheckView(
            id="lr", name="learning rate", state="warn", value="0", limit="", advice="ended"
        )
        more = CheckView(
            id="grad_norm", name="gradients", state="warn", value="9", limit="", advice="large"
        )
        self.snapshot = healthy().model_copy(update={"steps": steps, "checks": [ended, more]})

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, command: str, **_: Any) -> Reply:
        return Reply(id=1, ok=True, message="", result={"snapshot": self.snapshot.model_dump()})


@pytest.mark.parametrize(("steps", "said"), [(1_000, "ended"), (9_500, "large")])
def test_a_practice_that_outlasts_the_run_has_no_ended_learning_rate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: int, said: str
) -> None:
    """Nor does it explain what else is wrong."""
    monkeypatch.setattr(practice, "BlockingClient", lambda socket: Answering(steps))
    monkeypatch.setattr(practice, "train_for", lambda *_: ({"elapsed_s": 0.0}, {"elapsed_s": 9.0}))
    config = config_from({"run": {"total_steps": 10_000}})
    found = practice._measure(
        RunFolder(tmp_path), tmp_path, config=config, schedule="async", seconds=9.0,
        tell=lambda text: None,
    )  # fmt: skip
    assert [text.rsplit(" ", 1)[1] for _, text in found.wrong] == [said]
