"""Results as tables, and their place in docs/reliability.md. Pure but for ``write_section``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.faults.cases import ERRORS, FAULTS, Case

Line = Mapping[str, Any]


def write_section(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        ValueError: the marks are not there.
    """
    content = path.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no section {begin} … {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def tables(lines: Sequence[Line]) -> str:
    """Seeds, then role × fault, then what system calls were made to fail; Markdown."""
    newest = {(line["seed"], line["number"]): line for line in lines}
    ran = list(newest.values())
    return "\n\n".join([_commits(ran), _seeds(ran), _cells(ran), _calls(ran)])


def _commits(lines: Sequence[Line]) -> str:
    """Of which states of the program these results are."""
    counts = Counter(line.get("commit", "unknown") for line in lines)
    told = ", ".join(f"`{name}` ({count:,})" for name, count in counts.most_common())
    return f"Cases by commit (`+`: with changes): {told or 'none'}."


def _seeds(lines: Sequence[Line]) -> str:
    out = ["| seed | cases | a fault struck | as declared | not |", "|---|---|---|---|---|"]
    by_seed: dict[int, list[Line]] = defaultdict(list)
    for line in lines:
        by_seed[line["seed"]].append(line)
    for seed, some in sorted(by_seed.items()):
        good = sum(not line["problems"] for line in some)
        struck = sum(line["outcome"] != "passed" for line in some)
        out.append(f"| {seed} | {len(some):,} | {struck:,} | {good:,} | {len(some) - good} |")
    return "\n".join(out)


def _cells(lines: Iterable[Line]) -> str:
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        case = Case.parse(line["name"])
        fault = "failed system call" if case.fault in ERRORS else case.fault
        groups[case.role, fault].append(line)
    out = [
        "| role | fault | cases | as declared | went on | ended | dead, resumed | call not made | "
        "told after, s | at work again after, s | resumed in, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    order = [*FAULTS, "failed system call"]
    for (role, fault), some in sorted(
        groups.items(), key=lambda g: (g[0][0], order.index(g[0][1]))
    ):
        good = sum(not line["problems"] for line in some)
        became = [
            sum(line["outcome"] == name for line in some)
            for name in ("goes on", "ends", "dies", "passed")
        ]
        out.append(
            f"| {role} | {fault} | {len(some)} | {good} | "
            + " | ".join(map(str, became))
            + f" | {_times(some, 'detected_s')} | {_times(some, 'recovered_s')} "
            f"| {_times(some, 'resumed_s')} |"
        )
    return "\n".join(out)


def _times(lines: Sequence[Line], key: str) -> str:
    values = [line[key] for line in lines if line[key] is not None]
    return f"{median(values):.1f} (most {max(values):.1f})" if values else "–"


def _calls(lines: Iterable[Line]) -> str:
    """Per moment and call: how many were made to fail until the operation passed."""
    failed: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    passed: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for line in lines:
        case = Case.parse(line["name"])
        if case.operation:
            kept = passed if line["outcome"] == "passed" else failed
            kept[case.role, case.moment, case.operation].add(case.at)
    out = [
        "| role | moment | call | failed | then it passes |",
        "|---|---|---|---|---|",
    ]
    for key in sorted({*failed, *passed}):
        count = len(failed[key])
        ends = "yes" if passed[key] else "not reached"
        out.append(f"| {' | '.join(key)} | each of {count} | {ends} |")
    return "\n".join(out)
