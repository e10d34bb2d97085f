"""`tuitrain compare` as a person types it: its examples, its refusals, what it writes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result as Called
from typer.testing import CliRunner

from tuitrain.cli import compare as cli
from tuitrain.cli.main import app
from tuitrain.experiments import running
from tuitrain.experiments.curves import Curve
from tuitrain.experiments.plan import Plan
from tuitrain.experiments.store import Result, Store

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "guide" / "comparing.md").read_text()


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "my.toml").write_text('[run]\nname = "my"\n')
    return tmp_path


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that were run; runs are doubles that finish at once, with a return of their own."""
    seen: list[Plan] = []

    def run_cells(plan: Plan, store: Store, **_: Any) -> None:
        seen.append(plan)
        for cell in plan.cells():
            curve = Curve(np.array([1.0, 2.0]), np.array([0.0, cell.seed + len(cell.arm)]))
            store.add(Result(cell, "finished", "", "r", 2, 1.0, {"p": curve}))

    monkeypatch.setattr(running, "run_cells", run_cells)
    monkeypatch.setattr("tuitrain.experiments.plot.plot", lambda *_: None)
    return seen


def call(*arguments: str, code: int = 0) -> Any:
    result: Called = CliRunner().invoke(app, ["compare", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def commands(text: str) -> list[list[str]]:
    """The arguments of every `tuitrain compare CONFIG` in a text, lines joined at backslashes."""
    joined = re.sub(r"\\\n\s*", "", text)
    found = re.findall(r"^ *tuitrain compare (\S+\.toml .*)$", joined, re.M)
    return [shlex.split(command) for command in found]


EXAMPLES = [*commands(cli.compare.__doc__ or ""), *commands(GUIDE)]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("arguments", EXAMPLES, ids=" ".join)
def test_every_example_makes_a_plan(arguments: list[str], plans: list[Plan]) -> None:
    call(*arguments)
    assert len(plans[0].arms) == 2


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z]+", GUIDE))))
def test_the_guide_names_options_that_exist(option: str) -> None:
    known = CliRunner().invoke(app, ["compare", "--help"]).output
    assert option in known


def test_the_answer_and_the_numbers_behind_it(plans: list[Plan], in_tmp: Path) -> None:
    said = call("my.toml", "--schedules", "sequential,async", "--seeds", "4", "--margin", "3")
    assert re.search(r"async +4 .* (equivalent|different|inconclusive)", said.stdout)
    folder = in_tmp / "comparisons" / "my"
    analysis = json.loads((folder / "analysis.json").read_text())
    assert [c["arm"] for c in analysis["comparisons"]] == ["async", "async"]
    printed = call(
        "my.toml", "--schedules", "sequential,async", "--seeds", "4", "--margin", "3", "--json"
    )
    assert json.loads(printed.stdout) == analysis
    again = call("--analyse", str(folder), "--json")
    assert json.loads(again.stdout) == analysis
    late = call("--analyse", str(folder), "--margin", "99")
    assert "SET AFTER THE RUNS" in late.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a config"),
        (["nowhere.toml"], "no such file"),
        (["my.toml", "--analyse", "x"], "takes its plan as it is"),
        (["--alpha", "0.1", "--analyse", "x"], "takes its plan as it is"),
        (["my.toml", "--scale", "x=5"], "TASK=LOW,HIGH"),
        (["my.toml", "--scale", "x=5,1"], "LOW below HIGH"),
        (["my.toml", "--scale", "x=1,5"], "this comparison has one"),
        (["my.toml", "--grid", "env.kwargs={},{a=1}", "--scale", "x=1,5"], "no such task"),
        (["--analyse", "nowhere"], "no comparison.json"),
        (["my.toml", "--seeds", "many"], "--seeds many"),
        (["my.toml", "--grid", "learner.lr"], "key=value,value"),
        (["my.toml", "--schedules", "fast"], "run.schedule"),
        (["my.toml", "--margin", "-1"], "--margin"),
        (["my.toml", "--out", "my.toml"], "--out"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_made(
    arguments: list[str], words: str, in_tmp: Path
) -> None:
    before = sorted(in_tmp.iterdir())
    assert words in call(*arguments, code=2).stderr
    assert [p for p in sorted(in_tmp.iterdir()) if p.name != "tuitrain"] == before


def test_a_folder_with_another_comparison_is_left_alone(plans: list[Plan], in_tmp: Path) -> None:
    call("my.toml", "--seeds", "2")
    before = (in_tmp / "comparisons" / "my" / "comparison.json").read_bytes()
    refused = call("my.toml", "--seeds", "2", "--set", "learner.lr=0.5", code=2)
    assert "learner.lr was 0.0005 and is now 0.5" in refused.stderr
    assert "another --out" in refused.stderr
    assert (in_tmp / "comparisons" / "my" / "comparison.json").read_bytes() == before
    call("my.toml", "--seeds", "3")
    assert [len(plan.seeds) for plan in plans] == [2, 3]


def test_an_interrupt_and_a_missing_run_have_codes_of_their_own(
    plans: list[Plan], in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_cells", interrupted)
    assert "goes on" in call("my.toml", code=130).stderr

    def nothing(*_: Any, **__: Any) -> None:
        return

    monkeypatch.setattr(running, "run_cells", nothing)
    assert "5 runs missing" in call("my.toml", code=3).stdout


def test_without_matplotlib_it_ends_well_and_says_what_to_type(
    plans: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuitrain.experiments.plot import NoMatplotlib

    def missing(*_: Any) -> None:
        raise NoMatplotlib

    monkeypatch.setattr("tuitrain.experiments.plot.plot", missing)
    said = call("my.toml").stderr
    assert 'pip install "tuitrain[plots]"' in said
    (drawn,) = Path().glob("comparisons/*/curves.*")
    assert str(drawn) in said
    assert "<polyline" in drawn.read_text()
