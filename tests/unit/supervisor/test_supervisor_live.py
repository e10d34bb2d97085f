"""`set`: checked, written down, told to those who use it, and held by all who come later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.unit.supervisor.running import CREW, Run, kill, running, together, worker
from tuitrain.config.changes import Change, read_changes, store_changes
from tuitrain.supervisor.live import Live
from tuitrain.workers.messages import Set


def rate(run: Run) -> float:
    return run.supervisor.config.learner.lr


def settings(run: Run) -> dict[str, tuple[Any, Any]]:
    """What differs from config.toml, as clients see it."""
    shown = run.supervisor.snapshot().settings
    return {s.key: (s.value, s.given) for s in shown if s.value != s.given}


async def test_a_change_is_told_shown_and_written_down(tmp_path: Path) -> None:
    async with running(tmp_path, CREW) as run:
        await run.up()
        assert settings(run) == {}
        before = run.folder.config_toml.read_text()
        (policy,) = run.supervisor.view.policies
        run.supervisor.view.newest["learner", policy.name] = {"lr": 2.3e-4}
        values = ["learner.lr=1e-4", "exploration.epsilon_end=0.2"]
        reply = await run.ask("set", values=values)
        assert reply.ok, reply.message
        assert reply.message == (
            "learner.lr = 0.0001 (was 0.0005; until now lr 0.00023), "
            "exploration.epsilon_end = 0.2 (was 0.05); 2 workers have it"
        )
        assert set(reply.result["answers"]) == {"learner", "a0"}
        told = await run.event("set: learner.lr")
        assert told.data["mark"] == "set"
        assert told.data["changes"] == {
            "learner.lr": {"old": 0.0005, "new": 0.0001},
            "exploration.epsilon_end": {"old": 0.05, "new": 0.2},
        }
        assert settings(run) == {
            "learner.lr": (0.0001, 0.0005), "exploration.epsilon_end": (0.2, 0.05),
        }  # fmt: skip
        assert read_changes(run.folder)["learner.lr"] == Change(0.0005, 0.0001)
        assert run.folder.config_toml.read_text() == before, "stays what the user gave"
        level = await run.ask("set", values=["run.log_level=debug"])
        assert set(level.result["answers"]) == set(CREW), "all of them log"
        back = await run.ask("set", values=["exploration.epsilon_end=0.05"])
        assert back.ok
        assert set(settings(run)) == {"learner.lr", "run.log_level"}
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["changes"]["learner.lr"] == {"value": 0.0001, "given": 0.0005}


async def test_what_cannot_be_changes_nothing(tmp_path: Path) -> None:
    refused: list[tuple[list[str], str]] = [
        (["learner.lr=7"], "learner.lr = 7: must be a number above 0 and at most 1."),
        (["learner.lr=1e-4", "learner.gamma=0.5"], "What can: learner.lr, learner.lr_end,"),
        ([], "needs key=value"),
        (["learner.lr"], "learner.lr"),
    ]
    async with running(tmp_path, CREW) as run:
        await run.up()
        for values, words in refused:
            reply = await run.ask("set", values=values)
            assert not reply.ok
            assert words in reply.message
            assert "\n" not in reply.message
            assert "--set" not in reply.message, "that is another command's"
            assert rate(run) == 0.0005
            assert not run.folder.changes_json.exists()
        same = await run.ask("set", values=["learner.lr=0.0005"])
        assert (same.ok, same.message) == (True, "nothing is changed: these are the values")
        assert not any("mark" in event["data"] for event in run.events)
        assert not any(event["text"].startswith("set") for event in run.events), "who asked is told"
        await run.ask("kill")
        assert await run.end() == 0


async def test_what_cannot_be_written_down_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ Else it would be lost with the next session."""

    def full(folder: Any, changes: Any) -> None:
        raise OSError(28, "No space left on device", str(folder.changes_json))

    async with running(tmp_path, CREW) as run:
        await run.up()
        monkeypatch.setattr("tuitrain.supervisor.live.store_changes", full)
        reply = await run.ask("set", values=["learner.lr=1e-4"])
        assert not reply.ok
        assert "nothing is changed" in reply.message
        assert "No space left on device" in reply.message
        assert rate(run) == 0.0005
        await run.ask("kill")
        assert await run.end() == 0


