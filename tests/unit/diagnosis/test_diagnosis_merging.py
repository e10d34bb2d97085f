"""Records of several actors and moments become what a check can look at."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tuitrain.diagnosis.merging import FEW, Merged
from tuitrain.measurements import Measurements


def merged(*records: dict[str, Any]) -> dict[str, Any]:
    out = Merged()
    for record in records:
        out.add(record)
    fields = out.fields()
    Measurements.model_validate(fields, strict=True)
    assert set(fields) <= set(Measurements.model_fields)
    return fields


def train(actor: int = 0, **fields: Any) -> dict[str, Any]:
    return {"kind": "train", "policy": "p", "actor": actor} | fields


def learner(**fields: Any) -> dict[str, Any]:
    return {"kind": "learner", "policy": "p"} | fields


def test_nothing_is_known_of_nothing() -> None:
    assert merged() == {}
    assert (
        merged({"kind": "system", "steps_per_s": 3.0}, train(), learner(), {"kind": "eval"}) == {}
    )
    nothing = train(episodes=None, length_max=float("nan"), action_effect_p=None)
    assert merged(nothing) == {}


def test_episodes_of_all_actors_are_counted_and_their_extremes_kept() -> None:
    one = train(0, episodes=3, truncated=1, length_min=5, length_max=9, reward_min=-1.0,
                reward_max=0.0, resets_unchanged=0, truncated_length_min=9,
                truncated_length_max=9, at_once=0, cut_at_once=0)  # fmt: skip
    two = train(1, episodes=2, truncated=0, length_min=2, length_max=4, reward_min=0.0,
                reward_max=2.0, resets_unchanged=2, at_once=2, cut_at_once=1)  # fmt: skip
    assert merged(one, two) == merged(two, one) == {
        "episodes": 5, "truncated": 1, "length_min": 2, "length_max": 9, "reward_min": -1.0,
        "at_once": 2, "cut_at_once": 1,
        "reward_max": 2.0, "resets_unchanged": 2, "truncated_length_min": 9,
        "truncated_length_max": 9,
    }  # fmt: skip


def test_of_the_longest_those_count_that_were_terminated() -> None:
    def told(longest: int, terminated: int) -> dict[str, Any]:
        return train(length_max=longest, longest_terminated=terminated)

    records = [told(8, 3), told(9, 1), told(9, 2), told(7, 5), train(episodes=1)]
    for order in itertools.permutations(records):
        assert merged(*order)["longest_terminated"] == 3
    # nothing is known of episodes of an older version, and nothing of those before a longer one
    assert merged(train(length_max=9), told(9, 2))["longest_terminated"] == 2
    assert merged(told(9, 2), told(10, 0))["longest_terminated"] == 0


def test_the_first_episodes_show_what_comes_by_chance() -> None:
    first = [
        train(0, epsilon=0.99, return_mean=1.0, episodes=9),
        train(1, epsilon=0.95, return_mean=4.0, episodes=11),
    ]
    assert "first_return_mean" not in merged(first[0])
    by_chance = (9 * 1.0 + 11 * 4.0) / 20
    assert merged(*first)["first_return_mean"] == by_chance
    more = train(epsilon=0.94, return_mean=500.0, episodes=5)
    assert merged(*first, more)["first_return_mean"] == by_chance


def test_of_a_record_that_reaches_into_what_was_learned_only_what_was_by_chance_counts() -> None:
    """▣ One second can be thousands of steps: of CartPole's first record 46.98 were "by chance"."""
    first = train(
        epsilon=0.05, updates=1860, episodes=413, return_mean=47.46, return_min=9.0,
        return_max=248.0, chance_episodes=85, chance_return_mean=22.8, chance_return_min=9.0,
        chance_return_max=70.0,
    )  # fmt: skip
    found = merged(first)
    assert found["first_return_mean"] == pytest.approx(22.8)
    bound = 1.96 * ((70.0 - 22.8) * (22.8 - 9.0) / 84) ** 0.5
    assert found["first_return_ci95"] == pytest.approx(bound)


