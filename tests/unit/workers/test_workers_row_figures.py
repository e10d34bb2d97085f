"""What actors' rows show: honest environments of every kind, and each with one thing wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import Relay, TwoPolicies
from tests.envs.aec import TicTacToe
from tests.unit.envs.test_env_metrics import Recorder
from tests.unit.workers.one_actor import CHUNK_STEPS, one_actor
from tuitrain.learning.weights import Published
from tuitrain.metrics.records import COMMON_FIELDS, FIELDS
from tuitrain.replay import first_seen
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.schedules.evaluation import build_evaluator
from tuitrain.schedules.rounds import Reporter
from tuitrain.workers.acting import row_figures
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.row_figures import RowFigures
from tuitrain.workers.evaluating.evaluator import EvalResult, records

CERTAIN = 1e-9


PLENTY_S = 1e9


@pytest.fixture(autouse=True)
def time_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found shall not depend on how busy the machine is."""
    monkeypatch.setattr(row_figures, "GIVEN_S", PLENTY_S)


class Round(gymnasium.Env):
    """A player on a ring of places, who goes left or right or stays; a picture or a one-hot row.

    Episodes begin anywhere, end at place 0 with a reward of 5, or are cut after 12 steps of -1.

    Args:
        shuffled: what is done is something else than what was chosen.
        resets: whether the player is put elsewhere by a reset.
        swapped: terminated and truncated, each for the other.
        constant: nothing can be seen.
        blank: nothing can be seen at the beginning and at the end.
        masked: the player may not stay, and infos say so.
        begins: at this place; None is anywhere.
        still: what can be seen is always where the episode has begun.
    """

    def __init__(
        self,
        picture: bool = False,
        shuffled: bool = False,
        resets: bool = True,
        swapped: bool = False,
        constant: bool = False,
        blank: bool = False,
        masked: bool = False,
        begins: int | None = None,
        places: int = 9,
        still: bool = False,
    ) -> None:
        self.places, self.place, self.steps = places, 0, 0
        shape = (3, places // 3) if picture else (places,)
        kind: Any = np.uint8 if picture else np.float32
        self.observation_space = spaces.Box(0, 255 if picture else 1, shape, kind)
        self.action_space = spaces.Discrete(3)
        self._shuffled, self._resets, self._swapped = shuffled, resets, swapped
        self._constant, self._masked, self._begins = constant, masked, begins
        self._blank, self._still, self._first = blank, still, 0

    def _see(self) -> tuple[Any, dict[str, Any]]:
        space: Any = self.observation_space
        seen = np.zeros(self.places, space.dtype)
        if not self._constant and not (self._blank and self.steps in (0, 12)):
            seen[self._first if self._still else self.place] = space.high.flat[0]
        infos = {"action_mask": np.array([1, 0, 1], np.int8)} if self._masked else {}
        return seen.reshape(space.shape), infos

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if self._resets or seed is not None:
            self.place = self._begins or int(self.np_random.integers(1, self.places))
        self.steps, self._first = 0, self.place
        return self._see()

    def step(self, action: int) -> Any:
        if self._shuffled:
            action = int(self.np_random.choice([0, 2] if self._masked else [0, 1, 2]))
        self.place = (self.place + action - 1) % self.places
        self.steps += 1
        seen, infos = self._see()
        there = self.place == 0 and not self._blank
        ends = there, not there and self.steps == 12
        return seen, 5.0 if there else -1.0, *(ends[::-1] if self._swapped else ends), infos


def figures(folder: Path, chunks: int = 200, **tables: Any) -> dict[str, dict[str, float]]:
    """What an actor that draws all actions at random says, per policy; in two reports."""
    settings: dict[str, Any] = {
        "exploration": {"epsilon_start": 1.0, "epsilon_end": 1.0},
        "replay": {"capacity": 300},  # so that rows are overwritten before they are reported
    }
    folder.mkdir(exist_ok=True)
    with one_actor(folder, **(settings | tables)) as run:
        actor = build_actor(*run, 0)
        act(actor, chunks)
        found = {name: part.take_figures() for name, part in actor.parts.items()}
        begun = {name: replay.first_seen() for name, replay in run[1].replays.items()}
        for name, table in begun.items():
            found[name]["begun"] = float(table[0].max())
        actor.close()
    return found


def act(actor: Actor, chunks: int) -> None:
    actor.pull()
    for _ in range(chunks):
        actor.begin(Ticket(0, (0,) * len(actor.parts)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        actor.commit()


def of_round(folder: Path, **kwargs: Any) -> dict[str, float]:
    env = {"id": f"{__file__}:Round", "kwargs": kwargs}
    network = {"network": "mlp", "network_kwargs": {"hidden": [4]}}
    return figures(folder, 400, env=env, learner=network)["default"]


@pytest.mark.parametrize("kwargs", [{}, {"picture": True}, {"masked": True}])
def test_an_honest_environment(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    told = of_round(tmp_path, **kwargs)
    assert told["action_effect_p"] < CERTAIN
    assert told["resets_unchanged"] < 0.25 * told["episodes"], "by chance one in eight"
    assert told["resets_kept_share"] == 0.0
    assert (told["reward_min"], told["reward_max"]) == (-1.0, 5.0), "boundary rows are not 0"
    assert 0 < told["truncated"] < told["episodes"]
    assert told["truncated_length_min"] == told["truncated_length_max"] == 12
    assert (told["length_min"], told["length_max"]) == (1, 12)
    assert abs(told["begun"] - told["episodes"]) <= 8


@pytest.mark.parametrize("kwargs", [{}, {"picture": True}, {"masked": True}])
def test_shuffled_actions(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    told = of_round(tmp_path, shuffled=True, **kwargs)
    assert told["action_effect_p"] > 0.01
    assert told["action_effect_rows"] > 5_000


@pytest.mark.parametrize("shuffled", [False, True])
def test_an_effect_that_only_stacked_frames_tell(tmp_path: Path, shuffled: bool) -> None:
    env = {"id": "tests.envs.odd:Orbit", "kwargs": {"shuffled": shuffled}, "n_frames": 2}
    network = {"network": "mlp", "network_kwargs": {"hidden": [4]}}
    told = figures(tmp_path, 400, env=env, learner=network)["default"]
    assert told["action_effect_p"] > 0.01 if shuffled else told["action_effect_p"] < CERTAIN


def test_a_reset_that_does_not_reset(tmp_path: Path) -> None:
    told = of_round(tmp_path, resets=False)
    assert told["resets_unchanged"] >= 0.99 * told["episodes"] > 100
    assert told["begins_differ"] == 1


def test_a_reset_that_leaves_the_player_anywhere(tmp_path: Path) -> None:
    told = of_round(tmp_path, resets=False, places=60)
    assert told["resets_kept_share"] > 0.5


def test_episodes_that_begin_and_end_with_a_blank_screen(tmp_path: Path) -> None:
    """As a task of memory does: what is to be remembered is shown between."""
    told = of_round(tmp_path, blank=True)
    assert told["resets_unchanged"] >= 0.99 * told["episodes"] > 100, "though all are reset"
    assert told["begins_differ"] == 0


@pytest.mark.parametrize("picture", [False, True])
@pytest.mark.parametrize("still", [False, True])
def test_whether_observations_change_within_an_episode(
    tmp_path: Path, still: bool, picture: bool
) -> None:
    told = of_round(tmp_path, still=still, picture=picture)
    assert told["changes_within"] == (not still)
    assert told["begins_differ"] == 1, "another episode shows something else"


def test_of_few_observations_it_is_not_said_that_they_do_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_figures, "UNCHANGED_ROWS", 1 << 20)
    assert "changes_within" not in of_round(tmp_path, still=True)
    assert of_round(tmp_path / "other")["changes_within"] == 1


def test_swapped_ends(tmp_path: Path) -> None:
    told = of_round(tmp_path, swapped=True)
    assert told["truncated_length_min"] == 1, "a time limit that cuts after any number of steps"


def test_nothing_to_see(tmp_path: Path) -> None:
    told = of_round(tmp_path, constant=True)
    assert told["resets_unchanged"] >= 0.99 * told["episodes"]


@pytest.mark.parametrize(
    ("env", "policies"), [(TwoPolicies, "each"), (Relay, "each"), (TicTacToe, "each")]
)
def test_lanes_of_every_kind(tmp_path: Path, env: type, policies: str) -> None:
    """Agents that move together, in turn, and move by move with masks."""
    each = {"env": {"id": f"{env.__module__}:{env.__name__}"}, "policies": {"map": policies}}
    found = figures(tmp_path, 300, **each)
    assert len(found) == 2
    for told in found.values():
        assert told["action_effect_p"] < CERTAIN
        assert told["resets_unchanged"] < 0.9 * told["episodes"]
        assert told["reward_max"] == 1.0
        assert told["reward_min"] == (-1.0 if env is TicTacToe else 0.0)
        assert (told["begun"] > 0) == (env is TwoPolicies), "others may have acted before"
        assert ("begins_differ" in told) == (env is TwoPolicies)


def test_only_actions_drawn_at_random_count(tmp_path: Path) -> None:
    never = {"exploration": {"epsilon_start": 0.0, "epsilon_end": 0.0}}
    told = figures(tmp_path, 100, env={"id": "CartPole-v1"}, **never)["default"]
    assert "action_effect_p" not in told
    assert told["reward_min"] == told["reward_max"] == 1.0, "rows between episodes are paid 0"


def test_every_row_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often is looked, and though rows are overwritten: sums are those of all rows."""
    monkeypatch.setattr(row_figures, "LOOK_ROWS", 7)
    env = {"id": f"{__file__}:Round"}
    often = figures(tmp_path / "often", 60, env=env)["default"]
    monkeypatch.setattr(row_figures, "LOOK_ROWS", 100_000)
    seldom = figures(tmp_path / "seldom", 60, env=env)["default"]
    large = {"replay": {"capacity": 5_000}}
    never = figures(tmp_path / "never", 60, env=env, **large)["default"]
    for told in (often, seldom, never):
        # of how many rows depends on when it was certain
        assert told.pop("action_effect_p") < CERTAIN
        assert told.pop("action_effect_rows") > 0
    assert often == seldom == never


def test_what_rows_show_is_recorded_though_no_episode_ends(tmp_path: Path) -> None:
    kwargs = {"places": 30, "begins": 15}
    with one_actor(tmp_path, env={"id": f"{__file__}:Round", "kwargs": kwargs}) as run:
        actor, link = build_actor(*run, 0), Recorder()
        reporter = Reporter(link, lambda: 0.0, actors=[actor])
        reporter.last()
        assert link.records == []  # nothing has been done yet
        act(actor, 1)
        reporter.last()
        reporter.last()
        actor.close()
    (record,) = link.records
    assert (record["kind"], record["reward_min"], record["reward_max"]) == ("rows", -1.0, -1.0)
    assert record["action_effect_rows_wanted"] == 3_000
    assert set(record) <= {*COMMON_FIELDS, *FIELDS["rows"]}


@pytest.mark.parametrize("given_s", [0.0, PLENTY_S])
def test_the_clock_says_of_how_many_rows_actions_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_s: float
) -> None:
    """Every look at them takes a second; so much is given, but for a small share of what passes."""
    monkeypatch.setattr(row_figures, "GIVEN_S", given_s)
    env, time_s = {"id": f"{__file__}:Round", "kwargs": {"shuffled": True}}, 0.0

    def clock() -> float:
        nonlocal time_s
        time_s += 1.0
        return time_s

    with one_actor(tmp_path, env=env) as (blueprint, stores):
        actor = build_actor(blueprint, stores, 0)
        (part,) = actor.parts.values()
        spec = blueprint.spec.policies["default"]
        part.figures = RowFigures(part.writer, spec, True, clock=clock)
        rows = []
        for _ in range(50):
            act(actor, 60)
            rows.append(part.take_figures()["action_effect_rows"])
        actor.close()
    followed = np.count_nonzero(np.diff(rows))
    if given_s:
        assert followed == 49
    else:
        assert 0 < followed < time_s * row_figures.SHARE


def test_who_measures_nothing_tells_nothing_and_looks_at_no_rows_of_then(tmp_path: Path) -> None:
    with one_actor(tmp_path, env={"id": f"{__file__}:Round"}) as (blueprint, stores):
        actor = build_actor(blueprint, stores, 0)
        (part,) = actor.parts.values()
        figures = part.figures
        assert figures is not None
        act(actor, 20)
        assert "reward_min" in part.take_figures()
        part.figures = None
        act(actor, 30)
        assert part.take_figures().keys().isdisjoint(["reward_min", "action_effect_rows"])
        assert part.take_row_figures() == {}
        part.figures = figures
        figures.restore(figures.state() | {"behind": 0})
        begun = stores.replays["default"].first_seen()[0].max()
        act(actor, 2)
        figures.take()
        lanes = blueprint.config.actors.envs_per_actor
        assert stores.replays["default"].first_seen()[0].max() <= begun + 2 * CHUNK_STEPS * lanes
        actor.close()


def test_reports_begin_anew(tmp_path: Path) -> None:
    with one_actor(tmp_path, env={"id": f"{__file__}:Round", "kwargs": {"resets": False}}) as run:
        actor = build_actor(*run, 0)
        (part,) = actor.parts.values()
        act(actor, 60)
        part.take_figures()
        second = part.figures.take()
        actor.close()
    anew = {name: value for name, value in second.items() if not name.startswith("action_effect")}
    assert anew.pop("resets_kept_share") >= 0
    assert anew == {"resets_unchanged": 0, "begins_differ": 1, "changes_within": 1}


def test_first_observations_are_those_of_all_actors(tmp_path: Path) -> None:
    with one_actor(tmp_path, env={"id": f"{__file__}:Round"}) as (blueprint, stores):
        actor = build_actor(blueprint, stores, 0)
        act(actor, 50)
        (part,) = actor.parts.values()
        part.take_figures()
        table = stores.replays["default"].first_seen()
        actor.close()
    assert table.shape == first_seen.SHAPE
    assert table[0, :9].min() == table[0].max() > 20
    assert table[0, 9:].max() == 0
    assert table[1, 0] == 0.0, "nobody begins at place 0"
    assert table[1, 1:9].sum() == pytest.approx(1.0)


# ---- beside evaluations --------------------------------------------------------------------------


def evaluations(folder: Path, kind: type, **eval_kwargs: Any) -> list[EvalResult]:
    """The fourth evaluation of weights, beside training."""
    tables: dict[str, Any] = {
        "env": {"id": f"{kind.__module__}:{kind.__name__}", "eval_kwargs": eval_kwargs},
        "policies": {"map": "shared" if kind is Round else "each"},
        "eval": {"episodes": 10},
    }
    if kind is Round:
        tables["env"]["id"] = f"{__file__}:Round"
    with one_actor(folder, **tables) as (blueprint, stores):
        actor = build_actor(blueprint, stores, 0)
        act(actor, 120)
        for part in actor.parts.values():
            part.take_figures()
        actor.close()
        evaluator = build_evaluator(blueprint)
        evaluator.pull(stores, blueprint.evaluator_reader)
        found = [evaluator.evaluate(number, lambda: None) for number in range(4)]
        evaluator.close()
    return found[-1]


def test_evaluations_that_begin_as_training_does(tmp_path: Path) -> None:
    (result,) = evaluations(tmp_path, Round)
    assert result.reset_difference_p > 1e-3
    assert result.reward_min == -1.0
    assert result.reward_max in (-1.0, 5.0)
    (record,) = records([result], {"default": Published(3, 4, 5, 0.0)}, 6, 7.0)
    assert record["reset_difference_p"] == result.reset_difference_p


def test_evaluations_that_begin_elsewhere(tmp_path: Path) -> None:
    (result,) = evaluations(tmp_path, Round, begins=4)
    assert result.reset_difference_p < 1e-6


def test_agents_that_act_together(tmp_path: Path) -> None:
    for result in evaluations(tmp_path, TwoPolicies):
        assert result.reset_difference_p > 1e-3
        assert (result.reward_min, result.reward_max) == (0.0, 1.0)


def test_whoever_acts_after_others_begins_with_what_they_did(tmp_path: Path) -> None:
    for result in evaluations(tmp_path, Relay):
        assert np.isnan(result.reset_difference_p)
        assert result.reward_min == 0.0
