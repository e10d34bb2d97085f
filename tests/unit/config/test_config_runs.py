"""Run folders: numbered without a race, private, complete, and found again."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tuitrain.config import provenance
from tuitrain.config.load import ConfigError, config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import (
    RunFolder,
    RunFolderError,
    create_run,
    find_run,
    list_runs,
    new_run_id,
)
from tuitrain.config.schema import Config
from tuitrain.disk import write_atomically


@pytest.fixture(autouse=True)
def _cheap_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "collect", lambda config, command: {"command": command})


def config(out_dir: Path, name: str = "test") -> Config:
    return resolve(config_from({"run": {"name": name, "out_dir": str(out_dir)}}), 4)


def test_a_new_run_has_everything_and_is_private(tmp_path: Path) -> None:
    wanted = config(tmp_path / "runs")
    run = create_run(wanted, ["tuitrain", "launch"])
    assert run.path == tmp_path / "runs" / "test-0001"
    assert run.name == "test-0001"
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert sorted(p.name for p in run.path.iterdir()) == [
        "checkpoints",
        "config.toml",
        "logs",
        "provenance.json",
    ]
    assert run.load_config() == wanted
    assert run.read_json(run.provenance_json) == {"command": ["tuitrain", "launch"]}
    assert run.read_runtime() is None


def test_numbers_go_on_and_belong_to_the_name(tmp_path: Path) -> None:
    names = [create_run(config(tmp_path, name)).name for name in ("a", "a", "b", "a-0001", "a")]
    assert names == ["a-0001", "a-0002", "b-0001", "a-0001-0001", "a-0003"]
    (tmp_path / "a-0041").mkdir()
    assert create_run(config(tmp_path, "a")).name == "a-0042"


def test_launches_at_the_same_moment_get_different_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every launch believes that the folder is empty: only mkdir tells them apart.
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(()))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: create_run(config(tmp_path)), range(16)))
    assert sorted(run.name for run in made) == [f"test-{n:04d}" for n in range(1, 17)]


def test_what_cannot_be_stored_creates_nothing(tmp_path: Path) -> None:
    bad = config_from({"run": {"out_dir": str(tmp_path / "runs")}, "env": {"kwargs": {"a": None}}})
    with pytest.raises(ConfigError):
        create_run(bad)
    assert list(tmp_path.iterdir()) == []


def test_an_out_dir_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"run\.out_dir.*(Not a directory|File exists)"):
        create_run(config(tmp_path / "file"))


def test_find_by_latest_name_prefix_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [create_run(config(tmp_path, name)) for name in ("a", "b", "a")]
    for age, run in enumerate(reversed(made)):
        os.utime(run.provenance_json, (1000 - age, 1000 - age))
    assert find_run("latest", tmp_path) == made[2]
    assert find_run("a-0001", tmp_path) == made[0]
    assert find_run("a", tmp_path) == made[2]
    assert find_run("b", tmp_path) == made[1]
    assert find_run(str(made[1].path)) == made[1]
    monkeypatch.chdir(tmp_path)
    assert find_run("./b-0001") == made[1]
    assert [run.name for run in list_runs(tmp_path)] == ["a-0001", "b-0001", "a-0002"]


def test_storing_the_config_again_does_not_make_a_run_the_latest(tmp_path: Path) -> None:
    old, new = (create_run(config(tmp_path, name)) for name in ("old", "new"))
    os.utime(old.provenance_json, (1000, 1000))
    os.utime(new.provenance_json, (1001, 1001))
    old.store_config(config(tmp_path, "old"))
    assert find_run("latest", tmp_path) == new


def test_what_is_not_found_names_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"there are no runs in .*TUITRAIN_RUNS_DIR"):
        find_run("latest", tmp_path / "nowhere")
    create_run(config(tmp_path, "cartpole"))
    (tmp_path / "half-made-0001").mkdir()  # no config: not a run
    create_run(config(tmp_path, "maze"))
    for slip in ("cartpol-001", "catpole", "cartpole-0007", "cart"):
        with pytest.raises(
            RunFolderError, match=r"Near it: cartpole-0001\. Runs of another: .*TUITRAIN_RUNS_DIR"
        ):
            find_run(slip, tmp_path)
    for other in ("nosuch", "tree", ""):
        with pytest.raises(
            RunFolderError, match=r"\. `tuitrain ls` lists all of this folder\. .*RUNS_DIR"
        ):
            find_run(other, tmp_path)
    with pytest.raises(RunFolderError, match=r"not a run folder: it has no config\.toml"):
        find_run(str(tmp_path / "half-made-0001"))
    with pytest.raises(RunFolderError, match="no run 'half-made-0001'"):
        find_run("half-made-0001", tmp_path)


def test_runtime_is_written_and_read(tmp_path: Path) -> None:
    run = create_run(config(tmp_path))
    run_id = new_run_id()
    assert re.fullmatch("[0-9a-f]{8}", run_id)
    run.write_runtime(run_id=run_id, pid=1, socket_path="/tmp/s", session=2)
    assert run.read_runtime() == {
        "schema_version": 1,
        "run_id": run_id,
        "run_dir": str(run.path),
        "pid": 1,
        "socket_path": "/tmp/s",
        "session": 2,
    }


def test_a_copy_of_a_run_folder_has_an_id_of_its_own(tmp_path: Path) -> None:
    """What carries the id may be the original's, and the original may be living."""
    run = create_run(config(tmp_path))
    run.write_runtime(run_id="0123abcd", pid=1, socket_path="/s")
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(run.path, copy.path)
    assert (run.read_run_id(), copy.read_run_id()) == ("0123abcd", None)
    (tmp_path / "link").symlink_to(run.path)
    assert RunFolder(tmp_path / "link").read_run_id() == "0123abcd"