async def test_it_works_while_the_run_is_paused(tmp_path: Path) -> None:
    async with running(tmp_path, CREW) as run:
        await run.up()
        await run.ask("pause")
        assert (await run.ask("set", values=["learner.lr=1e-4"])).ok
        assert run.supervisor.snapshot().state == "paused"
        assert rate(run) == 1e-4
        await run.ask("kill")
        assert await run.end() == 0


@pytest.mark.parametrize("tables", [None, together(CREW)])
async def test_who_comes_later_is_started_with_it(
    tmp_path: Path, tables: dict[str, Any] | None
) -> None:
    """▣ A successor, and all who go back together."""
    async with running(tmp_path, CREW, tables=tables, max_restarts=3) as run:
        await run.up()
        assert (await run.ask("set", values=["learner.lr=1e-4"])).ok
        kill(run, "a0")
        await run.event("a0 is back" if tables is None else "all workers are back")
        kit = run.supervisor.crew._kit
        assert kit is not None
        assert kit.config.learner.lr == kit.blueprint.config.learner.lr == 1e-4
        assert run.supervisor.snapshot().reproducible is (None if tables is None else False)
        await run.ask("stop")
        assert await run.end() == 0


async def test_the_next_session_begins_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = fake_config(CREW)
    folder = fake_folder(tmp_path, given)
    kept = {"learner.lr": Change(0.0005, 1e-4), "eval.every_steps": Change(7, 77)}
    store_changes(folder, kept)  # the interval was given anew since, by `resume --set`
    monkeypatch.setattr("tests.unit.supervisor.running.fake_folder", lambda *_: folder)
    async with running(tmp_path, CREW) as run:
        await run.up()
        assert settings(run) == {"learner.lr": (0.0001, 0.0005)}
        assert set(read_changes(folder)) == {"learner.lr"}, "or it would hold again some day"
        assert folder.load_config().learner.lr == 0.0005
        await run.ask("stop")
        assert await run.end() == 0


async def test_in_rounds_the_conductor_is_told_last(tmp_path: Path) -> None:
    """▣ Who reads its number on the board must have the change already."""
    told: list[tuple[str, int]] = []
    workers = {"learner0": {"do": "work"}, "learner1": {"do": "work"}, "a0": {"do": "work"}}
    async with running(tmp_path, workers, tables=together(workers)) as run:
        await run.up()
        for name in workers:
            process = worker(run, name).process
            send = process.send

            def noted(message: Any, name: str = name, send: Any = send) -> bool:
                if isinstance(message, Set):
                    told.append((name, message.number))
                return bool(send(message))

            process.send = noted
        reply = await run.ask("set", values=["exploration.epsilon_end=0.2"])
        assert reply.ok
        assert "3 workers have it, it holds from the next round on" in reply.message
        assert "not reproducible from its seed" in reply.message
        await run.ask("set", values=["eval.every_steps=5"])
        assert told == [
            ("learner1", 1), ("a0", 1), ("learner0", 1), ("learner1", 2), ("learner0", 2),
        ]  # fmt: skip
        await run.ask("kill")
        assert await run.end() == 0


