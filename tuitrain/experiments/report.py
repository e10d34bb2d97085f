"""`tuitrain report`: one or several runs as one HTML page that opens without network.

No script, no font, no file beside it; its content security policy forbids all of them, so that
nothing written in a run's files can do more than be read. Pure but for the files it is given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from tuitrain.config.schema import Config
from tuitrain.experiments.pieces import (
    clock,
    code_cells,
    details,
    figure,
    section,
    short,
    table,
    unbroken,
)
from tuitrain.experiments.plan import flat
from tuitrain.experiments.run_files import LEARNER_CURVES, RunFiles
from tuitrain.experiments.svg import Chart, Points, Series, color_class, sample, svg

_STEPS = "environment steps"

Key = tuple[int, str]
"""A colour's number, and what has that colour."""

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗", "n/a": "–"}
_PROVENANCE = {
    "git commit": ("git", "commit"),
    "uncommitted changes": ("git", "diff_sha256"),
    "tuitrain": ("tuitrain", "version"),
    "tuitrain's source": ("tuitrain", "source_sha256"),
    "python": ("python", "version"),
    "torch": ("packages", "torch"),
    "numpy": ("packages", "numpy"),
    "gymnasium": ("packages", "gymnasium"),
    "system": ("platform", "system"),
    "cores": ("platform", "cores"),
}


def page(
    runs: Sequence[RunFiles],
    made_at_s: float,
    answers: Sequence[str] = (),
    compared: Sequence[Chart] = (),
    colors: Sequence[Key] = (),
) -> str:
    """The whole page.

    Args:
        colors: of each run, e.g. that of its arm, which it has in `compared` too; by default every
            run has its own. Those of one run that has several policies are its policies'.
        answers: lines of text about all runs together, shown first.
        compared: charts about all runs together, shown with them.
        made_at_s: unix time, for its foot.
    """
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    style = files("tuitrain.experiments").joinpath("report.css").read_text(encoding="utf-8")
    text = "\n".join(answers)
    colors = colors or [(number, run.name) for number, run in enumerate(runs)]
    sections = [
        *([section("Comparison", f"<pre>{escape(text)}</pre>{_charts(compared)}")] * bool(answers)),
        section("Summary", _summaries(runs, colors)),
        section("Curves", _curves(runs, colors)),
        section("Config", _configs(runs)),
        section("Checks", _checks(runs)),
        section("Events", _events(runs)),
        section("Code and machine", _provenance(runs)),
    ]
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(made_at_s))
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(title)} – tuitrain</title>",
            f"<style>\n{style}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *sections,
            f"<footer>tuitrain report, {made}</footer>",
            "</body></html>",
            "",
        ]
    )


# ---- sections --------------------------------------------------------------------------------


def _summaries(runs: Sequence[RunFiles], colors: Sequence[Key]) -> str:
    return table(
        [
            "run",
            "schedule",
            "seed",
            "state",
            "steps",
            "time",
            "last evaluation",
            "best",
            "learning",
        ],
        [
            _summary_row(number if len(runs) > 1 else None, run)
            for (number, _), run in zip(colors, runs, strict=True)
        ],
    )


def _summary_row(number: int | None, run: RunFiles) -> list[str]:
    key = "" if number is None else f'<span class="key {color_class(number)}"></span>'
    label = unbroken(f"{key}{escape(run.name)}")
    row = [label, run.config.run.schedule, str(run.config.run.seed)]
    summary = run.summary
    if summary is None:
        seen = max((steps for e in run.evaluations.values() for steps, _, _ in e), default=0)
        return [*row, escape(run.why_no_summary), f"{seen:,.0f}", "", "", "", ""]
    policies: Mapping[str, Mapping[str, Any]] = summary["policies"]
    state = f"<b>{escape(str(summary['state']))}</b>"
    if summary["state"] != "finished":
        state += f": {escape(str(summary['reason']))}"
    last = [_evaluation(p, name if len(policies) > 1 else "") for name, p in policies.items()]
    best = [figure(p.get("eval_best")) for p in policies.values()]
    learning = summary["learning"]
    verdict = f"{escape(str(learning.get('verdict')))}: {escape(str(learning.get('reason')))}"
    steps = unbroken(f"{summary['steps']:,} of {summary['total_steps']:,}")
    return [
        *row,
        state,
        steps,
        unbroken(f"{summary['wall_s']:,.0f} s"),
        unbroken("<br>".join(last)),
        unbroken("<br>".join(best)),
        verdict,
    ]


