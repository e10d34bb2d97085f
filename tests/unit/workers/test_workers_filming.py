"""Videos of evaluations: whole episodes, every step, of environments of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.unit.test_video import frames
from tuitrain.checkpoint.payload import save
from tuitrain.cli import main as cli
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import create_run
from tuitrain.config.schema import Config, EnvConfig
from tuitrain.envs.camera import filmed_lanes
from tuitrain.envs.make import inspect
from tuitrain.envs.spaces import EnvError
from tuitrain.video import VideoError
from tuitrain.workers.asides import filming, trained
from tuitrain.workers.beginning.resuming import CHECKPOINT_SCHEMA
from tuitrain.workers.build import SpecMismatch, network_for, policies_for

FILE = Path(__file__).parents[1] / "envs" / "film_envs.py"


def run_of(monkeypatch: pytest.MonkeyPatch, out_dir: Path, name: str, **env: Any) -> Config:
    """A config, and a checkpoint of it with the first weights instead of one on disk."""
    env_id = name if ":" in name or "-v" in name else f"{FILE}:{name}"
    given = {"env": {"id": env_id, **env}, "run": {"out_dir": str(out_dir)}}
    config = resolve(config_from(given, []), cores=2)
    spec = inspect(config.env, config.policies.map)
    read = trained.Trained(
        config,
        spec,
        policies_for(config, spec, "cpu"),
        0,
        dict.fromkeys(spec.policies, 5),
        Path("c.pt"),
    )
    monkeypatch.setattr(trained, "load_trained", lambda *_: read)
    played().clear()
    return config


def played() -> list[str]:
    from tuitrain.loading import load_object

    found: list[str] = load_object(f"{FILE}:PLAYED")
    return found


@pytest.mark.parametrize(
    ("name", "env", "fps"),
    [
        ("Lit", {}, 20.0),
        ("by_keywords", {}, 20.0),
        ("Lit", {"kwargs": {"render_mode": "human"}}, 20.0),
        ("Lit", {"kwargs": {"steps": 7}, "eval_kwargs": {"steps": 3}}, 20.0),
        ("Pair", {}, 20.0),
        ("Turns", {}, 10.0),
    ],
)
def test_episodes_are_whole_and_every_step_is_seen(
    name: str, env: dict[str, Any], fps: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(monkeypatch, tmp_path, name, **env)
    film = filming.film_run(trained.load_trained(tmp_path), tmp_path / "film.mp4", 2)
    assert {(r.episodes, r.return_mean, r.length_mean) for r in film.results} == {(2, 3.0, 3.0)}
    assert (film.pictures, film.fps) == (8, fps)
    seen, _ = frames(film.path)
    cell = seen[0].shape[1] // 8
    lit = [int((picture[8, cell // 2 :: cell, 1] > 128).sum()) for picture in seen]
    assert lit == [1, 2, 3, 4, 1, 2, 3, 4]


def test_a_film_of_the_same_number_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment draws something when it is built; and nobody else notices."""
    run_of(monkeypatch, tmp_path, "Drawn")
    before = np.random.get_state()[1].tolist()
    first, second = (
        filming.film_run(trained.load_trained(tmp_path), tmp_path / "film.gif", 1) for _ in range(2)
    )
    assert first.results == second.results
    assert np.random.get_state()[1].tolist() == before


def test_gymnasium_s_ids_and_treasure_hunt_have_pictures(tmp_path: Path) -> None:
    lanes, camera = filmed_lanes(EnvConfig(id="tuitrain.envs.treasurehunt:make"), "each")
    lanes.reset([1])
    first = camera.picture()
    assert (first.shape, camera.fps) == ((320, 320, 3), 5.0)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) >= 4 + 5, "ground, walls, five agents"
    lanes.reset([2])
    assert (camera.picture() != first).any()
    lanes.close()
    pytest.importorskip("pygame")
    lanes, camera = filmed_lanes(EnvConfig(id="CartPole-v1"), "each")
    lanes.reset([1])
    assert (camera.picture().shape, camera.fps) == ((400, 600, 3), 50.0)
    lanes.close()


@pytest.mark.parametrize(
    ("name", "kwargs", "said"),
    [
        ("without_mode", {}, r"render\(\) returned None. Its factory must take `render_mode`"),
        ("dark", {}, r"no render\(\) of its own"),
        ("tests.envs:TurnTags", {}, r"it has no render\(\)"),
        ("Lit", {"fault": "raises"}, "render.* failed: ZeroDivisionError"),
        ("Lit", {"fault": "floats"}, r"returned an array of float64 \(6, 8, 3\), not uint8"),
        ("Lit", {"fault": "list"}, "returned a list, not uint8"),
    ],
)
def test_what_has_no_picture_is_refused_before_anything_is_played(
    name: str,
    kwargs: dict[str, Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_of(monkeypatch, tmp_path, name, kwargs=kwargs)
    with pytest.raises(EnvError, match=f"cannot be recorded.*{said}"):
        filming.film_run(trained.load_trained(tmp_path), tmp_path / "film.mp4", 1)
    assert (played(), list(tmp_path.iterdir())) == ([], [])


def test_a_picture_of_another_size_ends_it_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(monkeypatch, tmp_path, "Lit", kwargs={"fault": "grows"})
    with pytest.raises(VideoError, match="one size"):
        filming.film_run(trained.load_trained(tmp_path), tmp_path / "film.mp4", 1)
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_has_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_of(monkeypatch, tmp_path, "Lit")
    other = inspect(EnvConfig(id="tests.envs:Chain"))
    read = trained.Trained(config, other, policies_for(config, other, "cpu"), 0, {}, Path("c.pt"))
    with pytest.raises(SpecMismatch):
        filming.film_run(read, tmp_path / "film.mp4", 1)


def test_the_command_records_and_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_of(monkeypatch, tmp_path / "runs", "Lit")
    run, spec = create_run(config), inspect(config.env, config.policies.map)
    payload = {  # a real one: `eval` plays in a process of its own
        "schema": CHECKPOINT_SCHEMA,
        "spec": spec.to_dict(),
        "steps": 0,
        "updates": dict.fromkeys(spec.policies, 5),
        "policies": {
            name: {"dqn": {"online": network_for(config, spec, name).state_dict()}}
            for name in spec.policies
        },
    }
    save(run.checkpoints, payload, "ckpt-0000000005", keep=1)
    film = tmp_path / "film.gif"
    result = CliRunner().invoke(cli.app, ["eval", str(run.path), "--video", str(film)])
    assert result.exit_code == 0, result.output
    assert "return 3 ± 0 (95 % CI, 3 episodes, min 3, max 3, mean length 3)" in result.output
    assert f"wrote {film}: 12 pictures at 20 a second" in result.output
    assert len(frames(film)[0]) == 12
    one = ["eval", str(run.path), "--video", str(film), "--episodes", "1"]
    assert "return 3 (1 episode, length 3)" in CliRunner().invoke(cli.app, one).output
    (told,) = json.loads(CliRunner().invoke(cli.app, [*one, "--json"]).stdout)
    assert (told["episodes"], told["return_ci95"]) == (1, None)


def test_the_command_refuses_a_name_before_it_looks_at_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(run_of(monkeypatch, tmp_path / "runs", "Lit"))
    result = CliRunner().invoke(cli.app, ["eval", str(run.path), "--video", "film.avi"])
    assert result.exit_code == 2
    assert "a video's name ends in .mp4 or .gif" in result.output
    assert played() == []
