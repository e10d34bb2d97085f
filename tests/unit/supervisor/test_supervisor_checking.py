"""What fails is told, and pauses, stops or goes back if `checks.on_fail` says so."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from tests.unit.supervisor.scene import Scene
from tuitrain.checkpoint.files import checkpoints
from tuitrain.checkpoint.pruning import prune
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.standing import CLEAR_LOOKS, RAISE_LOOKS
from tuitrain.supervisor.checking import RESTARTED
from tuitrain.supervisor.ending import End

# ---- told ----------------------------------------------------------------------------------------


def test_a_change_that_has_held_is_told_and_nothing_is_done_by_default(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "log")
    scene.look("fail", times=RAISE_LOOKS - 1)
    assert scene.events == []
    scene.look("fail", times=50)
    scene.look("ok", times=CLEAR_LOOKS)
    assert [(level, text) for level, text, _ in scene.events] == [
        ("error", "check q_bound failed: 7 (limit 1): lower it"),
        ("info", "check q_bound is ok again: 7 (limit 1): lower it"),
    ]
    assert scene.events[0][2]["check"] == "q_bound"
    assert not scene.acted()
    (raised,) = scene.checking.close(scene.snapshot("stopped"))
    assert (raised["check"], raised["state"]) == ("q_bound", "fail")


@pytest.mark.parametrize("state", ["starting", "stopping", "failed"])
def test_only_a_run_that_is_up_is_judged(tmp_path: Path, state: str) -> None:
    scene = Scene(tmp_path, "stop")
    scene.look("fail", of=state)
    assert scene.events == []


@pytest.mark.parametrize("on_fail", ["pause", "stop", "rollback"])
async def test_warnings_and_what_restarts_care_for_are_told_alone(
    tmp_path: Path, on_fail: str
) -> None:
    for state, id_ in (("warn", "q_bound"), *(("fail", id_) for id_ in RESTARTED)):
        scene = Scene(tmp_path, on_fail)
        scene.save(10)
        scene.look(state, id_)
        assert len(scene.events) == 1
        assert not scene.acted()


async def test_a_change_of_what_is_done_holds_for_a_failure_that_stands(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "log")
    scene.look("fail")
    for what in ("pause", "log", "pause", "stop"):
        assert scene.ends == []
        scene.run.config.checks = ChecksConfig.model_validate({"on_fail": what})
        scene.look("fail", times=1)
        await asyncio.sleep(0)
        assert scene.asked == ["pause"], "once, though it was said twice"
        scene.run.held = False
    assert [end.check for end in scene.ends] == ["q_bound"]


# ---- pause ---------------------------------------------------------------------------------------


async def test_a_failure_pauses_once_until_it_has_been_ok(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "pause")
    for times in (1, 2):
        scene.look("fail")
        await asyncio.sleep(0)
        assert scene.asked == ["pause"] * times
        scene.run.held = False  # its user wants it to go on
        for state in ("fail", "n/a", "warn", "fail"):
            scene.look(state, times=50)
        await asyncio.sleep(0)
        assert scene.asked == ["pause"] * times
        scene.look("ok", times=CLEAR_LOOKS)
    level, text, data = scene.events[1]
    assert level == "warning"
    assert "`tuitrain unpause maze-0001` goes on all the same" in text
    assert data == {"check": "q_bound", "on_fail": "pause"}


async def test_a_run_that_is_paused_already_is_not_paused_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "pause")
    scene.run.held = True
    scene.look("fail", of="paused")
    scene.run.held = False
    scene.look("fail")
    await asyncio.sleep(0)
    assert scene.asked == []


# ---- stop ----------------------------------------------------------------------------------------


def test_a_failure_stops_and_the_reason_has_what_was_measured(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "stop")
    scene.look("fail", times=50)
    (end,) = scene.ends
    assert end == End(
        "failed",
        "check q_bound failed: 7 (limit 1): lower it",
        brief="check q_bound failed",
        check="q_bound",
    )
    assert end.checkpoint


def test_a_stop_names_the_last_checkpoint_of_before(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "stop")
    scene.save(10)
    good = scene.save(20, "warn")
    scene.look("ok", times=CLEAR_LOOKS)
    scene.save(30, "fail")
    scene.look("fail")
    assert scene.ends[0].reason.endswith(f"; the last checkpoint of before is {good}")


# ---- rollback ------------------------------------------------------------------------------------


def test_a_checkpoint_that_was_saved_while_something_failed_is_not_gone_back_to(
    tmp_path: Path,
) -> None:
    """▣ Also if that had not held, came soon after, or one of the same name was good before."""
    scene = Scene(tmp_path, "rollback")
    good = scene.save(10, "fail", "processes")  # a worker had died, which is no matter here
    scene.save(20)
    scene.save(20, "fail")
    scene.save(30, times=CLEAR_LOOKS - 1)
    scene.look("fail")
    assert [name for name, _ in scene.back] == [good]
    level, text, data = scene.events[-1]
    assert level == "warning"
    assert text.startswith(f"check q_bound failed, so all go back to {good} (checks.on_fail)")
    assert data["checkpoint"] == str(tmp_path / good)


def test_a_pause_does_not_make_a_checkpoint_good(tmp_path: Path) -> None:
    """▣ Nobody measures anything meanwhile."""
    scene = Scene(tmp_path, "rollback")
    good = scene.save(10)
    scene.save(20, times=1)
    scene.look("ok", times=CLEAR_LOOKS, of="paused")
    scene.look("fail")
    assert [name for name, _ in scene.back] == [good]


def test_a_checkpoint_saved_while_a_failure_still_stands_is_not_good(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "log")
    scene.look("fail")
    scene.save(10, "ok", times=RAISE_LOOKS)
    scene.look("n/a", times=CLEAR_LOOKS - 1)
    scene.look("fail", times=1)
    scene.look("n/a", times=CLEAR_LOOKS - 1)
    scene.run.config.checks = ChecksConfig(on_fail="rollback")
    scene.look("fail", times=1)
    assert "no checkpoint is left that was saved while no check failed" in scene.ends[0].reason


def test_nobody_goes_back_while_the_disk_is_full(tmp_path: Path) -> None:
    """▣ Nor is it counted, nor told more than once; a stop would have nothing to say so with."""
    scene = Scene(tmp_path, "rollback", max_rollbacks=1)
    good = scene.save(10)
    for times in (1, 2):
        scene.full = "No space left on device"
        told = len(scene.events)
        scene.look("fail", times=RAISE_LOOKS + 5)
        (_, text, data) = scene.events[told + 1]
        assert "all go back (checks.on_fail) only when there is room for it: No space" in text
        assert data == {"check": "q_bound"}
        assert len(scene.events) == told + 2, "that it has failed, and this"
        assert (len(scene.back), scene.ends) == (times - 1, [])
        scene.full = ""
        scene.look("fail", times=1)
        assert [name for name, _ in scene.back] == [good]
        scene.checking.begin_again()
    assert "it has gone back 1 time, which is checks.max_rollbacks" in scene.ends[0].reason


def test_each_checkpoint_is_gone_back_to_once_and_not_for_ever(tmp_path: Path) -> None:
    """▣ What has not helped is not tried again."""
    scene = Scene(tmp_path, "rollback", max_rollbacks=3)
    for number in (10, 20, 30, 40):
        scene.save(number)
    (tmp_path / "ckpt-0000000020.pt").unlink()  # pruned
    for times, number in enumerate((40, 30, 10), 1):
        scene.look("fail")
        scene.recovery.going_back = True
        scene.look("fail", "another")
        assert [name for name, _ in scene.back][times - 1 :] == [f"ckpt-{number:010d}.pt"]
        scene.recovery.going_back = False
        scene.checking.begin_again()
        scene.look("fail", times=RAISE_LOOKS - 1)
        assert len(scene.back) == times, "it has not held since"
        scene.checking.begin_again()
        scene.save(60 + times, "n/a", times=1)  # at once, as the clock may have it
    last = scene.save(50)
    scene.look("fail")
    assert "it has gone back 3 times, which is checks.max_rollbacks" in scene.ends[0].reason
    assert scene.ends[0].reason.endswith(f"; the last checkpoint of before is {last}")


def test_names_of_checkpoints_that_are_gone_are_not_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "rollback", max_rollbacks=9)
    for number in range(10, 60):
        scene.save(number)
        for old in sorted(tmp_path.glob("ckpt-*"))[:-2]:
            old.unlink()  # pruned
    scene.look("fail")  # goes back to 59, which is pruned then
    scene.checking.begin_again()
    (tmp_path / "ckpt-0000000059.pt").unlink()
    scene.save(60)
    assert scene.checking.names == {"ckpt-0000000058.pt", "ckpt-0000000060.pt"}


def write(scene: Scene, folder: Path, number: int, keep: int) -> str:
    """As who writes it does: what is old is pruned before the supervisor is told."""
    path = folder / f"ckpt-{number:010d}.pt"
    path.touch()
    prune(folder, path, keep)
    scene.checking.on_checkpoint(str(path))
    return path.name


def held(folder: Path) -> set[str]:
    return {mark.name.removeprefix("held-") + ".pt" for mark in folder.glob("held-*")}


def test_frequent_checkpoints_leave_a_good_one_to_go_back_to(tmp_path: Path) -> None:
    """▣ Each is pruned before it could prove itself, but for the oldest that may."""
    scene = Scene(tmp_path, "rollback")
    last = 10 * CLEAR_LOOKS
    for number in range(1, last + 1):
        write(scene, tmp_path, number, keep=1)
        scene.look("ok", times=1)
        assert len(checkpoints(tmp_path)) <= 3
    scene.look("fail")
    ((to, _),) = scene.back
    assert (tmp_path / to).exists()
    assert int(to[5:15]) > last - 2 * CLEAR_LOOKS - 2, "new ones have become good all the time"
    assert not scene.ends


def test_what_is_gone_when_it_would_be_good_is_not_held_for_it(tmp_path: Path) -> None:
    """Nobody has told yet of the checkpoint for which it was pruned."""
    scene = Scene(tmp_path, "rollback")
    good = scene.save(10)
    gone = scene.save(20, times=CLEAR_LOOKS - 1)
    (tmp_path / gone).unlink()
    scene.look("ok", times=1)
    assert held(tmp_path) == {good}
    assert scene.checking.names == {good}


def test_what_all_go_back_to_is_held_until_they_are_there(tmp_path: Path) -> None:
    """What they would import is looked at first, and who lives saves meanwhile."""
    scene = Scene(tmp_path, "rollback")
    scene.save(10)
    good = scene.save(20)
    scene.look("fail")
    assert scene.back[0][0] == good
    scene.recovery.going_back = True
    scene.look("fail", times=1)
    write(scene, tmp_path, 30, keep=2)
    scene.look("fail", times=1)
    assert held(tmp_path) == {good}
    scene.recovery.going_back = False
    scene.look("ok", times=1)
    assert good not in held(tmp_path), "it is not gone back to again"


def test_the_one_before_is_held_when_the_newest_has_been_gone_back_to(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "rollback")
    older, good = scene.save(10), scene.save(20)
    assert held(tmp_path) == {good}
    scene.look("fail")
    assert scene.back[0][0] == good
    scene.look("ok", times=1)
    assert held(tmp_path) == {older}


def test_nothing_is_held_where_nobody_goes_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "rollback")
    scene.save(10)
    (mark,) = tmp_path.glob("held-*")
    scene.run.config.checks = ChecksConfig(on_fail="stop")
    scene.look("ok", times=1)
    assert not mark.exists()
    mark.touch()  # of a session before, that was killed
    Scene(tmp_path, "log").look("ok", times=1)
    assert not mark.exists()


def test_a_full_disk_holds_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    scene = Scene(tmp_path, "rollback")
    with monkeypatch.context() as broken:
        broken.setattr(Path, "touch", full)
        path = tmp_path / "ckpt-0000000010.pt"
        path.write_bytes(b"")
        scene.checking.on_checkpoint(str(path))
        scene.look("ok", times=1)
    assert not list(tmp_path.glob("held-*"))
    scene.look("ok", times=1)
    assert len(list(tmp_path.glob("held-*"))) == 1


def test_where_nobody_can_go_back_the_run_stops(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "rollback")
    scene.save(10)
    scene.look("fail")
    _, cannot = scene.back[0]
    cannot("world.py has changed")
    assert "lower it; world.py has changed; the last checkpoint" in scene.ends[0].reason
    assert scene.ends[0].check == "q_bound"
