"""Numbers, ages and safe text."""

from __future__ import annotations

import math

import pytest
from rich.text import Text

from tuitrain.tui import text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "n/a"), (0, "0"), (950, "950"), (999.6, "1.0k"), (9800, "9.8k"), (50_000, "50k"),
        (412_345, "412k"), (999_999, "1.0M"), (12_400_000, "12.4M"), (math.nan, "✖nan"),
        (-math.inf, "✖-inf"), (1e300, "1e+300"),
    ],
)  # fmt: skip
def test_count(value: float | None, words: str) -> None:
    assert text.count(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "n/a"), (0, "0"), (0.251, "0.251"), (6.25e-5, "6.25e-05"), (87.31, "87.3"),
     (4.2, "4.20"), (123_456, "123k"), (math.inf, "✖inf"),
     (-math.inf, "✖-inf"), (math.nan, "✖nan")],
)  # fmt: skip
def test_number(value: float | None, words: str) -> None:
    assert text.number(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "n/a"), (0.44, "0.4s"), (12, "12s"), (184, "3m"), (7300, "2h"), (-1, "0.0s"),
     (5 * 86_400, "5d"), (math.nan, "✖nan"), (math.inf, "✖inf")],
)  # fmt: skip
def test_age(value: float | None, words: str) -> None:
    assert text.age(value) == words


@pytest.mark.parametrize(
    ("share", "words"), [(None, "n/a"), (0.251, "25%"), (math.nan, "✖nan"), (-math.inf, "✖-inf")]
)
def test_percent(share: float | None, words: str) -> None:
    assert text.percent(share) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "n/a"),
        (0, "0 st/s"),
        (0.44, "0.4 st/s"),
        (9800, "9.8k st/s"),
        (math.nan, "✖nan st/s"),
    ],
)
def test_rate(value: float | None, words: str) -> None:
    assert text.rate(value, "st/s") == words


def test_clock() -> None:
    assert text.clock(3837) == "1:03:57"
    assert text.clock(90_000) == "1d 1:00:00"
    assert text.clock(None) == "n/a"


def test_control_sequences_and_line_breaks_become_visible() -> None:
    raw = "a\x1b[31mred\x07\r\nb\u202egnp\u200b\x9b0m\ttab"
    safe = text.safe(raw)
    assert safe == "a\\x1b[31mred\\x07\\x0d\\x0ab\\u202egnp\\u200b\\x9b0m    tab"
    assert all(c.isprintable() for c in safe)


def test_markup_is_left_alone() -> None:
    assert text.safe("[bold]x[/bold] [/]") == "[bold]x[/bold] [/]"


def test_long_text_is_cut() -> None:
    assert text.safe("x" * 10_000, 10) == "x" * 10 + "…"


def test_ascii() -> None:
    assert text.to_ascii("● 1 ± 2 ≤ 3 日") == "* 1 +- 2 <= 3 ?"
    assert text.to_ascii("┌─┐") == "?-?"


def test_fit_leaves_out_the_least_important_first() -> None:
    parts = [text.part("aaa"), text.part("bbb", rank=2), text.part("ccc", rank=1)]
    assert text.fit(parts, 20).plain == "aaa  bbb  ccc"
    assert text.fit(parts, 9).plain == "aaa  ccc"
    assert text.fit(parts, 3).plain == "aaa"
    assert text.fit(parts, 2).plain == "a…"
    assert text.fit(parts, 0).plain == ""


def test_table_drops_columns_by_rank() -> None:
    columns = [text.Column("a", right=False), text.Column("bb", rank=1), text.Column("c", rank=2)]
    rows = [["x", Text("1", "red"), "22222"]]
    assert [t.plain for t in text.table(columns, rows, 40)] == ["a  bb      c", "x   1  22222"]
    assert [t.plain for t in text.table(columns, rows, 6)] == ["a bb", "x  1"]
    assert [t.plain for t in text.table(columns, rows, 1)] == ["a", "x"]


def test_bar() -> None:
    assert text.bar(0.5, 8) == "▓▓▓▓░░░░"
    assert text.bar(None, 3) == "░░░"
    assert text.bar(7.0, 3) == "▓▓▓"
    assert text.bar(math.nan, 3) == "░░░"


def test_table_cuts_a_column_before_it_leaves_one_out() -> None:
    columns = [text.Column("a", right=False), text.Column("limit", rank=1, least=5)]
    rows = [["name", "no update before"]]
    assert text.table(columns, rows, 14)[1].plain == "name no updat…"
    assert text.table(columns, rows, 9)[1].plain == "name"
