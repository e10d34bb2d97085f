"""Logs of the workers on the screen: from disk, bounded, never in control of the terminal."""

from __future__ import annotations

from pathlib import Path

from tests.tui.fixtures import actor, policy, snapshot, write_run
from tests.tui.harness import seated
from tuitrain.protocol import CheckView, EventLine, LearningView
from tuitrain.tui.widgets.logs import after, read, sources


async def test_logs_come_from_disk_bounded(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "logs" / "a0.log").write_text("".join(f"line {i}\n" for i in range(100_000)))
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("5")
        assert "▸all" in await seat.panel("log")
        assert (await seat.panel("log")).endswith("supervisor: 12:00:19 supervisor line 199")
        await seat.press(*["right_square_bracket"] * 3)
        shown = await seat.panel("log")
        assert shown.splitlines()[-1] == "line 99999"
        assert "▸a0" in shown
        await seat.press("left_square_bracket")
        assert (await seat.panel("log")).splitlines()[-1].endswith("learner line 199")
        await seat.press("right_square_bracket", "tab", "home")
        assert "the last 64KiB of" in (await seat.panel("log")).splitlines()[1]


def test_sources_of_logs(tmp_path: Path) -> None:
    assert sources(tmp_path) == []
    (tmp_path / "logs").mkdir()
    for name in ("a0", "a2", "a10", "eval", "learner", "supervisor"):
        (tmp_path / "logs" / f"{name}.log").write_text(f"{name} speaks\n")
    found = sources(tmp_path)
    assert [s.name for s in found] == [
        "all", "supervisor", "learner", "a*", "a0", "a2", "a10", "eval",
    ]  # fmt: skip
    assert read(found[3])[0] == ["a0: a0 speaks", "a2: a2 speaks", "a10: a10 speaks"]
    assert read(found[0])[0][-1] == "supervisor: supervisor speaks"
    assert after(found, "nobody", -1) == "eval"
    (tmp_path / "logs" / "a2.log").unlink()
    assert "✖" in read(found[3])[0][1], "and the others are shown"


async def test_scrolling_up_stops_following_and_f_goes_on(tmp_path: Path) -> None:
    write_run(tmp_path)
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("5")
        assert "↓ follow" in await seat.panel("log")
        await seat.press("pageup")
        assert "■ held" in await seat.panel("log")
        assert not (await seat.panel("log")).endswith("line 199")
        await seat.press("f")
        assert "↓ follow" in await seat.panel("log")
        assert (await seat.panel("log")).endswith("line 199")
        await seat.press("f")
        assert "■ held" in await seat.panel("log")
        await seat.press("4", "f")
        assert "nothing to follow here" in await seat.text()


async def test_l_opens_the_log_of_the_chosen_process(tmp_path: Path) -> None:
    write_run(tmp_path)
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("l")
        assert "▸all" in await seat.panel("log")
        await seat.press("4", "tab", "down", "down")
        assert "▸a0" in await seat.panel("process-table")
        await seat.press("l")
        assert seat.app.tab == 5
        assert "▸a0" in (await seat.panel("log")).splitlines()[0]


async def test_logs_scroll_without_a_focus_and_wrap(tmp_path: Path) -> None:
    write_run(tmp_path)
    with (tmp_path / "logs" / "supervisor.log").open("a") as file:
        file.write(f"EnvError: {'environment ' * 9}at last\n")
    async with seated(run_dir=tmp_path, size=(80, 24)) as seat:
        await seat.press("5", "right_square_bracket")
        assert (await seat.panel("log")).endswith("environment at last")
        await seat.press("home")
        assert "line 0" in await seat.panel("log")


NASTY = "[red]x[/red] [/] \x1b[2J\x1b]0;owned\x07 \u202e\r\n[link=http://x]"


async def test_nothing_from_outside_is_markup_or_controls_the_terminal(tmp_path: Path) -> None:
    write_run(tmp_path)
    text = f"{NASTY}\nprogress 1%\rprogress 2%\n"
    (tmp_path / "logs" / "supervisor.log").write_text(text)
    now = snapshot(
        name=NASTY,
        processes=[actor(0, name=NASTY, wait=NASTY, error=NASTY, device=NASTY)],
        policies=[policy(NASTY), policy("other")],
        checks=[CheckView(id="x", name=NASTY, value=NASTY, limit=NASTY, state="fail",
                          advice=NASTY)],
        learning=LearningView(reason=NASTY),
        last_checkpoint=NASTY,
    )  # fmt: skip
    async with seated(now, run_dir=tmp_path) as seat:
        seat.run.say(EventLine(seq=99, time_s=0, level="error", source=NASTY, text=NASTY))
        await seat.shows("[red]x[/red] [/] \\x1b[2J\\x1b]0;owned\\x07 \\u202e\\x0d\\x0a[link")
        texts = []
        for key in "12345":
            await seat.press(key)
            texts.append(await seat.text())
        assert "\\x1b[2J" in texts[-1]
        await seat.press("exclamation_mark")
        texts.append(await seat.text())
        await seat.press("escape", "s")
        request = await seat.asked("resync")
        seat.run.answer(request, NASTY, **{NASTY: {NASTY: NASTY}})
        texts.append(await seat.shows("resync: [red]x"))
        for text in texts:
            assert all(c == "\n" or c.isprintable() for c in text)
            assert "\u202e" not in text
