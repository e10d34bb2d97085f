"""What came of many cases: as problems, and as the tables of docs/catalogue.md. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.diagnosis.cases import Case
from tests.diagnosis.runs import Seen

LEGEND = (
    "●: the check that is there for the fault was raised; ○: a symptom that follows from it; ✗:\n"
    "another one. *First* is what `tuitrain diagnose` names first; *yes* is the check of the row.\n"
    "Columns are numbered as the checks are."
)

Results = Mapping[str, Seen]
"""By the case's name."""


def problems(case: Case, seen: Seen) -> list[str]:
    """What is not as declared, in words; nothing is what it should be."""
    if not case.check:
        found = [f"{case.name}: false alarm: {i}: {text}" for i, text in seen.raised.items()]
        end = "finished" if case.stop_steps is None else "stopped"
        return found + [f"{case.name}: ended as {seen.state}"] * (seen.state != end)
    found = []
    if case.check not in seen.raised:
        found.append(f"{case.name}: {case.check} was not raised")
    for other in sorted(seen.raised.keys() - case.declared):
        found.append(f"{case.name}: {other} was raised: {seen.raised[other]}")
    if seen.diagnosed[:1] != [case.check]:
        named = ", ".join(seen.diagnosed) or "nothing"
        found.append(f"{case.name}: diagnose named {named}, not {case.check} first")
    if case.names not in seen.says:
        found.append(f"{case.name}: diagnose said nothing of {case.names}: {seen.says}")
    return found


def tables(faults: Sequence[Case], clean: Sequence[Case], results: Results) -> str:
    """The confusion matrix, and what the runs without a fault have raised; Markdown."""
    return "\n\n".join([LEGEND, _matrix(faults, results), _clean(clean, results)])


def sabotaged_table(cases: Sequence[Case], results: Results) -> str:
    """What was done to a config, and what `tuitrain diagnose` says first; Markdown."""
    out = [
        "| config | what is wrong with it | what `tuitrain diagnose` says first |",
        "|---|---|---|",
    ]
    for case in cases:
        says = results[case.name].says.replace("|", "\\|")
        name = case.file.name if case.file else case.name
        out.append(f"| [{name}](../tests/diagnosis/sabotaged/{name}) | {case.fault} | {says} |")
    return "\n".join(out)


def _matrix(cases: Sequence[Case], results: Results) -> str:
    """A row for every fault, a column for every check, by numbers: most cells are empty."""
    columns = _columns(cases, results)
    numbers = {check: str(number) for number, check in enumerate(columns, 1)}
    out = [
        f"| fault | entry | its check | first | {' | '.join(numbers.values())} |",
        f"|---|---|---|---|{':-:|' * len(columns)}",
    ]
    for case in cases:
        seen = results[case.name]
        first = "yes" if seen.diagnosed[:1] == [case.check] else ", ".join(seen.diagnosed) or "–"
        cells = [_cell(case, seen, column) for column in columns]
        check = f"{numbers[case.check]} `{case.check}`"
        out.append(f"| {case.fault} | {case.rows} | {check} | {first} | {' | '.join(cells)} |")
    others = [f"{numbers[i]} `{i}`" for i in columns if i not in {case.check for case in cases}]
    told = ["\n" + ", ".join(others)] if others else []
    return "\n".join([*out, *told])


def _columns(cases: Iterable[Case], results: Results) -> list[str]:
    """Ids in the order in which faults ask for them, then what else was raised."""
    own = [case.check for case in cases]
    raised = sorted({i for case in cases for i in results[case.name].raised})
    return [*dict.fromkeys([*own, *raised])]


def _cell(case: Case, seen: Seen, check: str) -> str:
    if check not in seen.raised:
        return "missed" if check == case.check else ""
    if check == case.check:
        return "●"
    return "○" if check in case.declared else "✗"


def _clean(cases: Sequence[Case], results: Results) -> str:
    out = ["| run without a fault | raised |", "|---|---|"]
    for case in cases:
        raised = ", ".join(f"`{i}`" for i in results[case.name].raised)
        out.append(f"| {case.name} | {raised or 'nothing'} |")
    return "\n".join(out)