@pytest.mark.parametrize(
    "record",
    [
        {"epsilon": 0.05, "updates": 1860, "chance_episodes": 0},
        {"epsilon": 0.05, "updates": 1860},  # of an older version
        {"epsilon": 0.05, "updates": 0, "chance_episodes": 0},  # some corner of weights by chance
        {"updates": 0},
        {"epsilon": 0.6, "updates": 7},
        {"epsilon": 0.05, "updates": 9, "chance_episodes": 19, "chance_return_mean": 20.0},  # few
    ],
)
def test_where_nothing_was_played_by_chance_nothing_is_known_of_it(record: dict[str, Any]) -> None:
    assert "first_return_mean" not in merged(train(episodes=400, return_mean=47.0, **record))


def test_all_episodes_before_the_first_update_are_by_chance() -> None:
    epsilons = (0.9, 0.7, 0.5)
    before = [train(0, epsilon=e, return_mean=1.0, episodes=20, updates=0) for e in epsilons]
    later = train(0, epsilon=0.95, return_mean=500.0, episodes=20, updates=7)
    # who has not got newer weights yet
    late = train(1, epsilon=0.5, return_mean=5.0, episodes=20, updates=0)
    assert merged(*before, later, late)["first_return_mean"] == 2.0


def test_the_first_episodes_to_end_are_the_shortest_of_many_that_began_together() -> None:
    """▣ Paid for every step, and long: twenty of a hundred would show but half of it."""
    lengths = [range(1, 101), range(1, 101), range(1, 101), range(1, 101)]
    out = Merged(environments=100)
    for of_each in lengths:
        for length in of_each:
            assert "first_return_mean" not in out.fields()
            out.add(train(epsilon=1.0, return_mean=float(length), episodes=1))
    assert out.fields()["first_return_mean"] == 50.5


def test_of_drawn_returns_the_largest_ever_counts_and_the_newest_share() -> None:
    found = merged(
        learner(returns_abs_max=5.0, returns_nonzero_share=0.5, observation_abs_max=3.0),
        learner(returns_abs_max=1.0, returns_nonzero_share=0.1, observation_abs_max=4.0),
    )
    assert found == {
        "returns_abs_max": 5.0,
        "returns_nonzero_share": 0.1,
        "observation_abs_max": 4.0,
    }


def test_a_constant_observation_is_no_news_before_there_are_a_few_batches() -> None:
    batches = [learner(observation_spread=0.0)] * FEW
    assert "observation_spread" not in merged(*batches[1:])
    assert merged(*batches) == {"observation_spread": 0.0}
    assert merged(learner(observation_spread=0.3), *batches) == {"observation_spread": 0.3}


def test_a_gradient_is_missing_if_it_is_in_several_records_on_end() -> None:
    none, some = learner(grad_zero_share=0.5, grad_zero_in="a"), learner(grad_zero_share=0.0)
    assert merged(*[none] * (FEW - 1)) == {}
    assert merged(*[none] * FEW) == {"grad_zero_share": 0.5, "grad_zero_in": "a"}
    assert merged(*[none] * FEW, some)["grad_zero_share"] == 0.0
    assert merged(some, *[none] * FEW)["grad_zero_share"] == 0.5


def test_the_actor_that_is_surest_of_an_effect_counts_by_its_newest_record() -> None:
    found = merged(
        train(0, action_effect_p=1e-9, action_effect_rows=100),
        train(1, action_effect_p=0.5, action_effect_rows=900),
        train(0, action_effect_p=0.2, action_effect_rows=300),
    )
    assert found == {"action_effect_p": 0.2, "action_effect_rows": 900}


