"""A comparison as text: the table that `tuitrain compare` ends with. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tuitrain.experiments.findings import MEASURES, Analysis, Comparison, Interval, Summary

TITLES = {
    "final": "final return (last greedy evaluation)",
    "area": "area under the learning curve (mean greedy return over {span} environment steps)",
}
NO_AREA = (
    "area under the learning curve: none, the runs have no two evaluations in common "
    "(eval.every_steps)"
)
_MAX_MISSING = 10
_MAX_NAMES = 12
FEW_RUNS = 5
"""With fewer runs an arm, bootstrap intervals say less than they seem to."""


def lines_of(analysis: Analysis) -> list[str]:
    """The whole comparison in lines of text, without control characters of its own."""
    lines: list[str] = []
    for measure in MEASURES:
        for task in analysis.tasks:
            lines += _block(analysis, task, measure)
    lines += _overall(analysis)
    lines += _legend(analysis)
    lines += _apart(analysis)
    lines += [f"NOT ALL ALIKE: {text}" for text in analysis.mixed]
    lines += _missing(analysis)
    return lines


def _block(analysis: Analysis, task: str, measure: str) -> list[str]:
    summaries = [s for s in analysis.summaries if (s.task, s.measure) == (task, measure)]
    span = analysis.spans[task]
    if measure == "area" and span is None:
        return [_heading(task, NO_AREA), ""]
    shown_span = f"{span[0]:,.0f} to {span[1]:,.0f}" if span else ""
    heading = _heading(task, TITLES[measure].format(span=shown_span))
    compared = {c.arm: c for c in analysis.comparisons if (c.task, c.measure) == (task, measure)}
    header = [
        "",
        "runs",
        "IQM",
        "95 % interval",
        "difference",
        "95 % interval",
        "P(better)",
        "answer",
    ]
    rows = [_row(s, compared.get(s.arm), analysis.arms[0]) for s in summaries]
    notes = [f"  {c.arm}: {c.note}" for c in compared.values() if c.note]
    notes += [f"  {_advice(c)}" for c in compared.values() if c.answer == "inconclusive"]
    return [heading, *_aligned([header, *rows]), *filter(str.strip, notes), ""]


def _heading(task: str, title: str) -> str:
    return f"{task}: {title}" if task else title


def _row(summary: Summary, compared: Comparison | None, baseline: str) -> list[str]:
    row = [summary.arm, str(summary.n), number(summary.iqm), interval(summary.interval)]
    if compared is None:
        return [*row, "", "", "", "baseline" if summary.arm == baseline else ""]
    return [
        *row,
        f"{compared.difference:+.4g}",
        interval(compared.interval),
        f"{compared.improvement:.2f} {interval(compared.improvement_interval, '.2f')}",
        compared.answer,
    ]


def _advice(compared: Comparison) -> str:
    if compared.seeds_needed is None:
        return ""
    return (
        f"{compared.arm}: if the arms are equal, about {compared.seeds_needed:,} seeds an arm "
        "would show it (4 times in 5)"
    )


def _overall(analysis: Analysis) -> list[str]:
    if not analysis.overall:
        return []
    scaled = any(o.iqm is not None for o in analysis.overall)
    header = ["", "", *(["IQM", "95 % interval"] if scaled else []), "P(better)"]
    rows = []
    for o in analysis.overall:
        row = [o.measure, o.arm]
        if o.iqm is not None:
            row += [number(o.iqm), interval(o.interval)]
        if o.improvement is None:
            rows.append([*row, "baseline"])
        else:
            chances = interval(o.improvement_interval, ".2f")
            rows.append([*row, f"{o.improvement:.2f} {chances}"])
    what = "over all tasks" + (", scaled" if scaled else "")
    return [what, *_aligned([header, *rows]), ""]


def _legend(analysis: Analysis) -> list[str]:
    if not analysis.comparisons:
        return []
    margin = (
        "no margin was set, so nothing can be called equivalent (--margin, in units of return)"
        if analysis.margin is None
        else f"equivalent: the difference of the means is within ±{analysis.margin:g} "
        f"(TOST, alpha {analysis.alpha:g})"
    )
    if analysis.margin_is_late:
        margin += "; THIS MARGIN WAS SET AFTER THE RUNS"
    compared = {c.arm for c in analysis.comparisons} | {analysis.arms[0]}
    few = min(s.n for s in analysis.summaries if s.arm in compared and s.n > 1)
    notes = []
    if few < FEW_RUNS:
        notes.append(
            f"only {few} runs an arm: the bootstrap intervals (the first, and that of P(better)) "
            "are too narrow; the answer, by t tests, allows for so few"
        )
    count = len(analysis.comparisons)
    several = f"; {count} answers, each for itself" if count > 1 else ""
    return [margin, f"different: Welch's test, alpha {analysis.alpha:g}{several}", *notes]


def _apart(analysis: Analysis) -> list[str]:
    if not analysis.apart:
        return []
    names = [*analysis.apart[:_MAX_NAMES], *["…"] * (len(analysis.apart) > _MAX_NAMES)]
    return [f"of one arm alone, and compared only among all agents: policies {', '.join(names)}"]


def _missing(analysis: Analysis) -> list[str]:
    if not analysis.missing:
        return []
    count = len(analysis.missing)
    lines = ["", f"{count} run{'s' if count > 1 else ''} missing; the same command runs them:"]
    lines += [f"  {cell}: {why}" for cell, why in analysis.missing[:_MAX_MISSING]]
    if count > _MAX_MISSING:
        lines.append(f"  and {count - _MAX_MISSING} more")
    return lines


def number(value: float) -> str:
    """Four digits that count."""
    return f"{value:.4g}"


def interval(value: Interval | None, style: str = ".4g") -> str:
    """`[low, high]`, or a dash."""
    return "–" if value is None else f"[{value[0]:{style}}, {value[1]:{style}}]"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if i in (0, len(row) - 1) or not rows[0][i] else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
