"""A run says which code it ran, and notices when that code has changed."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tuitrain
from tuitrain.config import provenance
from tuitrain.config.load import config_from
from tuitrain.config.provenance import (
    changed_sources,
    collect,
    git_state,
    local_sources,
    source_hashes,
    source_of,
)
from tuitrain.config.schema import Config

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """env.py imports helper.py, which imports package.deep; other.py is nobody's."""
    (tmp_path / "env.py").write_text("import helper, json, numpy\ndef make(): ...\n")
    (tmp_path / "helper.py").write_text("def f():\n    from package.deep import thing\n")
    (tmp_path / "other.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("from . import sibling\n")
    (tmp_path / "package" / "sibling.py").write_text("")
    (tmp_path / "package" / "unused.py").write_text("")
    (tmp_path / "package" / "deep.py").write_text("thing = 1\n")
    return tmp_path


def env_config(folder: Path) -> Config:
    return config_from({"env": {"id": f"{folder}/env.py:make"}})


def test_local_sources_are_what_an_import_would_run(code: Path) -> None:
    names = [str(path.relative_to(code)) for path in local_sources(code / "env.py")]
    assert names == [
        "env.py",
        "helper.py",
        "package/__init__.py",
        "package/deep.py",
        "package/sibling.py",
    ]


def test_a_module_in_a_package_brings_its_parents(code: Path) -> None:
    names = [str(path.relative_to(code)) for path in local_sources(code / "package" / "deep.py")]
    assert names == ["package/__init__.py", "package/deep.py", "package/sibling.py"]


def test_an_installed_package_brings_itself_only() -> None:
    start = source_of("gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    assert start is not None
    root = next(p for p in start.parents if p.name == "gymnasium")
    assert all(path.is_relative_to(root) for path in local_sources(start))


def test_nothing_is_imported_to_find_sources(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code / "package" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.chdir(code)
    assert source_of("package.deep:thing") == code / "package" / "deep.py"
    assert "package" not in sys.modules


def test_a_folder_without_init_is_a_package_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "outer" / "no_init" / "inner"
    deep.mkdir(parents=True)
    (tmp_path / "outer" / "__init__.py").touch()
    (deep / "thing.py").touch()
    monkeypatch.chdir(tmp_path)
    assert source_of("outer.no_init.inner.thing:make") == deep / "thing.py"


def test_references_without_a_file(tmp_path: Path) -> None:
    assert source_of("CartPole-v1") is None
    assert source_of("mlp") is None
    assert source_of("no.such.module:x") is None
    assert source_of(f"{tmp_path}/none.py:x") is None
    assert source_hashes(Config()) == {}


def test_a_file_that_is_not_python_is_hashed_all_the_same(code: Path) -> None:
    (code / "env.py").write_text("def broken(:")
    assert local_sources(code / "env.py") == [code / "env.py"]


def test_a_parser_that_another_thread_has_disturbed_parses_again(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = local_sources(code / "env.py")
    parse, calls = ast.parse, itertools.count()

    def disturbed(source: bytes) -> ast.Module:
        if next(calls) % 3 < 2:
            raise SystemError("AST constructor recursion depth mismatch (before=36, after=30)")
        return parse(source)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert local_sources(code / "env.py") == whole


def test_hashes_are_of_the_bytes(code: Path) -> None:
    hashes = source_hashes(env_config(code))["env.id"]
    assert (
        hashes[str(code / "helper.py")]
        == hashlib.sha256((code / "helper.py").read_bytes()).hexdigest()
    )


def test_changes_are_noticed_and_named(code: Path) -> None:
    config = env_config(code)
    recorded = json.loads(json.dumps(source_hashes(config)))
    assert changed_sources(recorded, config) == []
    (code / "other.py").write_text("changed, but nobody imports it")
    assert changed_sources(recorded, config) == []
    (code / "package" / "deep.py").write_text("thing = 2\n")
    assert changed_sources(recorded, config) == [f"{code}/package/deep.py (env.id) has changed"]
    (code / "helper.py").write_text("import other\n")
    assert changed_sources(recorded, config) == [
        f"{code}/helper.py (env.id) has changed",
        f"{code}/other.py (env.id) is new",
        f"{code}/package/__init__.py (env.id) is gone or no longer imported",
        f"{code}/package/deep.py (env.id) is gone or no longer imported",
        f"{code}/package/sibling.py (env.id) is gone or no longer imported",
    ]


@needs_git
def test_git_commit_diff_and_untracked(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "a.py").write_text("one\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    (tmp_path / "below").mkdir()
    clean = git_state(tmp_path / "below")
    assert clean["commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert clean["branch"] == "trunk"
    assert (clean["dirty"], clean["diff"], clean["diff_sha256"]) == (False, "", None)
    (tmp_path / "a.py").write_text("two\n")
    (tmp_path / "b.py").write_text("")
    dirty = git_state(tmp_path / "below")
    assert dirty["dirty"] is True
    assert "-one\n+two\n" in dirty["diff"]
    assert dirty["diff_cut"] is False
    assert dirty["untracked"] == ["b.py"]


@needs_git
def test_a_long_diff_is_cut_but_hashed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    (tmp_path / "a.py").write_text("x\n" * 100)
    whole = git_state(tmp_path)
    monkeypatch.setattr(provenance, "MAX_DIFF_BYTES", 50)
    cut = git_state(tmp_path)
    assert (cut["diff"], cut["diff_cut"]) == (whole["diff"][:50], True)
    assert cut["diff_sha256"] == hashlib.sha256(whole["diff"].encode()).hexdigest()


@needs_git
def test_no_commit_says_why(tmp_path: Path) -> None:
    outside = git_state(tmp_path)
    assert outside["commit"] is None
    assert "not a git repository" in outside["why"]
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path)["commit"] is None


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "why": "git is not installed"}


def test_collect_is_json_and_complete(code: Path) -> None:
    data = json.loads(json.dumps(collect(env_config(code), ["tuitrain", "launch", "x"])))
    assert data["command"] == ["tuitrain", "launch", "x"]
    assert data["tuitrain"]["version"] == tuitrain.__version__
    assert len(data["tuitrain"]["source_sha256"]) == 64
    assert {"torch", "numpy", "gymnasium"} <= data["packages"].keys()
    assert data["sources"]["env.id"].keys() == source_hashes(env_config(code))["env.id"].keys()
    assert data["python"]["version"] == sys.version.split()[0]


def test_config_modules_import_no_torch() -> None:
    code = (
        "import sys, tuitrain.config.load, tuitrain.config.resolve, tuitrain.config.runs\n"
        "sys.exit('torch' in sys.modules or 'gymnasium' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
