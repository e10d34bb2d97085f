"""A run goes on only from a checkpoint of its own environment and networks, and is told early."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.workers.one_actor import one_actor
from tuitrain.checkpoint.choice import best_aside, keep_aside, set_aside
from tuitrain.checkpoint.files import BEST
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.payload import load, save, save_part, write
from tuitrain.checkpoint.state import save_state
from tuitrain.config.load import config_from
from tuitrain.config.problems import ConfigError
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.workers.asides.probe import probe, run
from tuitrain.workers.beginning import resuming
from tuitrain.workers.beginning.resuming import (
    CannotResume,
    check_environment,
    of_this_session,
    read_base,
)
from tuitrain.workers.child import Refused
from tuitrain.workers.learners.learner import Learner


@pytest.fixture
def stopped(tmp_path: Path) -> tuple[Config, Path]:
    """A run's config and its folder, with a checkpoint."""
    with one_actor(tmp_path) as (blueprint, stores):
        Learner(blueprint, stores).save()
        return blueprint.config, tmp_path


def changed(config: Config, table: str, **values: Any) -> Config:
    part = getattr(config, table).model_copy(update=values)
    return config.model_copy(update={table: part})


def test_what_was_stored_before_policies_could_be_masked_is_gone_on_with(
    stopped: tuple[Config, Path],
) -> None:
    config, folder = stopped
    (path,) = (folder / "checkpoints").glob("*.pt")
    payload = load(path)
    for policy in payload["spec"]["policies"].values():
        for later in ("masked", "absences", "parts"):
            del policy[later]
    payload["spec_hash"] = "of another form"
    save(path.parent, payload, path.stem, 1)
    report = probe(config, folder)
    assert report["base"]["checkpoint"] == str(path)
    (folder / "lock").unlink()
    with one_actor(folder) as (blueprint, stores):
        assert blueprint.base.session == 1
        Learner(blueprint, stores)


@pytest.mark.parametrize("settle", [lambda folder: None, keep_aside])
def test_a_session_whose_checkpoints_were_put_aside_is_not_counted_again(
    stopped: tuple[Config, Path], settle: Callable[[Path], Any]
) -> None:
    """Else going back twice would make the same past, and give files of two pasts one name."""
    folder = stopped[1] / "checkpoints"
    (first,) = folder.glob("*.pt")
    later = load(first) | {"session": 4}
    save(folder, later, "ckpt-0000000900", 3)
    set_aside(folder, first)
    settle(folder)
    base, _, _ = read_base(folder)
    assert base.checkpoint == str(first)
    assert base.session == 5