def _evaluation(policy: Mapping[str, Any], name: str) -> str:
    mean, half = policy.get("eval_return_mean"), policy.get("eval_return_ci95")
    width = "" if half is None else f" ± {half:.3g}"
    return f"{escape(name)} {figure(mean)}{width}".strip()


def _curves(runs: Sequence[RunFiles], colors: Sequence[Key]) -> str:
    """Charts; of one run a colour for each policy, of several `colors` and a pattern for each."""
    look = _Look(runs, [number for number, _ in colors])
    greedy, training = _evaluations(runs, look), look.lines([run.training for run in runs])
    over_steps: list[tuple[str, list[Series], list[Series]]] = [
        # on one scale: exploration is what stands between them
        ("greedy return (mean of an evaluation, 95 % interval)", greedy, training),
        ("return of training episodes, with exploration", training, greedy),
    ]
    for name in sorted({name for run in runs for name in run.told}):
        told = look.lines([run.told.get(name, {}) for run in runs])
        over_steps.append((f"{name} (told by the environment)", told, []))
    for field, title in LEARNER_CURVES.items():
        over_steps.append((title, look.lines([run.learner[field] for run in runs]), []))
    last = max((x for _, lines, _ in over_steps for s in lines for x, _ in s.points), default=0.0)
    charts = [
        Chart(title, _STEPS, lines, (0.0, last or 1.0), beside)
        for title, lines, beside in over_steps
    ]
    speed = [
        Series(run.name, number, run.speed) for (number, _), run in zip(colors, runs, strict=True)
    ]
    charts.append(Chart("environment steps per second", "seconds", speed))
    drawn = [svg(chart) for chart in charts]
    if not any(drawn):
        return "<p>Nothing has been measured.</p>"
    keys = _key(list(enumerate(look.policies)) if look.by_color else sorted({*colors}))
    if len(look.policies) > 1 and not look.by_color:
        keys += _patterns(look.policies)
    return f'{keys}<div class="charts">{"".join(drawn)}</div>'


def _charts(charts: Sequence[Chart]) -> str:
    """Each with a key of its own."""
    drawn = "".join(
        f"<div>{svg(chart)}{_key([(s.number, s.label) for s in chart.series])}</div>"
        for chart in charts
    )
    return f'<div class="charts">{drawn}</div>' if charts else ""


def _key(colors: Sequence[Key]) -> str:
    keys = "".join(
        f'<span><span class="key {color_class(number)}"></span>{escape(name)}</span>'
        for number, name in colors
    )
    return f'<p class="keys">{keys}</p>'


def _patterns(policies: Sequence[str]) -> str:
    keys = "".join(
        f"<span>{sample(pattern)}{escape(name)}</span>" for pattern, name in enumerate(policies)
    )
    return f'<p class="keys">policies: {keys}</p>'


def _evaluations(runs: Sequence[RunFiles], look: _Look) -> list[Series]:
    series = []
    for number, run in enumerate(runs):
        for policy, points in run.evaluations.items():
            line = [(steps, mean) for steps, mean, _ in points]
            band = [(steps, mean - half, mean + half) for steps, mean, half in points]
            series.append(look.series(number, policy, line, band))
    return series


class _Look:
    """How lines are told apart: policies of one run by colour, of several by pattern.

    Attributes:
        policies: of all runs, in the order of their names.
        by_color: whether colours tell policies: those of one run, if it has several.
    """

    def __init__(self, runs: Sequence[RunFiles], colors: Sequence[int]) -> None:
        self.policies = sorted({policy for run in runs for policy in _policies(run)})
        self.by_color = len(runs) == 1 and len(self.policies) > 1
        self._runs, self._colors = runs, colors

    def lines(self, curves: Sequence[Mapping[str, Points]]) -> list[Series]:
        """A line for each policy of each run; `curves` is of each run, by policy."""
        return [
            self.series(number, policy, points)
            for number, of_run in enumerate(curves)
            for policy, points in of_run.items()
        ]

    def series(
        self,
        number: int,
        policy: str,
        line: Points,
        band: Sequence[tuple[float, float, float]] = (),
    ) -> Series:
        """One policy's line of run `number`."""
        name, place = self._runs[number].name, self.policies.index(policy)
        label = name if len(self.policies) < 2 else f"{name} {policy}"
        if self.by_color:
            return Series(label, place, line, band)
        return Series(label, self._colors[number], line, band, place)