async def test_overlapping_changes_are_told_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ In rounds a conductor that hears of the later one first would go back to a lower number."""
    async with running(tmp_path, CREW, tables=together(CREW)) as run:
        await run.up()
        crew, numbers = run.supervisor.crew, []
        command = crew.command

        async def noted(kind: Any, workers: Any, **more: Any) -> Any:
            numbers.append(more["number"])
            return await command(kind, workers, **more)

        monkeypatch.setattr(crew, "command", noted)
        change = run.supervisor.requests._live.change
        floors = ("exploration.epsilon_end=0.2", "exploration.epsilon_end=0.3")
        await asyncio.gather(*(change([floor], None) for floor in floors))
        assert numbers == [1, 1, 2, 2]
        monkeypatch.undo()
        await run.ask("kill")
        assert await run.end() == 0


@pytest.mark.parametrize("how", ["refused", "unreachable", "missing"])
async def test_who_goes_by_the_old_value_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """▣ With what to do; and nobody is counted who does not have it."""
    async with running(tmp_path, CREW) as run:
        await run.up()
        crew = run.supervisor.crew
        command = crew.command

        async def but_one(*given: Any, **more: Any) -> Any:
            outcome = await command(*given, **more)
            ack = outcome.acks.pop("a0")
            if how == "refused":
                outcome.acks["a0"] = ack.model_copy(update={"ok": False, "result": {}})
            else:
                getattr(outcome, how).append("a0")
            return outcome

        monkeypatch.setattr(crew, "command", but_one)
        reply = await run.ask("set", values=["exploration.epsilon_end=0.2"])
        monkeypatch.undo()
        assert not reply.ok
        assert "; 1 worker has it; " in reply.message
        assert "it is written down and holds for successors and resumes" in reply.message
        late = ", or answers after all" if how == "missing" else ""
        assert (
            f"a0 goes by the old value until it is started again{late}: "
            "`tuitrain restart fake-0001 a0`"
        ) in reply.message
        assert (await run.event("set: exploration")).text.endswith(reply.message[-40:])
        assert read_changes(run.folder)["exploration.epsilon_end"].value == 0.2
        await run.ask("kill")
        assert await run.end() == 0


@pytest.mark.parametrize("late", ["a0", "learner"])
async def test_in_rounds_a_crew_that_has_gone_back_meanwhile_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """▣ Nobody is told to restart who was started with the change: the conductor least of all."""
    async with running(tmp_path, CREW, tables=together(CREW), max_restarts=3) as run:
        await run.up()
        crew = run.supervisor.crew
        command = crew.command

        async def then_one_dies(kind: Any, workers: Any, **more: Any) -> Any:
            outcome = await command(kind, workers, **more)
            if "a0" in outcome.acks:
                kill(run, late)
                await run.event("all workers are back")
                del outcome.acks["a0"]
                outcome.missing.append("a0")
            return outcome

        monkeypatch.setattr(crew, "command", then_one_dies)
        reply = await run.ask("set", values=["exploration.epsilon_end=0.2"])
        monkeypatch.undo()
        assert reply.ok, reply.message
        assert "1 worker has it, it holds from the next round on; " in reply.message
        assert reply.message.endswith("; a0 ended before answering")
        assert set(reply.result["answers"]) == {"learner"}
        await run.ask("stop")
        assert await run.end() == 0


async def test_a_conductor_that_does_not_answer_keeps_all_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, CREW, tables=together(CREW)) as run:
        await run.up()
        monkeypatch.setattr(worker(run, "learner").process, "send", lambda _: False)
        reply = await run.ask("set", values=["exploration.epsilon_end=0.2"])
        assert not reply.ok
        assert "it holds from the next round on that learner opens with it; " in reply.message
        assert reply.message.endswith("`tuitrain restart fake-0001 learner`")
        await run.ask("kill")
        assert await run.end() == 0


async def test_what_decides_nothing_leaves_a_run_reproducible(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, tables=together(CREW)) as run:
        await run.up()
        assert isinstance(run.supervisor.requests._live, Live)
        assert run.supervisor.snapshot().reproducible is True
        reply = await run.ask("set", values=["run.log_level=info"])
        assert "reproducible" not in reply.message
        assert run.supervisor.snapshot().reproducible is True
        await run.ask("kill")
        assert await run.end() == 0
