"""Who waits for whom, in words."""

from __future__ import annotations

import pytest

from tuitrain.diagnosis.bottleneck import bottleneck, silence
from tuitrain.protocol import ProcessView


def worker(role: str, wait: float | None) -> ProcessView:
    share = {} if wait is None else {"wait": wait, "update": 1 - wait}
    return ProcessView(name=role, role=role, phase_share=share)


@pytest.mark.parametrize(
    ("learner", "actors", "said"),
    [
        (0.05, (0.94,), "bottleneck: learner, busy 95%; actors wait 94%"),
        (0.05, (0.9, 0.98), "bottleneck: learner, busy 95%; actors wait 94%"),
        (0.62, (0.01, 0.03), "bottleneck: actors, busy 98%; learner waits 62%"),
        (0.04, (0.03,), "nobody waits: learner busy 96%, actors busy 97%"),
        (0.45, (0.5,), "they take turns: learner waits 45%, actors wait 50%"),
        (None, (0.5,), None),
        (0.5, (None,), None),
    ],
)
def test_who_waits_least_is_what_the_others_wait_for(
    learner: float | None, actors: tuple[float | None, ...], said: str | None
) -> None:
    assert bottleneck([worker("learner", learner), *(worker("actor", a) for a in actors)]) == said


def on_a_core(role: str, wait: float, cpu_percent: float | None, device: str) -> ProcessView:
    return worker(role, wait).model_copy(update={"cpu_percent": cpu_percent, "device": device})


@pytest.mark.parametrize(
    ("cpu_percent", "device", "said"),
    [
        (22.0, "cpu", "busy 100% but on a core 22%; actors"),
        (49.0, "cpu", "busy 100% but on a core 49%; actors"),
        (51.0, "cpu", "busy 100%; actors"),
        (310.0, "cpu", "busy 100%; actors"),  # several threads
        (None, "cpu", "busy 100%; actors"),
        (0.0, "cpu", "busy 100%; actors"),  # nobody has looked twice
        (22.0, "cuda:0", "busy 100%; actors"),  # the GPU is
    ],
)
def test_who_is_busy_without_a_core(cpu_percent: float | None, device: str, said: str) -> None:
    learner = on_a_core("learner", 0.0, cpu_percent, device)
    told = bottleneck([learner, on_a_core("actor", 0.94, 2.0, "cpu")])
    asked = " (do other processes take the cores?)" if "on a core" in said else ""
    assert told == f"bottleneck: learner, {said} wait 94%{asked}", "what may be cut off is last"


def test_who_is_paused_needs_no_core() -> None:
    paused = on_a_core("trainer", 0.0, 1.0, "cpu")
    paused.phase_share = {"update": 0.01, "paused": 0.99}
    assert bottleneck([paused]) == "slowest part: paused, 99% of the time"


def test_actors_and_a_trainer_without_a_core() -> None:
    actors = [on_a_core("actor", 0.0, percent, "cpu") for percent in (30.0, 20.0)]
    short, asked = "but on a core 25%", " (do other processes take the cores?)"
    without = short + asked
    told = bottleneck([on_a_core("learner", 0.6, 40.0, "cpu"), *actors])
    assert told == f"bottleneck: actors, busy 100% {short}; learner waits 60%{asked}"
    told = bottleneck([on_a_core("learner", 0.0, 90.0, "cpu"), *actors])
    assert told == f"nobody waits: learner busy 100%, actors busy 100% {without}"
    told = bottleneck([on_a_core("trainer", 0.0, 25.0, "cpu")])
    assert told == f"slowest part: update, 100% of the time {without}"


def test_several_learners_and_a_trainer() -> None:
    workers = [worker("learner", 0.0), worker("learner", 0.1), worker("actor", 0.8)]
    assert bottleneck(workers) == "bottleneck: learners, busy 95%; actors wait 80%"
    trainer = ProcessView(name="trainer", role="trainer", phase_share={"act": 0.2, "update": 0.7})
    assert bottleneck([trainer]) == "slowest part: update, 70% of the time"
    assert bottleneck([]) is None


def test_who_is_silent_does_not_take_turns() -> None:
    """▣ What a worker that hangs has told last is of before."""
    learner, actor = worker("learner", 1.0), worker("actor", 0.8)
    assert silence([learner, actor]) is None
    learner = learner.model_copy(update={"state": "waiting", "wait": "data"})
    hung = actor.model_copy(update={"name": "a0", "state": "silent", "stands_in": "env step"})
    assert bottleneck([learner, hung]) is None
    assert silence([learner, hung]) == 'silent: a0 in "env step"; learner waits for data'
    told = silence([learner, actor, hung])
    assert told == (
        'silent: a0 in "env step"; of the others: they take turns: learner waits 100%, '
        "actors wait 80%"
    )
