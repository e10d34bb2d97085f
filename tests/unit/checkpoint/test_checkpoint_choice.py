"""Going back to an earlier checkpoint: what is meant, what is moved, and that nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuitrain.checkpoint.choice import (
    NoSuchCheckpoint,
    begin_return,
    best_aside,
    best_back,
    choose,
    end_return,
    keep_aside,
    put_back,
    returning_to,
    set_aside,
)
from tuitrain.checkpoint.files import BEST, checkpoint_name, checkpoints
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.manifest import parts_of
from tuitrain.checkpoint.parts import Part, State
from tuitrain.checkpoint.pruning import (
    held_mark,
    hold,
    keep_for_good,
    kept_mark,
    prune,
    sweep,
)

POLICIES = ["a", "b"]


def whole(folder: Path, updates: int) -> Path:
    path = folder / f"{checkpoint_name(updates)}.pt"
    path.write_bytes(b"weights")
    return path


def joined(folder: Path, updates: int, keep: int = 9) -> Path:
    """A checkpoint of two parts and a state, and its manifest."""
    parts = []
    for place, policy in enumerate(POLICIES):
        name = f"0000-{updates:08d}-learner{place}.part"
        (folder / name).write_bytes(b"weights")
        parts.append(Part(name, "0" * 64, (policy,), updates))
    state = State(f"0000-{updates:08d}-a0.state", "0" * 64, "a0")
    (folder / state.file).write_bytes(b"rows")
    return join(folder, parts, POLICIES, keep, [state])


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("text", ["20", "0020", "ckpt-0000000020", "x/ckpt-0000000020.pt"])
def test_a_checkpoint_is_named_by_its_updates_or_its_file(tmp_path: Path, text: str) -> None:
    paths = [whole(tmp_path, n) for n in (10, 20, 30)]
    assert choose(tmp_path, text) == paths[1]


def test_what_is_not_there_is_refused_with_what_is(tmp_path: Path) -> None:
    whole(tmp_path, 10)
    joined(tmp_path, 20)
    with pytest.raises(NoSuchCheckpoint) as told:
        choose(tmp_path, "15")
    assert "10 (ckpt-0000000010.pt), 20 (ckpt-0000000020.json)" in str(told.value)
    with pytest.raises(NoSuchCheckpoint, match="there are: none"):
        choose(tmp_path / "nothing", "15")


@pytest.mark.parametrize("text", ["best", "best.pt"])
def test_the_best_weights_are_nothing_to_go_on_from(tmp_path: Path, text: str) -> None:
    (tmp_path / BEST).touch()
    with pytest.raises(NoSuchCheckpoint, match="--init-from"):
        choose(tmp_path, text)


@pytest.mark.parametrize("make", [whole, joined])
def test_newer_ones_are_moved_and_come_back_byte_for_byte(tmp_path: Path, make: object) -> None:
    assert callable(make)
    paths = [make(tmp_path, n) for n in (10, 20, 30)]
    (tmp_path / BEST).write_bytes(b"best")
    before = everything(tmp_path)
    assert set_aside(tmp_path, paths[0]) == paths[1:]
    assert checkpoints(tmp_path) == paths[:1]
    assert (tmp_path / BEST).is_file()
    assert not list(tmp_path.glob("*00000020*"))
    sweep(tmp_path)
    prune(tmp_path, paths[0], 1)
    assert put_back(tmp_path) == paths[1:]
    assert everything(tmp_path) == before
    assert put_back(tmp_path) == []
    if make is joined:
        assert [part.file for part in parts_of(paths[2])] == [
            "0000-00000030-learner0.part",
            "0000-00000030-learner1.part",
        ]


def test_what_the_run_has_gone_on_without_stays_under_a_name_of_its_own(tmp_path: Path) -> None:
    paths = [whole(tmp_path, n) for n in (10, 20, 30)]
    assert keep_aside(tmp_path) is None
    set_aside(tmp_path, paths[1])
    assert keep_aside(tmp_path) == tmp_path / "set-aside-1"
    set_aside(tmp_path, paths[0])
    kept = keep_aside(tmp_path)
    assert kept == tmp_path / "set-aside-2"
    assert [path.name for path in checkpoints(kept)] == [paths[1].name]
    assert put_back(tmp_path) == []


def test_the_best_weights_are_moved_where_that_is_asked_for(tmp_path: Path) -> None:
    """▣ Also from beside the newest checkpoint: they may be later ones all the same."""
    first, second = whole(tmp_path, 10), whole(tmp_path, 20)
    assert set_aside(tmp_path, second, best=True) == []
    assert keep_aside(tmp_path) is None, "there are none"
    (tmp_path / BEST).write_bytes(b"best")
    before = everything(tmp_path)
    for newest, newer in ((second, []), (first, [second])):
        assert set_aside(tmp_path, newest, best=True) == newer
        assert not (tmp_path / BEST).exists()
        assert best_aside(tmp_path) is not None
        assert put_back(tmp_path) == newer
        assert everything(tmp_path) == before
        assert best_aside(tmp_path) is None
    set_aside(tmp_path, second, best=True)
    best_back(tmp_path)
    assert keep_aside(tmp_path) is None, "nothing is left there"
    assert everything(tmp_path) == before
    assert not list(tmp_path.glob("set-aside*"))
    set_aside(tmp_path, first, best=True)
    assert (kept := keep_aside(tmp_path)) is not None
    assert sorted(path.name for path in kept.iterdir()) == [BEST, second.name]


def test_the_newest_needs_no_room_made(tmp_path: Path) -> None:
    path = whole(tmp_path, 10)
    assert set_aside(tmp_path, path) == []
    assert everything(tmp_path) == {path.name: b"weights"}


@pytest.mark.parametrize("calls", range(8))
def test_a_move_that_was_cut_off_anywhere_is_put_back(
    tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if this process had been killed before its nth rename."""
    paths = [joined(tmp_path, n) for n in (10, 20, 30)]
    before = everything(tmp_path)
    import os

    really, done = os.rename, 0

    def rename(source: object, target: object) -> None:
        nonlocal done
        done += 1
        if done > calls:
            raise KeyboardInterrupt
        really(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        set_aside(tmp_path, paths[0])
    monkeypatch.undo()
    put_back(tmp_path)
    assert everything(tmp_path) == before
    assert checkpoints(tmp_path) == paths


def test_of_a_damaged_manifest_the_file_itself_is_moved(tmp_path: Path) -> None:
    first, second = whole(tmp_path, 10), tmp_path / f"{checkpoint_name(20)}.json"
    second.write_text("[1, 2")
    assert set_aside(tmp_path, first) == [second]
    assert put_back(tmp_path) == [second]


def test_what_was_made_by_hand_is_not_pruned_and_does_not_count(tmp_path: Path) -> None:
    mine = joined(tmp_path, 100)
    keep_for_good(mine)
    older, newer, newest = (joined(tmp_path, updates, keep=2) for updates in (200, 300, 400))
    assert checkpoints(tmp_path) == [mine, newer, newest]
    assert not older.exists()
    assert all((tmp_path / part.file).exists() for part in parts_of(mine))


def test_what_is_held_is_not_pruned_until_it_is_let_go(tmp_path: Path) -> None:
    held, mine = joined(tmp_path, 100), joined(tmp_path, 200)
    keep_for_good(mine)
    nobody = tmp_path / "ckpt-0000000999.json"
    hold(tmp_path, [held.name, nobody.name])
    assert not held_mark(nobody).exists()
    gone, newest = (joined(tmp_path, updates, keep=1) for updates in (300, 400))
    assert checkpoints(tmp_path) == [held, mine, newest]
    assert not gone.exists()
    hold(tmp_path, [newest.name])
    assert not held_mark(held).exists()
    after = joined(tmp_path, 500, keep=1)
    assert checkpoints(tmp_path) == [mine, newest, after]
    newest.unlink()
    joined(tmp_path, 600, keep=9)
    assert not held_mark(newest).exists(), "another may come to be called so"
    assert kept_mark(mine).exists()


def test_a_mark_without_a_checkpoint_is_removed(tmp_path: Path) -> None:
    """A later checkpoint that comes to be called so was not made by hand."""
    gone, mine = joined(tmp_path, 100), joined(tmp_path, 200)
    for path in (gone, mine):
        keep_for_good(path)
    gone.unlink()
    newest = joined(tmp_path, 300)
    assert not kept_mark(gone).exists()
    assert checkpoints(tmp_path) == [mine, newest]
    assert kept_mark(mine).exists()


def test_what_was_made_by_hand_stays_so_when_it_is_put_aside_and_back(tmp_path: Path) -> None:
    first, mine = whole(tmp_path, 100), whole(tmp_path, 200)
    keep_for_good(mine)
    set_aside(tmp_path, first)
    assert not kept_mark(mine).exists(), "another may come to be called so"
    assert put_back(tmp_path) == [mine]
    assert kept_mark(mine).exists()


def test_a_return_is_known_until_it_is_settled(tmp_path: Path) -> None:
    first, second = whole(tmp_path, 10), whole(tmp_path, 20)
    assert returning_to(tmp_path) is None
    begin_return(tmp_path, first)
    assert returning_to(tmp_path) == first
    assert checkpoints(tmp_path) == [first, second]
    end_return(tmp_path)
    end_return(tmp_path)
    assert returning_to(tmp_path) is None


def test_only_the_last_return_is_known_and_only_to_what_is_there(tmp_path: Path) -> None:
    first, second = whole(tmp_path, 10), whole(tmp_path, 20)
    begin_return(tmp_path, first)
    begin_return(tmp_path, second)
    assert returning_to(tmp_path) == second
    second.unlink()
    assert returning_to(tmp_path) is None
    assert returning_to(tmp_path / "gone") is None


def test_a_return_needs_no_room_but_a_name(tmp_path: Path) -> None:
    """▣ The disk is full when many a run is to go back."""
    begin_return(tmp_path, whole(tmp_path, 10))
    assert [path.stat().st_size for path in tmp_path.glob("going-back-*")] == [0]


def test_what_has_gone_has_nothing_newer(tmp_path: Path) -> None:
    gone = whole(tmp_path, 10)
    gone.unlink()
    whole(tmp_path, 20)
    with pytest.raises(NoSuchCheckpoint, match="is not there any more"):
        set_aside(tmp_path, gone)
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt-0000000020.pt"]
