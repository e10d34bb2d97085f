"""A diagnosis in words: the ranked list, or that nothing was found. Pure."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence

from tuitrain.diagnosis.course import LEARNED
from tuitrain.diagnosis.diagnose import CONFIG, Diagnosis, Since, Wrong
from tuitrain.protocol import CheckView

WIDTH = 96
_LABEL_WIDTH = 9
_INDENT = 5


def lines(diagnosis: Diagnosis, width: int = WIDTH) -> list[str]:
    """The list, causes first, then what is well and what nobody has measured."""
    out: list[str] = []
    for note in notes(diagnosis, width):
        out += [*note, ""]
    for number, wrong in enumerate(diagnosis.wrong, 1):
        out += [*cause(number, wrong, width), ""]
    ok, unknown = len(diagnosis.ok), len(diagnosis.not_measured)
    if not ok + unknown:  # of a config
        return out
    well = f"{ok} check{'s' * (ok != 1)} ok, {unknown} not measured"
    if not diagnosis.wrong:
        first = "Nothing is wrong:"
        if diagnosis.doubt:
            and_ = "and" if diagnosis.doubt.startswith(LEARNED) else "but"
            told = f"Nothing was found, {and_} {diagnosis.doubt}. {diagnosis.then}"
            first = " ".join(told.split())
        well = f"{first} {well}"
    out += _wrapped(f"{well}.", "", width)
    if unknown:
        out += _wrapped(f"Not measured: {_reasons(diagnosis.not_measured)}.", "", width)
    return out


def notes(diagnosis: Diagnosis, width: int = WIDTH) -> list[list[str]]:
    """What is to be known besides, each in lines."""
    said = (note if note.endswith((".", "?", "!")) else f"{note}." for note in diagnosis.notes)
    return [_wrapped(note, "Note: ", width) for note in said]


def cause(number: int, wrong: Wrong, width: int = WIDTH) -> Iterator[str]:
    """One thing that is wrong: what, the evidence, since when, what follows, what to change."""
    check = wrong.check
    first = f"{number:>2}.  {check.state.upper()}  "
    yield from _wrapped(wrong.headline, first, width)
    evidence = f"{check.name} {check.value} (limit {check.limit})"
    if check.id == CONFIG:
        evidence = ""
    parts = {
        "measured": evidence,
        "since": "" if wrong.since is None else _moment(wrong.since),
        "leads to": "; ".join(_consequence(other) for other in wrong.leads_to),
        "change": check.advice,
        "catalogue": check.catalogue_id,
    }
    for label, said in parts.items():
        if said:
            yield from _wrapped(said, f"{' ' * _INDENT}{label:<{_LABEL_WIDTH}} ", width)


def _consequence(check: CheckView) -> str:
    return f"{check.name} {check.value} ({check.state})"


def _moment(since: Since) -> str:
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since.time_s))
    return clock if since.steps is None else f"environment step {since.steps:,} ({clock})"


def _reasons(checks: Sequence[CheckView]) -> str:
    said = []
    for check in checks:
        why = check.advice or (check.value if check.value not in ("", "-", "n/a") else "")
        said.append(f"{check.name} ({why})" if why else check.name)
    return ", ".join(said)


def _wrapped(words: str, first: str, width: int) -> list[str]:
    """Words behind `first`, and further lines under them; keys and numbers are never broken."""
    return textwrap.wrap(
        " ".join(words.split()),
        max(40, width),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
