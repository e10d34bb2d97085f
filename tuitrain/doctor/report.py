"""The report as text of at most 80 columns, with or without colour, and as JSON values."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tuitrain.doctor.finding import Finding, Group, worst
from tuitrain.protocol import CheckState

WIDTH = 80
SCHEMA_VERSION = 1

_MARKS: dict[CheckState, str] = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "n/a": "n/a "}
_COLOURS: dict[CheckState, str] = {"ok": "32", "warn": "33;1", "fail": "31;1", "n/a": "2"}
_NAME_WIDTH = 15
_INDENT = 2 + 4 + 2 + _NAME_WIDTH + 1


def text(groups: Sequence[Group], *, colour: bool, width: int = WIDTH) -> list[str]:
    """Lines for a person; the last one is the verdict.

    Args:
        colour: whether escape codes may be used.
    """
    lines: list[str] = []
    for group in groups:
        lines.append(_painted(group.name, "1", colour))
        for finding in group.findings:
            lines += _rows(finding, colour, width)
        lines.append("")
    return [*lines, *_verdict(groups, colour, width)]


def data(groups: Sequence[Group]) -> dict[str, Any]:
    """Everything for a script."""
    return {
        "schema_version": SCHEMA_VERSION,
        "state": worst(groups),
        "checks": [
            {"group": group.name, **finding.data()}
            for group in groups
            for finding in group.findings
        ],
    }


def _rows(finding: Finding, colour: bool, width: int) -> Iterator[str]:
    mark = _painted(_MARKS[finding.state], _COLOURS[finding.state], colour)
    first, *more = _wrapped(finding.found, width - _INDENT) or [""]
    yield f"  {mark}  {finding.name:<{_NAME_WIDTH}} {first}"
    for line in [*more, *_wrapped(finding.advice, width - _INDENT)]:
        yield " " * _INDENT + line
    for command in finding.commands:  # never broken, so that it can be copied
        yield " " * (_INDENT + 2) + _painted(command, "36", colour and finding.state != "ok")


def _verdict(groups: Iterable[Group], colour: bool, width: int) -> list[str]:
    findings = [finding for group in groups for finding in group.findings]
    fails = [f.name for f in findings if f.state == "fail"]
    warnings = [f.name for f in findings if f.state == "warn"]
    told: list[tuple[str, CheckState]] = []
    if fails:
        told.append((f"{_count(fails, 'check')} failed: {', '.join(fails)}.", "fail"))
    if warnings:
        told.append((f"{_count(warnings, 'warning')}: {', '.join(warnings)}.", "warn"))
    if not told:
        told.append(("Everything is fine.", "ok"))
    return [
        _painted(line, _COLOURS[state], colour)
        for words, state in told
        for line in _wrapped(words, width)
    ]


def _count(items: Sequence[str], word: str) -> str:
    return f"{len(items)} {word}{'s' * (len(items) != 1)}"


def _wrapped(words: str, width: int) -> list[str]:
    return textwrap.wrap(words, max(20, width), break_long_words=False, break_on_hyphens=False)


def _painted(words: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{words}\x1b[0m" if colour else words