@pytest.mark.parametrize("actor", ["a0", None, [1], 2.5])
def test_an_actor_may_be_called_anything_in_a_damaged_file(actor: Any) -> None:
    told = train(actor, action_effect_p=0.2, action_effect_rows=[3])
    assert merged(told) == {"action_effect_p": 0.2}


def test_what_a_learner_counts_goes_on_where_its_predecessor_has_died() -> None:
    counts = [
        learner(audited=n, stack_disagreements=bad, cross_episode_samples=0, checksum_failures=0)
        for n, bad in ((10, 0), (40, 2), (5, 1), (9, 1), (2, 0))
    ]
    found = merged(*counts)
    assert (found["audited"], found["stack_disagreements"]) == (40 + 9 + 2, 2 + 1 + 0)


def test_evaluations_without_an_end_are_counted_from_the_last_that_had_one() -> None:
    def evaluation(cut: Any) -> dict[str, Any]:
        return {"kind": "eval", "cut": cut, "episodes": 5}

    assert merged(*map(evaluation, (5, 5, 5))) == {"evals_all_cut": 3}
    assert merged(*map(evaluation, (5, 4, 5, 5))) == {"evals_all_cut": 2}
    assert merged(*map(evaluation, (5, 0))) == {"evals_all_cut": 0}
    assert merged(evaluation(None)) == {}


def test_rewards_of_evaluations_are_others_than_those_of_training() -> None:
    found = merged(
        train(reward_min=0.0, reward_max=1.0),
        {"kind": "eval", "reward_min": -4.0, "reward_max": 9.0, "reset_difference_p": 0.1},
        {"kind": "eval", "reward_min": -2.0, "reward_max": 99.0, "reset_difference_p": 0.6},
    )
    assert (found["reward_min"], found["reward_max"]) == (0.0, 1.0)
    assert (found["eval_reward_min"], found["eval_reward_max"]) == (-4.0, 99.0)
    assert found["reset_difference_p"] == 0.6


def test_going_back_forgets_what_other_weights_have_shown() -> None:
    out = Merged()
    for _ in range(FEW):
        out.add(learner(grad_zero_share=1.0, td_abs_mean=3.0, returns_abs_max=2.0))
    out.rewind()
    assert out.fields() == {"returns_abs_max": 2.0}


def test_what_rows_show_counts_before_an_episode_has_ended() -> None:
    rows = train(0, reward_min=-1.0, reward_max=2.0, action_effect_p=1e-9) | {"kind": "rows"}
    assert merged(rows) == {"reward_min": -1.0, "reward_max": 2.0, "action_effect_p": 1e-9}


def test_evaluations_that_are_all_cut_alike() -> None:
    def told(*returns: float, cut: int = 8, least: float | None = None) -> list[dict[str, Any]]:
        return [
            {"kind": "eval", "cut": cut, "episodes": 8, "return_max": one}
            | {"return_min": one if least is None else least}
            for one in returns
        ]

    def alike(*records: dict[str, Any]) -> int:
        found: int = merged(*records)["evals_cut_alike"]
        return found

    assert alike(*told(10.0, 10.0, 10.0)) == 3
    assert alike(*told(10.0, 10.0, 12.0)) == 0
    assert alike(*told(10.0, 10.0, least=9.0)) == 0
    assert alike(*told(10.0, 10.0, cut=7)) == 0
    assert alike(*told(10.0, cut=7), *told(10.0, 10.0)) == 0, "it was not always so"
    assert alike(*told(9.0), *told(10.0, 10.0)) == 0, "it learned until then"


def test_what_a_range_cuts_off_counts_once_a_few_records_have_said_so() -> None:
    told = [learner(returns_clipped_share=share) for share in (0.2, 0.9, 0.7, 0.8)]
    assert merged(*told[:2]) == {}
    assert merged(*told[:3]) == {"returns_clipped_share": 0.2}
    assert merged(*told) == {"returns_clipped_share": 0.7}
    back = Merged()
    for record in told:
        back.add(record)
    back.rewind()
    assert back.fields() == {}