def _policies(run: RunFiles) -> set[str]:
    """All that have a curve."""
    return {
        *run.evaluations,
        *run.training,
        *(p for c in run.learner.values() for p in c),
        *(p for c in run.told.values() for p in c),
    }


def _configs(runs: Sequence[RunFiles]) -> str:
    values = [flat(run.config) for run in runs]
    parts = []
    if len(runs) > 1:
        rows = differences(values)
        parts.append("<h3>What differs</h3>")
        parts.append(
            table(["key", *(escape(run.name) for run in runs)], [code_cells(row) for row in rows])
            if rows
            else "<p>Nothing but names and folders.</p>"
        )
    default = flat(Config())
    for run, own in zip(runs, values, strict=True):
        rows = [
            code_cells([key, value, default.get(key)])
            for key, value in own.items()
            if value != default.get(key)
        ]
        parts.append(
            details(
                f"{run.name}: what is not the default", table(["key", "value", "default"], rows)
            )
        )
    return "".join(parts)


def differences(values: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Rows of keys that are not the same everywhere: key, then its value in each."""
    keys = dict.fromkeys(key for one in values for key in one)
    ignored = ("run.name", "run.out_dir")
    return [
        [key, *(one.get(key) for one in values)]
        for key in keys
        if key not in ignored and any(one.get(key) != values[0].get(key) for one in values)
    ]


def _checks(runs: Sequence[RunFiles]) -> str:
    checked = [run for run in runs if run.summary is not None]
    if not checked:
        return "<p>Checks are recorded when a run ends.</p>"
    names: dict[str, None] = {}
    by_run: list[dict[str, Mapping[str, Any]]] = []
    for run in checked:
        assert run.summary is not None
        rows = {str(c.get("name")): c for c in run.summary["checks"]}
        names |= dict.fromkeys(rows)
        by_run.append(rows)
    body = [[escape(name), *(_check(rows.get(name)) for rows in by_run)] for name in names]
    return table(["check", *(escape(run.name) for run in checked)], body)


def _check(check: Mapping[str, Any] | None) -> str:
    if check is None:
        return ""
    state = str(check.get("state"))
    kind = state if state in _MARKS and state != "n/a" else "none"
    advice = check.get("advice") if state in ("warn", "fail") else None
    more = f"<br><small>{escape(str(advice))}</small>" if advice else ""
    value = escape(str(check.get("value", "")))
    return f'<span class="{kind}">{_MARKS.get(state, "")} {value}</span>{more}'


def _events(runs: Sequence[RunFiles]) -> str:
    return "".join(_run_events(run, opened=len(runs) == 1) for run in runs)


def _run_events(run: RunFiles, opened: bool) -> str:
    rows = []
    for event in run.events:
        level = str(event.get("level", ""))
        kind = {"warning": "warn", "error": "fail"}.get(level, "none")
        text = escape(str(event.get("text", "")))
        data = event.get("data")
        traceback = data.get("traceback") if isinstance(data, Mapping) else None
        if isinstance(traceback, str) and traceback:
            text += f"<pre>{escape(traceback)}</pre>"
        rows.append(
            [
                clock(event.get("time_s")),
                f'<span class="{kind}">{escape(level)}</span>',
                escape(str(event.get("source", ""))),
                text,
            ]
        )
    grave = sum(e.get("level") in ("warning", "error") for e in run.events)
    title = f"{run.name}: {len(run.events)} events, {grave} of them warnings or errors"
    if run.events_left_out:
        title += f", {run.events_left_out} older ones left out"
    return details(title, table(["time", "level", "source", "event"], rows), opened)


def _provenance(runs: Sequence[RunFiles]) -> str:
    rows = []
    for name, (part, key) in _PROVENANCE.items():
        found = [run.provenance.get(part) for run in runs]
        values = [t.get(key) if isinstance(t, Mapping) else None for t in found]
        rows.append(code_cells([name, *map(short, values)]))
    rows.append(code_cells(["folder", *(run.path for run in runs)]))
    return table(["", *(escape(run.name) for run in runs)], rows)
