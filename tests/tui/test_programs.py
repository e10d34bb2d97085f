"""The screen as files, and as programs without a terminal."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.sites import POLL_S
from tests.tui.fixtures import failed, write_run
from tests.tui.harness import DEADLINE_S, seated
from tuitrain.cli.main import app as cli
from tuitrain.tui.export import export


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


async def test_export_announces_its_path(tmp_path: Path) -> None:
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("x")
        (svg,) = (tmp_path / "screens").glob("*.svg")
        assert f"exported screens/{svg.name}, .txt and .json" in await seat.text()
        assert str(svg) in seat.app.store.events[-1].text
        assert "<svg" in svg.read_text()
        assert "IMPROVING" in svg.with_suffix(".txt").read_text()
        said = json.loads(svg.with_suffix(".json").read_text())
        assert said["snapshot"]["learning"]["verdict"] == "IMPROVING"
        assert said["events"][0]["text"].startswith("run 3f9a12bc started")


async def test_what_is_exported_is_json_also_where_nothing_is_finite(tmp_path: Path) -> None:
    async with seated(failed(), run_dir=tmp_path) as seat:
        await seat.press("x")
        (path,) = (tmp_path / "screens").glob("*.json")
        (found,) = json.loads(path.read_text(), parse_constant=pytest.fail)["snapshot"]["policies"]
        assert found["loss"] is None


async def test_export_into_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "screens").write_text("in the way")
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("x")
        assert "✖ export failed" in await seat.text()


def test_the_export_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "b-0001")
    out = tmp_path / "pictures" / "screen.svg"
    done = command("export", "b-0001", "--size", "80x24", "--out", str(out))
    assert done.exit_code == 0
    assert done.stdout == f"{out}\n"
    assert "<svg" in out.read_text()
    text = out.with_suffix(".txt").read_text()
    assert "FINISHED" in text
    assert max(map(len, text.splitlines())) == 80
    assert json.loads(out.with_suffix(".json").read_text())["snapshot"]["state"] == "finished"
    assert command("export", "b-0001", "--press", "question_mark", "--out", str(out)).exit_code == 0
    assert "ctrl+p" not in text
    assert "ctrl+p" in out.with_suffix(".txt").read_text()
    assert command("export", "b-0001", "--press", "=", "--press", "esc").exit_code == 2
    unknown = command(
        "export", "b-0001", "--press", "i", "--press", "exclamation", "--out", "no.svg"
    )
    assert unknown.exit_code == 2
    assert "--press exclamation does nothing there; keys of the screen: " in unknown.stderr
    assert "exclamation_mark" in unknown.stderr
    assert "--press d leaves the screen" in command("export", "b-0001", "--press", "d").stderr
    assert not (tmp_path / "no.svg").exists()
    for wrong in (("nowhere",), ("b-0001", "--size", "80"), ("b-0001", "--size", "0x1")):
        assert command("export", *wrong).exit_code == 2
    (tmp_path / "runs" / "b-0001" / "screens").write_text("in the way")
    assert "cannot be written" in command("export", "b-0001").stderr


def test_the_logs_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_run(tmp_path / "runs" / "b-0001")
    (folder / "logs" / "a0.log").write_text("\x1b[2Jout of the box\n")
    assert command("logs", "b-0001", "a0").stdout == "\\x1b[2Jout of the box\n"
    done = command("logs", "b-0001", "--filter", "LINE 42")
    assert done.stdout.splitlines() == [
        "learner: 12:00:42 learner line 42", "supervisor: 12:00:42 supervisor line 42",
    ]  # fmt: skip
    assert "it has: all, supervisor, learner, a0" in command("logs", "b-0001", "a1").stderr


async def test_export_of_a_live_run_asks_nothing_of_it_whatever_is_pressed(tmp_path: Path) -> None:
    async with seated() as seat:
        out = tmp_path / "s.svg"
        keys = [*"pscSvx1i"]
        await export(tmp_path, out, socket_path=seat.run.socket_path, keys=keys)
        assert seat.run.commands == []
        shown = out.with_suffix(".txt").read_text()
        assert "● RUNNING" in shown
        assert "Give it a core of its own" in shown
        assert {path.stem for path in tmp_path.iterdir()} == {"s"}


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tuitrain.tui.terminal import show_run; " \
           "sys.exit(show_run(Path(sys.argv[1]), None))"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, stdin=subprocess.DEVNULL,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"needs a terminal" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


def test_imports_neither_torch_nor_gymnasium() -> None:
    code = "import sys, tuitrain.tui.app; " \
           "print([m for m in ('torch', 'gymnasium', 'psutil') if m in sys.modules])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == b"[]"


def test_the_first_picture_waits_for_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, tuitrain.tui.terminal; "
        "print({'numpy', 'tuitrain.diagnosis.checks'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == b"set()"


async def test_an_error_of_a_task_ends_the_screen_and_is_told(tmp_path: Path) -> None:
    async def fail() -> None:
        raise LookupError("of a task")

    async def look() -> None:
        async with seated() as seat:
            seat.app.start(fail())
            # nothing is drawn any more, so `until` would wait for it in vain
            async with asyncio.timeout(DEADLINE_S):
                while seat.app.is_running:
                    await asyncio.sleep(POLL_S)

    with pytest.raises(LookupError, match="of a task"):
        await look()
