"""A report says what the files say, opens without network, and runs nothing that they contain."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tuitrain.cli.main import app
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder, create_run
from tuitrain.config.schema import Config
from tuitrain.experiments.curves import Curve, rising
from tuitrain.experiments.plan import Cell, Plan
from tuitrain.experiments.report import differences, page
from tuitrain.experiments.run_files import chosen_events, read_run, thinned
from tuitrain.experiments.store import Result, Store

EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def made(out_dir: Path, name: str = "r", ended: bool = True, **learner: object) -> RunFolder:
    """A run folder as a run of two policies leaves it."""
    tables = {"run": {"name": name, "out_dir": str(out_dir)}, "learner": learner}
    folder = create_run(resolve(Config.model_validate(tables), cores=2))
    records = [
        {"kind": "eval", "policy": "a", "steps": 10 * n, "return_mean": n, "return_ci95": 0.5}
        for n in range(1, 5)
    ]
    records += [{"kind": "learner", "policy": "a", "steps": 5, "loss": None, "q_mean": 1.0}]
    records += [
        {"kind": "train", "policy": "a", "steps": steps, "return_mean": 1.0 * steps, "actor": actor}
        for steps, actor in ((8, 0), (4, 1), (12, 0))
    ]
    records += [{"kind": "system", "steps": 9, "wall_s": n, "steps_per_s": 100.0} for n in (1, 2)]
    records += [{"kind": "of tomorrow"}, {"kind": "system", "wall_s": 3, "steps_per_s": None}]
    folder.metrics_jsonl.write_text("".join(json.dumps(r) + "\n" for r in records) + '{"torn')
    events = [
        {"time_s": 1.0, "level": "info", "source": "supervisor", "text": "starts"},
        {
            "time_s": 2.0,
            "level": "error",
            "source": "a0",
            "text": EVIL,
            "data": {"traceback": f"Traceback {EVIL}"},
        },
    ]
    folder.events_jsonl.write_text("".join(json.dumps(e) + "\n" for e in events))
    if ended:
        summary = {
            "state": "failed",
            "reason": EVIL,
            "steps": 40,
            "total_steps": 100,
            "base_steps": 0,
            "wall_s": 3.0,
            "policies": {
                "a": {"eval_return_mean": 4.0, "eval_return_ci95": 0.5, "eval_best": 4.25}
            },
            "learning": {"verdict": "IMPROVING", "reason": "slope"},
            "checks": [
                {"name": "replay ratio", "state": "fail", "value": "0.3", "advice": "look there"},
                {"name": "liveness", "state": "ok", "value": "fine", "advice": "unneeded"},
            ],
            "last_checkpoint": None,
            "run_dir": str(folder.path),
        }
        folder.summary_json.write_text(json.dumps(summary))
    return folder


# ---- files -----------------------------------------------------------------------------------


def test_curves_are_the_finite_points_of_the_records(tmp_path: Path) -> None:
    run = read_run(made(tmp_path))
    assert run.evaluations == {"a": [(10, 1, 0.5), (20, 2, 0.5), (30, 3, 0.5), (40, 4, 0.5)]}
    assert run.training == {"a": [(4, 4), (8, 8), (12, 12)]}
    assert run.learner["loss"] == {}
    assert run.learner["q_mean"] == {"a": [(5, 1)]}
    assert run.speed == [(1, 100), (2, 100)]
    assert (len(run.events), run.events_left_out) == (2, 0)


def test_points_that_were_taken_back_are_gone() -> None:
    assert rising([(1, 1), (2, 2), (3, 3), (2, 9), (2, 8)]) == [(1, 1), (2, 8)]


def test_thinning_keeps_the_mean_of_every_stretch() -> None:
    points = [(float(n), float(n % 2)) for n in range(1_000)]
    few = thinned(points, 100)
    assert len(few) == 100
    assert {y for _, y in few} == {0.5}
    assert few[0][0] == 4.5
    assert thinned(points[:5], 100) == points[:5]
    assert len(thinned(points, 300)) <= 300


def test_of_many_events_the_grave_ones_are_kept() -> None:
    events = [{"n": n, "level": "error" if n in (3, 7) else "info"} for n in range(100)]
    kept, left_out = chosen_events(events, most=5)
    assert [e["n"] for e in kept] == [3, 7, 97, 98, 99]
    assert left_out == 95
    assert chosen_events(events[:4], most=5) == (events[:4], 0)
    all_grave = [{"n": n, "level": "warning"} for n in range(9)]
    assert [e["n"] for e in chosen_events(all_grave, most=2)[0]] == [7, 8]


# ---- page ------------------------------------------------------------------------------------


def test_the_page_says_what_the_files_say(tmp_path: Path) -> None:
    one, two = made(tmp_path, lr=0.25), made(tmp_path, lr=0.125, n_step=3)
    text = page([read_run(one), read_run(two)], 0.0)
    found = Page(text)
    for words in ("r-0001", "r-0002", "learner.lr", "0.25", "0.125", "learner.n_step", "failed"):
        assert words in found.text
    for words in ("replay ratio", "look there", "IMPROVING", "4 ± 0.5", "4.25", "Traceback"):
        assert words in found.text
    assert "unneeded" not in found.text
    # evaluations, training and speed; loss was never finite, the mean value was but once
    assert text.count('<polyline class="line c0"') == 3
    assert text.count('<circle class="dot c0"') == 1
    assert "torn" not in found.text


def test_policies_of_one_run_have_colours_and_those_of_several_runs_have_patterns(
    tmp_path: Path,
) -> None:
    folders = [made(tmp_path), made(tmp_path)]
    for folder in folders:
        with open(folder.metrics_jsonl, "a") as file:
            for steps in (10, 20):
                record = {"kind": "eval", "policy": "b", "steps": steps, "return_mean": 1.0}
                file.write("\n" + json.dumps(record))
    alone = page([read_run(folders[0])], 0.0)
    key = re.search(r'<p class="keys">(.*?)</p>', alone)
    assert key is not None
    assert re.sub("<[^>]*>", " ", key[1]).split() == ["a", "b"]
    assert '<polyline class="line c1"' in alone
    both = page([read_run(folder) for folder in folders], 0.0)
    keys = re.findall(r'<p class="keys">(.*?)</p>', both)
    words = [re.sub("<[^>]*>", " ", key).split() for key in keys]
    assert words == [["r-0001", "r-0002"], ["policies:", "a", "b"]]
    assert re.findall(r'class="line([^"]*)"', keys[1]) == ["", " d1"]
    for color in ("c0", "c1"):
        assert both.count(f'<polyline class="line {color}"') == 3, "policy a, and the speed"
        assert both.count(f'<polyline class="line {color} d1"') == 1
    assert ' d1"' not in alone, "a commit's hash may have these letters, a class has the quote"
    assert "<title>r-0002 b</title>" in both


def test_what_environments_tell_has_curves(tmp_path: Path) -> None:
    folder = made(tmp_path)
    with open(folder.metrics_jsonl, "a") as file:
        for steps, gems in ((20, 3.0), (10, 1.0), (30, None)):
            told = {"kind": "env", "policy": "a", "steps": steps, "metrics.<gems>": gems}
            file.write("\n" + json.dumps(told))
    run = read_run(folder)
    assert run.told == {"<gems>": {"a": [(10, 1), (20, 3)]}}
    assert "&lt;gems&gt; (told by the environment)" in page([run], 0.0)


def test_greedy_and_training_returns_are_on_one_scale(tmp_path: Path) -> None:
    """They lie at 1 to 4 and at 4 to 12; over steps of which training has the fewer."""
    text = page([read_run(made(tmp_path))], 0.0)
    greedy, training = (
        re.findall(r'<text class="tick (\w)"[^>]*>([\d.]+)<', part)
        for part in text.split("<svg")[1:3]
    )
    assert greedy == training
    assert max(float(tick) for axis, tick in greedy if axis == "y") == 12
    assert [float(tick) for axis, tick in greedy if axis == "x"] == [0, 10, 20, 30, 40]


def test_a_check_that_only_one_run_has_is_empty_in_the_other(tmp_path: Path) -> None:
    one, two = made(tmp_path), made(tmp_path)
    summary = json.loads(two.summary_json.read_text())
    summary["checks"] = summary["checks"][:1]
    two.summary_json.write_text(json.dumps(summary))
    text = page([read_run(one), read_run(two)], 0.0)
    assert re.search(r"<td>liveness</td><td>[^\n]*?fine</span></td><td></td></tr>", text)


def test_the_page_needs_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = page([read_run(made(tmp_path, name="r"))], 0.0)
    found = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert found.links == []
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text
    assert EVIL in found.text  # as text


def test_a_run_that_has_not_ended_is_reported_as_far_as_it_is(tmp_path: Path) -> None:
    folder = made(tmp_path, ended=False)
    found = Page(page([read_run(folder)], 0.0))
    assert "no summary.json" in found.text
    folder.metrics_jsonl.unlink()
    folder.events_jsonl.unlink()
    folder.provenance_json.write_text("{")
    found = Page(page([read_run(folder)], 0.0))
    assert "Nothing has been measured" in found.text


def test_only_what_differs_is_a_difference() -> None:
    values = [{"a": 1, "b": 2, "run.name": "x"}, {"a": 1, "b": 3, "run.name": "y", "c": 4}]
    assert differences(values) == [["b", 2, 3], ["c", None, 4]]


# ---- the command -----------------------------------------------------------------------------


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    return tmp_path


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["report", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_report_of_runs_by_name(in_tmp: Path) -> None:
    made(in_tmp / "runs")
    made(in_tmp / "runs", lr=0.5)
    assert "r-0002" in call()
    assert "<title>r-0002" in (in_tmp / "runs" / "r-0002" / "report.html").read_text()
    assert not (in_tmp / "report.html").exists()
    assert "2 runs" in call("r-0001", "latest", "runs/r-0002", "--out", "two.html")
    assert "<title>2 runs" in (in_tmp / "two.html").read_text()


def test_report_of_a_comparison_is_of_its_finished_runs(in_tmp: Path) -> None:
    store = Store(in_tmp / "c")
    config = resolve(Config(), cores=1)
    plan = Plan(("a", "b"), ("",), (1,), {("a", ""): config, ("b", ""): config})
    curves = {"p": Curve(np.array([1.0, 2.0]), np.array([3.0, 4.0]))}
    with store.only_user():
        store.write_plan(plan, [])
        assert "finished yet" in call("c", code=2)
        for arm, state in (("a", "finished"), ("b", "failed")):
            run = made(store.runs)
            store.add(Result(Cell(arm, "", 1), state, EVIL, run.name, 1, 1.0, curves))
    assert "r-0001" in call("c")
    report = in_tmp / "c" / "report.html"
    found = Page(report.read_text())
    assert "final return" in found.text
    assert "b seed 1: failed" in found.text
    section = report.read_text().partition("<h2>Summary")[0]
    assert section.count("<polyline") == 1, "a line for the arm that has runs"
    assert "a (1 run)" in section
    store.plan_json.write_text("{}")
    assert "another version" in call("c", code=2)


def test_an_arm_has_one_colour_on_the_whole_page(in_tmp: Path) -> None:
    config = resolve(Config(), cores=1)
    arms = ("a", "b", "c")
    plan = Plan(arms, ("",), (1, 2), {(arm, ""): config for arm in arms})
    curves = {"p": Curve(np.array([1.0, 2.0]), np.array([3.0, 4.0]))}
    store = Store(in_tmp / "c")
    with store.only_user():
        store.write_plan(plan, [])
        for arm, seed in (("c", 1), ("b", 2), ("b", 1)):  # in the order in which they ended
            run = made(store.runs, name=f"{arm}-s{seed}")
            store.add(Result(Cell(arm, "", seed), "finished", "", run.name, 1, 1.0, curves))
    alone = made(in_tmp / "runs", name="alone")
    call("alone", "c", "--out", "x.html")
    above, _, rest = (in_tmp / "x.html").read_text().partition("<h2>Summary")
    summary, _, below = rest.partition("<h2>Curves")
    colors = re.compile(r'<span class="key (c\d)"></span>([\w-]+)')
    assert colors.findall(above) == [("c2", "b"), ("c3", "c")]
    assert colors.findall(summary) == [
        ("c0", alone.name),
        ("c2", "b-s1-0001"),
        ("c2", "b-s2-0001"),
        ("c3", "c-s1-0001"),
    ]
    assert colors.findall(below) == [("c0", alone.name), ("c2", "b"), ("c3", "c")]
    lines = re.findall(r'<polyline class="line (c\d)"[^>]*><title>(\w+)', above + below)
    assert {*lines} == {("c0", "alone"), ("c2", "b"), ("c3", "c")}


def test_report_replaces_nothing_but_pages(in_tmp: Path) -> None:
    made(in_tmp / "runs")
    (in_tmp / "my.toml").write_text("[run]\n")
    assert "--out" in call("--out", "my.toml", code=2)
    assert (in_tmp / "my.toml").read_text() == "[run]\n"
    assert "cannot be written" in call("--out", "nowhere/x.html", code=2)
    call("--out", "x.html")
    call("--out", "x.html")
    assert "no run" in call("nothing", code=2)


def test_a_page_of_several_runs_overwrites_none_unasked(in_tmp: Path) -> None:
    made(in_tmp / "runs")
    made(in_tmp / "runs")
    call("r-0001", "r-0002")
    page = in_tmp / "report.html"
    page.write_text("<!doctype html>another")
    assert "not overwritten" in call("r-0001", "r-0002", code=2)
    assert page.read_text() == "<!doctype html>another"
    call("r-0001", "r-0002", "--out", "report.html")
    assert "2 runs" in page.read_text()


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_page_may_be_read_by_whom_the_umask_lets(in_tmp: Path, mask: int) -> None:
    made(in_tmp / "runs")
    before = os.umask(mask)
    try:
        call("--out", "x.html")
        assert os.umask(mask) == mask, "it stays as it was"
    finally:
        os.umask(before)
    assert (in_tmp / "x.html").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (in_tmp / "runs" / "r-0001" / "config.toml").stat().st_mode & 0o077 == 0
