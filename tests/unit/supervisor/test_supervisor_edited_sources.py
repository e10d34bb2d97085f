"""Nobody is started from sources that were edited since the session began."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.running import CREW, kill, running, together
from tuitrain.config.schema import EnvConfig


@pytest.mark.parametrize("schedule", ["async", "lockstep"])
async def test_nobody_is_started_from_edited_sources(tmp_path: Path, schedule: str) -> None:
    source = tmp_path / "world.py"
    source.write_text("import helper\n")
    (tmp_path / "helper.py").write_text("speed = 1\n")
    tables = together(CREW) if schedule == "lockstep" else {}
    tables["env"] = EnvConfig(id=f"{source}:World", kwargs={"workers": CREW})
    async with running(tmp_path, CREW, tables=tables, max_restarts=3) as run:
        await run.up()
        (tmp_path / "helper.py").write_text("speed = 2\n")
        pid = kill(run, "a0")
        assert await run.end() == 3
        reason = run.summary["reason"]
        assert f"{tmp_path / 'helper.py'} (env.id) has changed" in reason
        assert "tuitrain resume" in reason
        assert "tuitrain launch" in reason
        assert run.summary["last_checkpoint"].endswith("ckpt-1")
        assert run.pid("a0") == pid
        assert run.summary["restarts"] == {}


async def test_what_only_the_probe_has_found_is_watched_too(tmp_path: Path) -> None:
    plug = tmp_path / "plug.py"
    plug.write_text("speed = 1\n")

    class Imports(FakePlan):
        def imported(self, blueprint: Any) -> dict[str, str]:
            return {str(plug): hashlib.sha256(b"speed = 1\n").hexdigest()}

    async with running(tmp_path, CREW, Imports(), max_restarts=3) as run:
        await run.up()
        kill(run, "a0")
        await run.event("a0 is back")
        plug.write_text("speed = 2\n")
        kill(run, "a0")
        assert await run.end() == 3
        assert f"{plug} (imported) has changed" in run.summary["reason"]


async def test_what_was_edited_before_a_session_is_told_and_used(tmp_path: Path) -> None:
    source = tmp_path / "world.py"
    source.write_text("speed = 1\n")
    tables = {"env": EnvConfig(id=f"{source}:World", kwargs={"workers": CREW})}
    async with running(tmp_path, CREW, tables=tables, max_restarts=3) as run:
        recorded = {"sources": {"env.id": {str(source): "another hash"}}}
        run.folder.provenance_json.write_text(str(recorded).replace("'", '"'))
        await run.up()
        event = await run.event("since the run was launched")
        assert event.level == "warning"
        assert f"{source} (env.id) has changed" in event.text
        kill(run, "a0")
        await run.event("a0 is back")  # the session began with what is there
        await run.ask("stop")
        assert await run.end() == 0