def test_of_what_was_put_aside_only_the_newest_that_can_be_read_is_read(
    stopped: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = stopped[1] / "checkpoints", list[str]()
    (first,) = folder.glob("*.pt")
    for number, session in enumerate((2, 3, 4)):
        save(folder, load(first) | {"session": session}, f"ckpt-000000090{number}", 9)
    (folder / "ckpt-0000000903.pt").write_bytes(b"torn")
    set_aside(folder, first)

    def counted(path: Path) -> dict[str, Any]:
        read.append(path.name)
        return load(path)

    monkeypatch.setattr(resuming, "load", counted)
    assert read_base(folder)[0].session == 5
    assert read == ["ckpt-0000000903.pt", "ckpt-0000000902.pt"]


@pytest.mark.parametrize(
    ("more_steps", "more_updates", "void"),
    [(1, 0, True), (0, 1, True), (0, 0, False), (-1, 9, False)],
)
def test_best_weights_of_after_the_checkpoint_gone_back_to_stay_aside(
    stopped: tuple[Config, Path], more_steps: int, more_updates: int, void: bool
) -> None:
    """▣ Else the score of a stretch that is void would have to be beaten."""
    config, run_dir = stopped
    folder = run_dir / "checkpoints"
    (path,) = folder.glob("*.pt")
    there = load(path) | {"steps": 40, "updates": {"default": 20}}
    save(folder, there, path.stem, 1)
    counts = {"steps": 40 + more_steps, "updates": {"default": 20 + more_updates}}
    write(folder / BEST, there | counts | {"returns": {"default": 5e30}})
    report = probe(config, run_dir)
    assert report["best"] == []
    assert (folder / BEST).is_file(), "nobody has gone back"
    set_aside(folder, path, best=True)
    report = probe(config, run_dir)
    assert (folder / BEST).is_file() != void
    assert (best_aside(folder) is not None) == void
    told = f"{40 + more_steps} environment steps, came after the checkpoint and are put aside"
    assert [told in text for text in report["best"]] == [True] * void


def test_best_weights_that_cannot_be_read_stay_aside(stopped: tuple[Config, Path]) -> None:
    config, run_dir = stopped
    (path,) = (run_dir / "checkpoints").glob("*.pt")
    (path.parent / BEST).write_bytes(b"torn")
    set_aside(path.parent, path, best=True)
    (text,) = probe(config, run_dir)["best"]
    assert "put aside, for they cannot be read" in text
    assert best_aside(path.parent) is not None


def test_that_all_checkpoints_are_damaged_is_said_without_a_traceback(
    stopped: tuple[Config, Path],
) -> None:
    config, folder = stopped
    (path,) = (folder / "checkpoints").glob("*.pt")
    path.unlink()
    path.with_suffix(".json").write_bytes(bytes(700))
    args: Any = SimpleNamespace(config=config, run_dir=str(folder))
    link: Any = None
    with pytest.raises(Refused) as told:
        run(args, link)
    text = str(told.value.__cause__)
    assert "is damaged or not a checkpoint: its 700 bytes are all zero" in text


def test_another_environment_is_refused_by_the_fields_that_differ(
    stopped: tuple[Config, Path],
) -> None:
    config, folder = stopped
    with pytest.raises(CannotResume) as caught:
        probe(changed(config, "env", n_frames=2), folder)
    assert "n_frames: 2 here, 4 there" in str(caught.value)
    assert "n_actions" not in str(caught.value)


def test_a_checkpoint_of_masked_actions_is_not_one_without() -> None:
    plain = PolicySpec((4,), "float32", 2, ("a",))
    masked = PolicySpec((4,), "float32", 2, ("a",), masked=True)
    payload = {"spec": EnvSpec("e", 1, {"a": masked}).to_dict()}
    check_environment(payload, EnvSpec("e", 1, {"a": masked}))
    with pytest.raises(CannotResume, match=r"policies\.a\.masked: False here, True there"):
        check_environment(payload, EnvSpec("e", 1, {"a": plain}))


def test_another_network_is_refused_by_the_tensors_that_differ(
    stopped: tuple[Config, Path],
) -> None:
    config, folder = stopped
    hidden = changed(config, "learner", network_kwargs={"hidden": [3]})
    with pytest.raises(CannotResume, match=r"weights of default do not fit.*float32\[3"):
        probe(hidden, folder)


def test_a_checkpoint_of_another_form_is_refused(stopped: tuple[Config, Path]) -> None:
    _, folder = stopped
    (path,) = (folder / "checkpoints").glob("*.pt")
    save(path.parent, load(path) | {"schema": 2}, path.stem, 1)
    with pytest.raises(CannotResume, match="checkpoint schema 2; this version of tuitrain reads 1"):
        read_base(path.parent)


def checkpoint(folder: Path, session: int, updates: int) -> tuple[Path, Path]:
    """One with state, in which nothing is learned; its state is the second."""
    payload = {
        "schema": 1,
        "session": session,
        "steps": 10 * updates,
        "inserts": {"a": 0},
        "updates": {"a": updates},
        "versions": {"a": 1},
    }
    name = f"{session:04d}-{updates:08d}"
    part = save_part(folder, payload, f"{name}-learner0", ["a"], updates)
    state = save_state(folder, f"{name}-a0", "a0", {}, {})
    return join(folder, [part], ["a"], 3, [state]), folder / state.file


@pytest.mark.parametrize("its_session", [0, 1])
def test_what_was_passed_over_is_never_taken_for_this_session_s(
    tmp_path: Path, its_session: int
) -> None:
    """Not at the start and not later, by a learner that has to go back."""
    start, _ = checkpoint(tmp_path, 0, 100)
    _, state = checkpoint(tmp_path, its_session, 200)
    state.write_bytes(b"damaged")
    base, _, (reason,) = read_base(tmp_path)
    assert "damaged" in reason
    assert (base.checkpoint, base.session, base.stream) == (
        str(start),
        its_session + 1,
        its_session + 1,
    )
    assert of_this_session(tmp_path, base.session) is None
    for updates in (110, 120, 130):  # and by then the start has been pruned
        own, _ = checkpoint(tmp_path, base.session, updates)
        found = of_this_session(tmp_path, base.session)
        assert found is not None
        assert found[0] == own
    assert not start.exists()


def test_rules_about_a_policy_that_there_is_not_are_refused_by_the_probe(tmp_path: Path) -> None:
    tables = {"stop": {"eval_return": 1.0, "policy": "scouts"}}
    config = resolve(config_from(tables), cores=2)
    with pytest.raises(ConfigError, match=r'stop.policy = "scouts": must be one of .*\(default\)'):
        probe(config, tmp_path)
    assert probe(changed(config, "stop", policy="default"), tmp_path)["spec"]
