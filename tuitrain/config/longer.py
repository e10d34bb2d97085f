"""How many steps are suggested to whoever wants a finished run to go on."""

from __future__ import annotations


def longer(asked: int, made: int = 0) -> int:
    """Twice as many as were asked for before, which are round if those were.

    Args:
        made: steps there are already, which must be fewer: doubled until they are.
    """
    steps = 2 * max(1, asked)
    while steps <= made:
        steps *= 2
    return steps
