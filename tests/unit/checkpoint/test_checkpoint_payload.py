"""Checkpoints: whole or absent, verified, and the newest sound one wins."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tuitrain.checkpoint import files, payload
from tuitrain.checkpoint.choice import set_aside
from tuitrain.checkpoint.payload import CheckpointError, load, newest, save

PAYLOAD: dict[str, Any] = {
    "net": {"w": torch.arange(1000.0), "n": torch.tensor(3)},
    "opt": {0: {"step": torch.tensor(1.5)}},
    "plain": [1, 2.5, None, "text", True, (1, 2)],
}


class Killed(BaseException):
    pass


def name(i: int) -> str:
    return f"ckpt-{i:010d}"


def fill(folder: Path, count: int, keep: int = 10) -> list[Path]:
    return [save(folder, PAYLOAD | {"i": i}, name(i), keep) for i in range(1, count + 1)]


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    path = save(tmp_path / "new", PAYLOAD, name(1), 3)
    assert path == tmp_path / "new" / "ckpt-0000000001.pt"
    got = load(path)
    assert torch.equal(got["net"]["w"], PAYLOAD["net"]["w"])
    assert got["opt"][0]["step"].item() == 1.5
    assert got["plain"] == PAYLOAD["plain"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mask", [0, 0o777])
def test_its_owner_alone_can_read_it_whatever_umask_an_environment_has_set(
    tmp_path: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        path = save(tmp_path, PAYLOAD, name(1), 3)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_an_ordinary_torch_file_and_zip(tmp_path: Path) -> None:
    path = save(tmp_path, PAYLOAD, name(1), 3)
    assert torch.load(path, weights_only=True)["plain"] == PAYLOAD["plain"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"sha256=")


def test_newest_by_name_and_keep(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "absent") is None
    fill(tmp_path, 12, keep=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name(i)}.pt" for i in (10, 11, 12)]
    found = newest(tmp_path)
    assert found is not None
    assert (found[0].stem, found[1]["i"], found[2]) == (name(12), 12, [])


def test_the_one_just_written_stays_even_if_older_by_name(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    path = save(tmp_path, PAYLOAD, name(0), 1)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", [0, 30, 500, -3000, -100, -60, -1])
def test_any_flipped_bit_is_noticed_and_the_older_one_taken(tmp_path: Path, where: int) -> None:
    older, path = fill(tmp_path, 2)
    data = bytearray(path.read_bytes())
    data[where] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"0002\.pt.*(damaged|cut short)"):
        load(path)
    found = newest(tmp_path)
    assert found is not None
    assert (found[0], found[1]["i"]) == (older, 1)
    assert len(found[2]) == 1
    assert path.name in found[2][0]


def test_truncation_at_any_length_is_noticed(tmp_path: Path) -> None:
    older, path = fill(tmp_path, 2)
    data = path.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        found = newest(tmp_path)
        assert found is not None
        assert found[0] == older, length
    path.write_bytes(data + b"x")
    with pytest.raises(CheckpointError):
        load(path)


def test_all_damaged_says_so_for_each(tmp_path: Path) -> None:
    for path in fill(tmp_path, 2):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"every checkpoint is damaged:\n.*0002.*\n.*0001"):
        newest(tmp_path)
    save(tmp_path, {"n": 1}, "ckpt-9999", 9)
    set_aside(tmp_path, files.checkpoints(tmp_path)[1])
    with pytest.raises(CheckpointError, match="every checkpoint but those that were put aside is"):
        newest(tmp_path)


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    plain = tmp_path / "plain.pt"
    torch.save({"a": 1}, plain)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(plain)
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        load(tmp_path / "no.pt")


def test_code_is_neither_written_nor_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(ran),)

    with pytest.raises(
        CheckpointError, match=r"tensors and plain values only: .*unsupported GLOBAL"
    ):
        save(tmp_path, {"x": Evil()}, name(1), 3)
    assert list(tmp_path.iterdir()) == []
    real = torch.load  # a file that says it is sound, by somebody who means harm
    monkeypatch.setattr(payload.torch, "load", lambda *a, **k: None)
    path = save(tmp_path, {"x": Evil()}, name(1), 3)
    monkeypatch.setattr(payload.torch, "load", real)
    with pytest.raises(CheckpointError, match=r"cannot be read: .*unsupported GLOBAL"):
        load(path)
    assert not ran.exists()
    real(path, weights_only=False)
    assert ran.exists(), "the file was harmless"


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "sync_folder", "prune"])
@pytest.mark.parametrize("failure", ["killed", "disk full"])
def test_dying_or_failing_at_any_step_loses_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, failure: str
) -> None:
    earlier = fill(tmp_path, 2, keep=2)

    def fail(*_: Any, **__: Any) -> Any:
        raise Killed if failure == "killed" else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if call == "open":
            patch.setattr("builtins.open", fail)
        elif call in ("fsync", "replace"):
            patch.setattr(os, call, fail)
        else:
            patch.setattr(payload if call == "prune" else files, call, fail)
        with pytest.raises((Killed, OSError, CheckpointError)) as caught:
            save(tmp_path, PAYLOAD | {"i": 3}, name(3), 2)
    if failure == "disk full" and call != "prune":
        assert isinstance(caught.value, CheckpointError)
        assert "No space left on device (" in str(caught.value)
        assert "; earlier checkpoints are untouched" in str(caught.value)
        assert not list(tmp_path.glob(".*")), "a part of a file was left behind"
    assert all(path.exists() for path in earlier)
    found = newest(tmp_path)
    assert found is not None
    appeared = call in ("sync_folder", "prune")
    assert (found[1]["i"], found[2]) == (3 if appeared else 2, [])
    save(tmp_path, PAYLOAD | {"i": 4}, name(4), 2)  # the successor clears up
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("call", ["unlink", "listdir"])
def test_what_cannot_be_removed_is_told_and_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    fill(tmp_path, 2, keep=2)

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        path = save(tmp_path, PAYLOAD | {"i": 3}, name(3), 1, told.append)
    assert load(path)["i"] == 3
    assert len(told) == 1
    assert "old checkpoints could not be removed" in told[0]
    assert "Input/output error" in told[0]
    assert (name(1) in told[0]) == (call == "unlink")
    save(tmp_path, PAYLOAD | {"i": 4}, name(4), 1, told.append)
    assert [p.name for p in tmp_path.iterdir()] == [f"{name(4)}.pt"], "the next one clears up"
    assert len(told) == 1


def test_data_reach_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    for target, attribute in ((os, "fsync"), (os, "replace"), (payload, "prune")):
        real = getattr(target, attribute)

        def spy(*args: Any, real: Any = real, attribute: str = attribute) -> Any:
            order.append(attribute)
            return real(*args)

        monkeypatch.setattr(target, attribute, spy)
    save(tmp_path, PAYLOAD, name(1), 1)
    assert order == ["fsync", "replace", "fsync", "prune"]


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1"):
        save(tmp_path, PAYLOAD, name(1), 0)
    for bad in ("../x", ".hidden", "", "a/b"):
        with pytest.raises(ValueError, match="cannot be a checkpoint's name"):
            save(tmp_path, PAYLOAD, bad, 1)
