"""One checkpoint out of the parts of several processes: whole or absent, and never a mixture."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.checkpoint.written import POLICIES, parts, payload
from tuitrain.checkpoint import manifest
from tuitrain.checkpoint.files import Unreadable, checkpoint_name, checkpoints, part_name
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.manifest import parts_of
from tuitrain.checkpoint.parts import Part
from tuitrain.checkpoint.payload import CheckpointError, load, newest, save, save_part
from tuitrain.checkpoint.pruning import discard, sweep


def test_parts_read_as_one_checkpoint(tmp_path: Path) -> None:
    written = [Part.read(json.loads(json.dumps(part.to_dict()))) for part in parts(tmp_path, 7)]
    assert newest(tmp_path) is None, "parts alone are nothing"
    path = join(tmp_path, written, POLICIES, keep=3)
    assert path.stem == checkpoint_name(7)
    whole = load(path)
    assert set(whole["policies"]) == set(POLICIES)
    assert (whole["steps"], whole["run_id"]) == (101, "r")
    found = newest(tmp_path)
    assert found is not None
    assert (found[0], found[1]["updates"]) == (path, dict.fromkeys(POLICIES, 7))


def test_only_the_newest_stay_with_all_their_parts(tmp_path: Path) -> None:
    for value in range(1, 6):
        path = join(tmp_path, parts(tmp_path, value), POLICIES, keep=2)
    assert [load(p)["updates"]["a"] for p in checkpoints(tmp_path)] == [4, 5]
    assert len(list(tmp_path.iterdir())) == 2 * 3
    # with one learner again, after a resume
    save(tmp_path, payload(*POLICIES, value=6), checkpoint_name(6), keep=1)
    assert [p.name for p in tmp_path.iterdir()] == [f"{checkpoint_name(6)}.pt"]
    assert not path.exists()


def test_one_name_is_one_checkpoint(tmp_path: Path) -> None:
    """No update in between: the newer one takes the place of the older, whatever its form."""
    save(tmp_path, payload(*POLICIES, steps=1), checkpoint_name(5), keep=3)
    join(tmp_path, parts(tmp_path, 5, request=1), POLICIES, keep=3)
    join(tmp_path, parts(tmp_path, 5, request=2), POLICIES, keep=3)
    assert len(list(tmp_path.iterdir())) == 3
    save(tmp_path, payload(*POLICIES, steps=9), checkpoint_name(5), keep=3)
    (only,) = tmp_path.iterdir()
    assert load(only)["steps"] == 9


def test_parts_of_a_later_request_are_left_alone(tmp_path: Path) -> None:
    """Commands may overlap: joining the first must not take away what the second has written."""
    first, second = parts(tmp_path, 5, request=3), parts(tmp_path, 6, request=4)
    under_way = tmp_path / f".{part_name(0, 4, 'learner0')}.1.tmp"
    under_way.touch()
    left = tmp_path / f".{part_name(0, 2, 'learner0')}.1.tmp"
    left.touch()
    join(tmp_path, first, POLICIES, keep=1)
    assert under_way.exists()
    assert not left.exists()
    assert load(join(tmp_path, second, POLICIES, keep=1))["updates"]["b"] == 6
    assert not (tmp_path / first[0].file).exists()


def test_a_checkpoint_lacks_nobody(tmp_path: Path) -> None:
    one, two = parts(tmp_path, 5)
    earlier = join(tmp_path, [one, two], POLICIES, keep=3)
    for some in ([one], [], [one, two, two]):
        with pytest.raises(CheckpointError, match="the run's policies are a, b, c"):
            join(tmp_path, some, POLICIES, keep=3)
    (tmp_path / two.file).unlink()
    with pytest.raises(CheckpointError, match=f"parts of a checkpoint are missing: {two.file}"):
        join(tmp_path, [one, two], POLICIES, keep=3)
    assert earlier.exists()


@pytest.mark.parametrize(
    "damage",
    [
        "flipped",
        "cut",
        "absent",
        "a pipe",
        "of another checkpoint",
        "manifest cut",
        "manifest changed",
        "manifest without its checksum",
        "manifest a folder",
        "manifest a pipe",
        "no parts",
    ],
)
def test_damage_is_noticed_and_the_older_one_taken(tmp_path: Path, damage: str) -> None:
    older = join(tmp_path, parts(tmp_path, 5), POLICIES, keep=3)
    path = join(tmp_path, parts(tmp_path, 6), POLICIES, keep=3)
    part = tmp_path / parts_of(path)[1].file
    data = part.read_bytes()
    match damage:
        case "flipped":
            part.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
        case "cut":
            part.write_bytes(data[:-5])
        case "absent":
            part.unlink()
        case "a pipe":  # to open it for reading would wait for its writer
            part.unlink()
            os.mkfifo(part)
        case "of another checkpoint":  # sound in itself
            part.write_bytes((tmp_path / parts_of(older)[1].file).read_bytes())
        case "manifest cut":
            path.write_bytes(path.read_bytes()[:-20])
        case "manifest changed":
            path.write_text(path.read_text().replace('"updates": 6', '"updates": 7'))
        case "manifest without its checksum":
            content = json.loads(path.read_bytes())
            del content["sha256"]
            path.write_text(json.dumps(content))
        case "manifest a folder":
            path.unlink()
            path.mkdir()
        case "manifest a pipe":
            path.unlink()
            os.mkfifo(path)
        case _:
            path.write_text('{"schema": 1, "parts": []}')
    with pytest.raises(CheckpointError, match=r"cannot be read|damaged|cut short"):
        load(path)
    found = newest(tmp_path)
    assert found is not None
    assert found[0] == older
    (told,) = found[2]
    assert path.name in told


SPEC: dict[str, Any] = {"spec": {"policies": {name: {} for name in POLICIES}}}


def of_schema_1(path: Path, change: str = "") -> None:
    """Write the manifest as it was before it had a checksum, with parts left out or doubled."""
    content = json.loads(path.read_bytes())
    listed = content["parts"]
    match change:
        case "one left out":
            listed = listed[:1]
        case "one twice":
            listed = [*listed, listed[1]]
    path.write_text(json.dumps({"schema": 1, "parts": listed}))


@pytest.mark.parametrize("change", ["one left out", "one twice"])
def test_a_manifest_without_checksum_that_is_incomplete_is_damaged(
    tmp_path: Path, change: str
) -> None:
    written = [
        save_part(tmp_path, payload(*held) | SPEC, f"0000-00000006-{held[0]}", held, 6)
        for held in [("a", "c"), ("b",)]
    ]
    path = join(tmp_path, written, POLICIES, keep=3)
    of_schema_1(path)
    assert set(load(path)["policies"]) == set(POLICIES)
    of_schema_1(path, change)
    wanted = "holds a, c, but" if change == "one left out" else "its parts hold a, b, b, c, which"
    with pytest.raises(CheckpointError, match=wanted):
        load(path)


def test_a_folder_with_a_checkpoints_name_does_not_keep_others_from_being_written(
    tmp_path: Path,
) -> None:
    for name in (f"{checkpoint_name(1)}.pt", f"{checkpoint_name(2)}.json", "0000-x.part", ".y.tmp"):
        (tmp_path / name).mkdir()
    path = join(tmp_path, parts(tmp_path, 5), POLICIES, keep=1)
    assert load(path)["updates"]["a"] == 5
    for stray in (p for p in tmp_path.iterdir() if p.is_dir()):
        shutil.rmtree(stray)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes(812), "its 812 bytes are all zero"),
        (b"", "it is empty"),
        (b"null", "its 4 bytes are no manifest"),
        (b"[1]", "its 3 bytes are no manifest"),
        (b'{"schema"', "its 9 bytes are no manifest"),
        (b'{"schema": 9}', "schema 9, not 3"),
        (b'{"schema": 3, "parts": 7}', "it does not name files and policies as a manifest does"),
        (b'{"schema": 3, "parts": []}', "it does not name files and policies as a manifest does"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_in_words(
    tmp_path: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "ckpt-0000000005.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as told:
        parts_of(path)
    assert str(told.value) == f"checkpoint {path} is damaged or not a checkpoint: {said}"


def test_a_manifest_names_no_file_elsewhere(tmp_path: Path) -> None:
    path = join(tmp_path, parts(tmp_path, 5), POLICIES, keep=3)
    path.write_text(path.read_text().replace('"0000', '"../0000'))
    with pytest.raises(CheckpointError, match="cannot be the name of a part"):
        load(path)


def test_parts_that_disagree_are_refused(tmp_path: Path) -> None:
    one, two = parts(tmp_path, 5)
    other = save_part(tmp_path, payload("b") | {"run_id": "s"}, "0000-00000005-x", ["b"], 5)
    with pytest.raises(CheckpointError, match="run_id is 'r' in one part and 's' in another"):
        load(join(tmp_path, [one, other], POLICIES, keep=3))
    assert load(join(tmp_path, [one, two], POLICIES, keep=3))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_parts_of_a_failed_save_are_removed_and_no_others(tmp_path: Path) -> None:
    kept = parts(tmp_path, 5)
    join(tmp_path, kept, POLICIES, keep=3)
    before = names(tmp_path)
    failed, under_way = parts(tmp_path, 6), parts(tmp_path, 7)
    discard(tmp_path, [*failed, *kept])
    assert names(tmp_path) == before | {part.file for part in under_way}


def test_parts_of_what_may_have_become_a_checkpoint_are_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest has its name, though the folder could not be synced, and cannot be read now."""
    written = parts(tmp_path, 5)
    path = join(tmp_path, written, POLICIES, keep=3)
    with monkeypatch.context() as patch:

        def cannot(path: Path) -> bytes:
            raise Unreadable(f"checkpoint {path} cannot be read: Input/output")

        patch.setattr(manifest, "contents", cannot)
        discard(tmp_path, written)
    assert load(path)["updates"]["a"] == 5


