"""What a row says beside its limit: the two never look alike where one is over the other."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.healthy import change
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import BY_ID
from tuitrain.diagnosis.checks.row import percent
from tuitrain.protocol import CheckView, LearningView, Snapshot


def judged(check: str, snapshot: Snapshot) -> CheckView:
    return BY_ID[check].run(snapshot, ChecksConfig())


@pytest.mark.parametrize(
    ("share", "limit", "said"),
    [
        (0.994, 0.99, "99.4%"),
        (0.9902, 0.99, "99.02%"),
        (0.986, 0.987, "98.6%"),
        (0.99, 0.99, "99%"),
        (0.985, 0.985, "98.5%"),
        (0.07, 0.07, "7%"),
        (0.004, 0.0, "0.4%"),
        (0.0, 0.0, "0%"),
        (0.5312, 0.0, "53%"),
    ],
)
def test_rounding_never_moves_a_share_to_its_limit(share: float, limit: float, said: str) -> None:
    assert percent(share, limit) == said


def test_a_row_that_is_raised_does_not_look_like_its_limit() -> None:
    of = change("policies.0", {"episodes": 1000, "resets_unchanged": 994})
    row = judged("resets", of)
    assert (row.state, row.value, row.limit) == ("warn", "99.4% unchanged", "≤ 99% unchanged")


def test_what_learning_is_held_against_is_true_of_a_verdict_that_is_flat_and_well() -> None:
    flat = LearningView(policy="default", verdict="FLAT", held_evals=9, level=21.0)
    row = judged("learning", change("policies.0.learning", flat))
    limit = "no lasting fall, and better than chance after 50% of the run"
    assert (row.state, row.limit) == ("ok", limit)
