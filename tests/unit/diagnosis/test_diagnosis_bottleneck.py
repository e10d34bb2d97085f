"""Who waits for whom, in words."""

from __future__ import annotations

import pytest

from tuitrain.diagnosis.bottleneck import bottleneck
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


def test_several_learners_and_a_trainer() -> None:
    workers = [worker("learner", 0.0), worker("learner", 0.1), worker("actor", 0.8)]
    assert bottleneck(workers) == "bottleneck: learners, busy 95%; actors wait 80%"
    trainer = ProcessView(name="trainer", role="trainer", phase_share={"act": 0.2, "update": 0.7})
    assert bottleneck([trainer]) == "slowest part: update, 70% of the time"
    assert bottleneck([]) is None
