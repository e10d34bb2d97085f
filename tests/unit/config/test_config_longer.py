"""How long a run is suggested that goes on."""

from __future__ import annotations

import pytest

from tuitrain.config.longer import longer


@pytest.mark.parametrize(
    ("asked", "made", "suggested"),
    [
        (2_000_000, 2_000_079, 4_000_000),
        (300_000, 300_000, 600_000),
        (1_000, 9_000, 16_000),  # it was told to make fewer than it had
    ],
)
def test_a_round_figure_stays_round(asked: int, made: int, suggested: int) -> None:
    assert longer(asked, made) == suggested
