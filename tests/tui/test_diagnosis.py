"""The diagnosis on the screen: the list of `tuitrain diagnose`, a cause at a time."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.tui.harness import Seat, recorded, seated
from tests.unit.diagnosis.healthy import change, healthy
from tuitrain.config.checks import ChecksConfig
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import create_run
from tuitrain.diagnosis.checks import all_checks
from tuitrain.protocol import CheckView, Snapshot
from tuitrain.tui.dialogs.check import CheckDialog
from tuitrain.tui.dialogs.diagnosis import DiagnosisDialog
from tuitrain.tui.view import JUDGING
from tuitrain.workers.asides.probe import probe


async def diagnosed(seat: Seat) -> str:
    """What the box says."""
    await seat.press("w")
    assert isinstance(seat.app.screen, DiagnosisDialog)
    return await seat.text()


async def test_nothing_is_wrong() -> None:
    well = healthy()
    well.checks = all_checks(well, ChecksConfig())
    async with seated(well, (80, 24)) as seat:
        assert "Nothing is wrong" in await diagnosed(seat)
        await seat.press("down", "w")
        assert not isinstance(seat.app.screen, DiagnosisDialog)


async def test_what_does_not_learn_is_not_called_well() -> None:
    flat = change("learning.verdict", "FLAT")
    flat.checks = all_checks(flat, ChecksConfig())
    async with seated(flat, (80, 24)) as seat:
        shown = await diagnosed(seat)
        assert "Nothing was found, but it does not learn (yet)" in shown
        assert "Nothing is wrong" not in shown


async def test_causes_are_told_one_by_one() -> None:
    ill = change("policies.0.target_updates", 40)
    ill.lost_lines = 3
    ill.checks = all_checks(ill, ChecksConfig())
    async with seated(ill, (80, 24)) as seat:
        shown = await diagnosed(seat)
        assert "FAIL  The target network is not updated as often as the config" in shown
        assert "cause 1 of 2" in shown
        await seat.press("down")
        assert "WARN  Part of what was measured" in await seat.text()


async def test_the_explanation_of_a_check_names_the_key_and_goes_on_to_all_causes() -> None:
    ill = change("policies.0.target_updates", 40)
    ill.checks = all_checks(ill, ChecksConfig())
    async with seated(ill, (80, 24)) as seat:
        await seat.press("exclamation_mark")
        assert "all causes: w, or `tuitrain diagnose`" in await seat.text()
        assert "cause 1 of 1" in await diagnosed(seat)
        await seat.press("escape")
        assert isinstance(seat.app.screen, CheckDialog)


async def test_without_checks_the_command_is_named() -> None:
    nothing = healthy()
    nothing.checks = []
    async with seated(nothing, (80, 24)) as seat:
        await seat.press("w")
        assert "`tuitrain diagnose` reads" in await seat.text()


async def test_that_evaluations_play_something_else_is_noted_whatever_is_wrong(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.toml").write_text("[env]\neval_kwargs = { gravity = 3.0 }\n")
    tried = {"words": "elsewhere", "suspect": True}
    (tmp_path / "probe.json").write_text(json.dumps({"evaluations": tried}))
    for now in (healthy(), change("policies.0.target_updates", 40)):
        now.checks = all_checks(now, ChecksConfig())
        async with seated(now, (80, 24)) as seat:
            seat.app.run_dir = tmp_path
            shown = await diagnosed(seat)
            assert "Note: Evaluations play with gravity = 3.0" in shown
            assert "(env.eval_kwargs). Elsewhere." in " ".join(shown.replace("│", " ").split()), (
                "as `tuitrain diagnose` says it"
            )


async def test_of_a_killed_run_is_told_how_its_checks_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = create_run(resolve(config_from({"run": {"name": "dead"}}), cores=2))
    data = {"check": "policy_lag", "state": "fail", "value": "900 u", "limit": "500 u"}
    event = {"seq": 1, "time_s": 90.0, "level": "error", "source": "supervisor", "text": "lags"}
    folder.events_jsonl.write_text(json.dumps(event | {"data": data}) + "\n")
    async with recorded(folder.path) as seat:
        await seat.shows("1 FAIL")
        shown = await diagnosed(seat)
        assert "cause 1 of 2" in shown
        assert "Its supervisor was killed" in shown
        await seat.press("down")
        assert "acted with old weights" in await seat.text()


async def test_a_killed_run_has_its_verdict_and_no_warm_up_that_nobody_knows_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolve(config_from({"run": {"name": "dead", "total_steps": 100_000}}), cores=2)
    folder = create_run(config)
    folder.probe_json.write_text(json.dumps(probe(config, None)))
    records: list[dict[str, Any]] = [
        {"kind": "eval", "policy": "default", "steps": 5_000 * n, "updates": 500 * n, "version": n,
         "return_mean": 10.0 + 20 * n, "return_std": 2.0, "return_ci95": 1.0, "episodes": 20,
         "wall_s": n, "time_s": 80.0 + n}
        for n in range(1, 13)
    ]  # fmt: skip
    last = {"kind": "learner", "steps": 61_000, "updates": 6_100, "loss": 0.1, "time_s": 92.5}
    records.append({"policy": "default", "wall_s": 12.5} | last)
    folder.metrics_jsonl.write_text("".join(json.dumps(record) + "\n" for record in records))
    event = {"seq": 1, "time_s": 90.0, "level": "info", "source": "supervisor", "text": "runs"}
    folder.events_jsonl.write_text(json.dumps(event) + "\n")
    async with recorded(folder.path) as seat:
        await seat.shows("IMPROVING")
        assert "warm-up" not in await seat.text()
        assert seat.app.store.snapshot is not None
        (policy,) = seat.app.store.snapshot.policies
        assert policy.learning.verdict == "IMPROVING"
        folder.probe_json.unlink()
    async with recorded(folder.path) as seat:
        await seat.shows("eval 250")
        assert seat.app.store.snapshot is not None
        await seat.until(lambda: seat.app.store.snapshot.checks, "its checks, made again")
        assert seat.app.store.snapshot.learning.n_evals == 12


@pytest.mark.parametrize(
    ("config", "told"),
    [(None, "No such file"), (b"\xff", "is damaged"), (b"[run]\nname = 3\n", "run.name")],
)
async def test_of_a_killed_run_whose_files_are_damaged_it_is_told_why_there_are_no_checks(
    tmp_path: Path, config: bytes | None, told: str
) -> None:
    if config is not None:
        (tmp_path / "config.toml").write_bytes(config)
    event = {"seq": 1, "time_s": 90.0, "level": "info", "source": "supervisor", "text": "runs"}
    (tmp_path / "events.jsonl").write_text(json.dumps(event) + "\n")
    async with recorded(tmp_path) as seat:
        await seat.shows("its checks cannot be made again")
        (why,) = [e.text for e in seat.app.store.events if "checks cannot" in e.text]
        assert told in why
        assert "\n" not in why
        assert "no checks reported" in await seat.panel("header")
        await seat.press("exclamation_mark")
        assert "no checks reported" in await seat.panel("notice")
        assert "Its supervisor was killed" in await diagnosed(seat)


async def test_while_the_checks_of_a_killed_run_are_made_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(run_dir: Path, found: Snapshot) -> tuple[Snapshot, str]:
        assert go_on.wait(60)
        check = CheckView(id="a", name="a", value="1", limit="2", state="ok")
        return found.model_copy(update={"checks": [check]}), ""

    monkeypatch.setattr("tuitrain.tui.recorded.judged_again", slow)
    try:
        async with recorded(tmp_path) as seat:
            await seat.until(seat.app.loaded.is_set, "its files")
            for panel in ("header", "checks"):
                assert JUDGING in await seat.panel(panel)
            for key in ("exclamation_mark", "w"):
                await seat.press(key)
                assert JUDGING in await seat.panel("notice")
            go_on.set()
            await seat.shows("1 OK")
            assert JUDGING not in await seat.panel("checks")
    finally:
        go_on.set()