@pytest.mark.parametrize("text", ["{", "3", "\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    run = create_run(config(tmp_path))
    run.runtime_json.write_text(text, encoding="latin-1")
    with pytest.raises(RunFolderError, match=r"runtime\.json"):
        run.read_runtime()


def test_a_folder_without_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"config\.toml: No such file"):
        RunFolder(tmp_path).load_config()


def test_an_interrupted_write_leaves_the_old_text_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, json.dumps({"a": 1}))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "half")
    assert path.read_text() == '{"a": 1}'
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_files_are_named_or_done_without(tmp_path: Path) -> None:
    run = create_run(config(tmp_path))
    run.write_runtime(run_id="0123abcd", pid=1, socket_path="/s")
    assert run.read_run_id() == "0123abcd"
    for text in ("{", "[" * 100_000, '{"run_id": "../../x"}', '{"run_id": "0123abcd\\n"}', "[]"):
        run.runtime_json.write_text(text)
        assert run.read_run_id() is None
    assert run.read_summary() is None
    for text in ("{", "[" * 100_000, '{"state": "finished"}'):
        run.summary_json.write_text(text)
        with pytest.raises(RunFolderError, match=re.escape(str(run.summary_json))):
            run.read_summary()
    run.config_toml.write_bytes(b"\xff")
    with pytest.raises(RunFolderError, match="not UTF-8"):
        run.load_config()


def test_a_path_that_is_not_utf8_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"n\xffn")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(RunFolderError, match="UTF-8"):
        create_run(config(Path("runs")))
    assert list(folder.iterdir()) == []


def test_a_home_that_is_unknown_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(RunFolderError, match="not a run folder"):
        find_run("~nobody-of-this-name/run", tmp_path)


def test_a_config_of_before_that_is_none_is_told(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "config.before.toml").mkdir()
    folder.config_toml.touch()
    with pytest.raises(RunFolderError, match=r"config\.before\.toml.* cannot be put back"):
        folder.restore_config()
