"""The screen as files, and as programs without a terminal."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tui.fixtures import failed, write_run
from tests.tui.harness import seated


async def test_export_announces_its_path(tmp_path: Path) -> None:
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("x")
        (svg,) = (tmp_path / "screens").glob("*.svg")
        assert str(svg) in (await seat.text()).replace("\n", "")
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


async def test_export_program(tmp_path: Path) -> None:
    from tuitrain.tui import export

    write_run(tmp_path)
    out, text = tmp_path / "pictures" / "screen.svg", tmp_path / "screen.txt"
    done = await asyncio.to_thread(
        export.main, [str(tmp_path), str(out), "--size", "80x24", "--text", str(text)]
    )
    assert done == 0
    assert "<svg" in out.read_text()
    assert "FINISHED" in text.read_text()
    assert export.main([str(tmp_path / "nowhere"), str(out)]) == 2


async def test_export_of_a_live_run(tmp_path: Path) -> None:
    from tuitrain.tui.export import export, live_socket

    async with seated() as seat:
        (tmp_path / "runtime.json").write_text(f'{{"socket_path": "{seat.run.socket_path}"}}')
        out, text = tmp_path / "s.svg", tmp_path / "s.txt"
        await export(tmp_path, out, socket_path=live_socket(tmp_path), text=text)
        assert "● RUNNING" in text.read_text()


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tuitrain.tui.terminal import run_tui; " \
           "sys.exit(run_tui(Path(sys.argv[1]), None))"  # fmt: skip
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
