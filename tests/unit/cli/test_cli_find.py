"""Which run is meant: by the beginning of a name, and where the newest has nothing to play."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuitrain.cli import commands
from tuitrain.cli import find as finding
from tuitrain.cli.errors import Refused
from tuitrain.cli.find import find, find_trained
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import SUMMARY_KEYS, RunFolder, RunFolderError, create_run
from tuitrain.config.schema import Config
from tuitrain.supervisor.house.house import Tenant


def run(out_dir: Path, name: str, state: str | None, steps: int = 0, saved: int = 0) -> RunFolder:
    """A run that has ended (or was killed: no state), with or without a checkpoint."""
    tables = {"run": {"name": name, "out_dir": str(out_dir)}}
    folder = create_run(resolve(Config.model_validate(tables), cores=1))
    if state is not None:
        reason = "the run could not start: no such policy\nand more"
        summary = dict.fromkeys(SUMMARY_KEYS) | {"state": state, "reason": reason, "steps": steps}
        folder.summary_json.write_text(json.dumps(summary))
    if saved:
        (folder.checkpoints / f"ckpt-{saved:010d}.pt").touch()
    return folder


def test_the_beginning_of_a_name_is_enough_where_no_other_begins_so(tmp_path: Path) -> None:
    for name in ("treasurehunt", "tree", "treasurehunt", "cartpole", "cartpole-long"):
        run(tmp_path, name, "finished")
    for text, name in (
        ("treas", "treasurehunt-0002"),
        ("tree", "tree-0001"),
        ("treasurehunt-0001", "treasurehunt-0001"),
        ("cartpole", "cartpole-0001"),
        ("cartpole-l", "cartpole-long-0001"),
    ):
        assert find(text, tmp_path).folder.name == name
    # of two runs of one name a part of the number means neither; "" is nobody's beginning
    for text in ("tre", "cart", "treasurehunt-000", "", "x"):
        with pytest.raises(RunFolderError, match="no run"):
            find(text, tmp_path)


def test_a_run_with_a_checkpoint_is_taken_as_it_is(tmp_path: Path) -> None:
    run(tmp_path, "a", "finished", 100, saved=9)
    run(tmp_path, "a", None, saved=3)
    for text, name in (("latest", "a-0002"), ("a", "a-0002"), ("a-0001", "a-0001")):
        found, told = find_trained(text, tmp_path)
        assert (found.folder.name, told) == (name, "")


def test_one_that_failed_at_its_start_is_passed_over_and_named(tmp_path: Path) -> None:
    run(tmp_path, "a", "finished", 100, saved=9)
    run(tmp_path, "b", "finished", 100, saved=9)
    run(tmp_path, "a", "failed")
    for text, name in (("latest", "b-0001"), ("a", "a-0001")):
        found, told = find_trained(text, tmp_path)
        assert found.folder.path == tmp_path / name
        assert told == (
            "a-0002 failed at its start (the run could not start: no such policy) and has no "
            f"checkpoint; {name} is the newest with one"
        )
    # who names one run means no other
    for text in ("a-0002", str(tmp_path / "a-0002")):
        with pytest.raises(Refused, match=r"the newest run of a with one is a-0001$"):
            find_trained(text, tmp_path)


@pytest.mark.parametrize(
    ("state", "steps", "words"),
    [(None, 0, "was killed"), ("failed", 7, r"failed \("), ("stopped", 0, r"stopped \(")],
)
def test_how_it_ended_is_said(tmp_path: Path, state: str | None, steps: int, words: str) -> None:
    run(tmp_path, "b", "finished", 100, saved=9)
    run(tmp_path, "a", state, steps)
    with pytest.raises(Refused, match=rf"a-0001 {words}.*no other run"):
        find_trained("a", tmp_path)


def test_a_living_run_may_yet_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "a", "finished", 100, saved=9)
    folder = run(tmp_path, "a", None)
    tenant = Tenant("0" * 8, str(folder.path), folder.name, 1, 0.0, "sock")
    monkeypatch.setattr(finding, "tenants", lambda: [tenant])
    for text in ("latest", "a", "a-0002"):
        with pytest.raises(Refused, match="`tuitrain checkpoint a-0002` makes one"):
            find_trained(text, tmp_path)


def test_without_a_name_the_only_living_run_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, older_too = run(tmp_path, "a", None), run(tmp_path, "b", None)
    newest = run(tmp_path, "c", "stopped")
    living: list[Tenant] = []
    monkeypatch.setattr(finding, "tenants", lambda: living)
    assert find(None, tmp_path).folder.path == newest.path, "nobody lives"
    with pytest.raises(
        Refused, match=r"^nothing runs in .*: c-0001 is the newest made, and is not"
    ):
        commands.living(None, tmp_path)
    with pytest.raises(Refused, match=r"^c-0001 is not running"):
        commands.living("latest", tmp_path)
    living.append(Tenant("0" * 8, str(old.path), old.name, 1, 0.0, "sock"))
    assert find(None, tmp_path).tenant == living[0]
    assert find("latest", tmp_path).folder.path == newest.path, "who says latest means it"
    with pytest.raises(Refused, match=r"c-0001 is not running; say which: a-0001$"):
        commands.living("latest", tmp_path)
    living.append(Tenant("1" * 8, str(older_too.path), older_too.name, 2, 0.0, "sock"))
    assert find(None, tmp_path).folder.path == newest.path, "nobody guesses which of two"
    with pytest.raises(Refused, match=r"c-0001 is not running; say which: a-0001 or b-0001$"):
        commands.living(None, tmp_path)


def test_a_run_that_lives_elsewhere_is_not_meant_where_this_folder_has_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, other = run(tmp_path / "here", "a", "stopped"), run(tmp_path / "there", "b", None)
    tenant = Tenant("0" * 8, str(other.path), other.name, 1, 0.0, "sock")
    monkeypatch.setattr(finding, "tenants", lambda: [tenant])
    assert find(None, tmp_path / "here").folder.path == ended.path
    assert find(None, tmp_path / "empty").tenant == tenant
