"""docs/config.md and the shipped configs agree with the schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuitrain.config.describe import known_keys
from tuitrain.config.load import config_from, load_config
from tuitrain.config.reference import reference
from tuitrain.config.resolve import resolve

ROOT = Path(__file__).parents[3]


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == reference(), (
        "run: python -m tuitrain.config.reference > docs/config.md"
    )


def test_the_reference_has_every_key_with_its_default() -> None:
    text = reference()
    for key, info in known_keys().items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{key}` |"))
        assert info.description, key
        assert f"| {info.allowed} |" in row
        assert f"`{info.default}`" in row if info.default else "left out" in row


def test_every_number_has_a_unit_or_is_a_pure_number() -> None:
    pure = {
        "run.seed",
        "exploration.ladder_alpha",
        "replay.priority_alpha",
        "replay.priority_beta",
        "learner.lr",
        "learner.lr_end",
        "checks.lr_max",
        "learner.adam_eps",
        "algorithm.noisy_sigma",
        "algorithm.munchausen_scale",
    }
    without = {
        key
        for key, info in known_keys().items()
        if "number" in info.allowed and not info.unit and key != "schema_version"
    }
    assert without == pure


def test_every_default_in_words_is_the_default() -> None:
    overrides = [f"{key}={info.default}" for key, info in known_keys().items() if info.default]
    assert config_from({}, overrides) == config_from({})


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.name)
@pytest.mark.parametrize("cores", [1, 2, 4, 16])
def test_shipped_configs_load_and_resolve(path: Path, cores: int) -> None:
    config = resolve(load_config(path), cores, ROOT)
    assert config.run.name == path.stem.replace("_", "-") or config.run.name == path.stem


def test_every_shipped_config_is_described() -> None:
    text = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "configs").glob("*.toml"):
        assert f"({path.name})" in text