def test_a_sweep_goes_on_after_what_it_cannot_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    immutable = (*parts(tmp_path, 5), *parts(tmp_path, 6))[0]
    really = os.unlink

    def unlink(path: Any, *more: Any, **named: Any) -> None:
        if Path(path).name == immutable.file:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        really(path, *more, **named)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(OSError, match=f"{immutable.file}: Operation not permitted"):
        sweep(tmp_path)
    assert names(tmp_path) == {immutable.file}


def test_a_sweep_leaves_checkpoints_alone(tmp_path: Path) -> None:
    join(tmp_path, parts(tmp_path, 5), POLICIES, keep=3)
    save(tmp_path, payload(*POLICIES), checkpoint_name(6), keep=3)
    before = names(tmp_path)
    parts(tmp_path, 4)
    parts(tmp_path, 7)
    for writer in (checkpoint_name(7), part_name(0, None, "learner1")):
        (tmp_path / f".{writer}.123.tmp").touch()
    sweep(tmp_path)
    assert names(tmp_path) == before


def test_a_sweep_while_training_leaves_what_somebody_still_writes(tmp_path: Path) -> None:
    """On a disk so slow that nobody waits for it any more; else it would never come to an end."""
    mine = tmp_path / f".{checkpoint_name(7)}.{os.getpid()}.tmp"
    killed = tmp_path / f".{checkpoint_name(7)}.{2**30}.tmp"  # no process has such a number
    for path in (mine, killed):
        path.touch()
    sweep(tmp_path, training=True)
    assert list(tmp_path.iterdir()) == [mine]
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_touches_nothing_where_a_manifest_cannot_say_what_is_its_own(
    tmp_path: Path,
) -> None:
    path = join(tmp_path, parts(tmp_path, 5), POLICIES, keep=3)
    path.write_bytes(path.read_bytes()[:-9])
    before = names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == before
    discard(tmp_path, parts(tmp_path, 6))  # certainly nobody else's
    assert names(tmp_path) == before


def test_pruning_leaves_the_parts_of_what_cannot_be_read_just_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be sound; a damaged one is not, and its parts go."""
    join(tmp_path, parts(tmp_path, 1), POLICIES, keep=3)
    sick = join(tmp_path, parts(tmp_path, 2), POLICIES, keep=3)
    held = parts_of(sick)
    really = os.open

    def broken(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path) == str(sick):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(path, flags, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken)
        join(tmp_path, parts(tmp_path, 3), POLICIES, keep=3)
    assert set(load(sick)["policies"]) == set(POLICIES)
    sick.write_text("{}")
    join(tmp_path, parts(tmp_path, 4), POLICIES, keep=3)
    assert not any((tmp_path / part.file).exists() for part in held)


def test_a_disk_that_is_full_loses_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = join(tmp_path, parts(tmp_path, 5), POLICIES, keep=1)
    written = parts(tmp_path, 6)

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        CheckpointError, match=r"No space left on device .*; earlier checkpoints are"
    ):
        join(tmp_path, written, POLICIES, keep=1)
    assert load(earlier)["updates"]["c"] == 5
