"""The environments of docs/guide/environments.md, taken out of the page and looked at."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.guide import FOLDER, write_files
from tuitrain.config.load import load_config
from tuitrain.config.schema import EnvConfig
from tuitrain.config.starter import SeenPolicy
from tuitrain.envs.make import build_env, inspect
from tuitrain.envs.saving.trial import why_not
from tuitrain.workers.asides.look import look

PAGE = "environments.md"


@pytest.fixture(autouse=True)
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert write_files(PAGE, tmp_path) == ["courier.py", "wolves.toml", "wolves.py", "tide.py"]
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("courier", "wolves", "tide"):
        sys.modules.pop(name, None)


def test_the_couriers_row_is_the_one_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.workers.asides.look.MAX_STEPS", 200)
    seen = look(EnvConfig(id="courier.py:Courier"))["policies"]["default"]
    lines = SeenPolicy(**seen).described()
    assert "\n".join(["```text", *lines, "```"]) in (FOLDER / PAGE).read_text()


def test_the_wolves_share_what_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.workers.asides.look.MAX_STEPS", 400)
    config = load_config("wolves.toml")
    spec = inspect(config.env, config.policies.map)
    assert {name: policy.agents for name, policy in spec.policies.items()} == {
        "wolves": ("wolf_0", "wolf_1"),
        "sheep": ("sheep",),
    }
    assert [policy.n_actions for policy in spec.policies.values()] == [2, 3]
    seen = look(config.env)
    wolf, _, sheep = seen["policies"].values()
    assert wolf["length_mean"] == 30 > sheep["length_mean"]
    assert wolf["episodes"] < sheep["episodes"]
    assert 0 < wolf["return_mean"] < wolf["length_mean"]
    assert np.isfinite(sheep["return_mean"])
    assert (wolf["absent"], sheep["absent"]) == (False, True)


def test_the_tide_goes_on_because_it_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(EnvConfig(id="tide.py:Tide")) == ""
    monkeypatch.delattr(type(build_env(EnvConfig(id="tide.py:Tide"))), "state_dict")
    assert why_not(EnvConfig(id="tide.py:Tide")) == "attribute env.water is a generator"
