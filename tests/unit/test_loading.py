"""User code by reference: found, imported once, and errors that say which part is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuitrain.loading import LoadError, is_reference, load_object


@pytest.fixture(autouse=True)
def _clean_imports() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_modules_attributes_and_files(tmp_path: Path) -> None:
    assert load_object("os.path:join") is os.path.join
    assert load_object("pathlib:Path.home") == Path.home
    path = write(tmp_path, "my-net.py", "class Net:\n    size = 3\n")
    assert load_object(f"{path}:Net.size") == 3
    assert load_object(f"{path}:Net") is load_object(f"{path}:Net"), "imported twice"


def test_relative_files_and_files_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a/net.py", "value = 'a'")
    write(tmp_path, "b/net.py", "value = 'b'")
    monkeypatch.chdir(tmp_path)
    assert [load_object(f"{f}/net.py:value") for f in "ab"] == ["a", "b"]


def test_neighbours_can_be_imported_and_nothing_is_shadowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "neighbour_of_net.py", "answer = 42")
    write(tmp_path, "json.py", "raise AssertionError('shadowed the standard library')")
    path = write(tmp_path, "net.py", "import json\nfrom neighbour_of_net import answer\n")
    assert load_object(f"{path}:answer") == 42
    write(tmp_path, "pkg_in_cwd/__init__.py", "here = 1")
    monkeypatch.chdir(tmp_path)
    assert load_object("pkg_in_cwd:here") == 1


def test_classes_from_files_are_known_to_their_module(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nimport dataclasses, pickle\n"
    text += "@dataclasses.dataclass\nclass C:\n    x: int = 1\n"
    text += "def copy(): return pickle.loads(pickle.dumps(C(5))).x\n"
    assert load_object(f"{write(tmp_path, 'c.py', text)}:copy")() == 5


def test_form() -> None:
    good = ["a:b", "a.b:c.d", "dir/x.py:f", "/abs/x.py:f"]
    bad = ["CartPole-v1", "a:", ":b", "a:b-c", "mlp", "", "ALE/Pong-v5", "a:1"]
    assert [r for r in good + bad if is_reference(r)] == good
    for ref in bad:
        with pytest.raises(LoadError, match=r"not of the form package\.module:name or file\.py"):
            load_object(ref)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("no_such_package_x.sub:f", "there is no module 'no_such_package_x'"),
        ("os.no_such:f", "there is no module 'os.no_such'|'os' is not a package"),
        ("missing/file.py:f", "there is no file .*missing/file.py"),
        ("os.path:joyn", "os.path has no 'joyn'; did you mean join"),
        ("os.path:join.x.y", "has no 'x'"),
    ],
)
def test_errors_name_the_wrong_part(ref: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load_object(ref)


def test_errors_of_the_users_code_keep_cause_and_place(tmp_path: Path) -> None:
    path = write(tmp_path, "bad.py", "x = 1\ny = 1 / 0\n")
    for _ in range(2):  # a failed import is not remembered as a success
        with pytest.raises(LoadError, match=r"bad\.py:2: ZeroDivisionError") as caught:
            load_object(f"{path}:x")
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    path = write(tmp_path, "syntax.py", "x = 1\ndef f(:\n")
    with pytest.raises(LoadError, match=r"syntax\.py:2: SyntaxError"):
        load_object(f"{path}:x")
    path = write(tmp_path, "needs.py", "import not_installed_x\n")
    with pytest.raises(LoadError, match=r"needs\.py:1: ModuleNotFoundError.*not_installed_x"):
        load_object(f"{path}:x")
    write(tmp_path, "outer_mod.py", "import not_installed_x\n")
    sys.path.append(str(tmp_path))
    with pytest.raises(LoadError, match=r"import failed.*not_installed_x"):
        load_object("outer_mod:x")
