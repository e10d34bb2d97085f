"""The ranked list: causes before what follows from them, in the order of the table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.diagnosis.faults import EARLY
from tests.unit.diagnosis.healthy import change
from tuitrain.config.checks import ChecksConfig
from tuitrain.config.load import config_from
from tuitrain.config.problems import ConfigError
from tuitrain.config.resolve import resolve
from tuitrain.diagnosis.checks import BY_ID, CHECKS
from tuitrain.diagnosis.diagnose import Diagnosis, Since, diagnose, refused
from tuitrain.diagnosis.diagnose import Known as KnownCheck
from tuitrain.diagnosis.headlines import HEADLINES, LOST_UPDATES, headline
from tuitrain.diagnosis.words import lines, notes
from tuitrain.protocol import CheckState, CheckView


@dataclass(frozen=True)
class Known:
    id: str
    explains: tuple[str, ...] = ()


TABLE = (
    Known("rewards", ("q",)),
    Known("rate", ("q", "learning")),
    Known("q", ("broken",)),
    Known("broken", ("learning",)),
    Known("learning"),
)


def row(id_: str, state: CheckState = "fail", **more: str) -> CheckView:
    return CheckView(id=id_, name=id_, value="7", limit="1", state=state, **more)


def ranking(*checks: CheckView, table: Sequence[KnownCheck] = TABLE) -> list[tuple[str, list[str]]]:
    found = diagnose(checks, table)
    return [(wrong.check.id, [c.id for c in wrong.leads_to]) for wrong in found.wrong]


def test_a_cause_comes_first_and_what_follows_from_it_is_listed_under_it() -> None:
    raised = [row("learning", "warn"), row("q"), row("rewards")]
    for order in itertools.permutations(raised):
        assert ranking(*order) == [("rewards", ["q"]), ("learning", [])]


def test_learning_that_died_with_a_learner_is_a_cause_of_its_own() -> None:
    fell = row("learning", "warn", advice=f"default: 1,005 {LOST_UPDATES}, 90% of all it made")
    others = [row("rate", "warn"), row("rewards", "warn")]
    assert ranking(*others, fell) == [("learning", []), ("rewards", []), ("rate", [])]
    assert ranking(row("rewards"), fell) == [("rewards", []), ("learning", [])]
    assert ranking(row("rate"), fell) == [("rate", []), ("learning", [])], "though it explains it"
    assert headline(row("learning", "warn", advice=fell.advice.partition(": ")[2])) == headline(
        fell
    )
    assert headline(fell) == "The learner died, and 1,005 updates were lost with it."


def test_what_follows_from_a_consequence_follows_too() -> None:
    raised = [row("learning", "warn"), row("broken"), row("q"), row("rewards", "warn")]
    assert ranking(*raised) == [("rewards", ["q", "broken", "learning"])]


def test_only_what_is_raised_explains() -> None:
    assert ranking(row("rewards"), row("q", "ok"), row("broken")) == [
        ("rewards", []),
        ("broken", []),
    ]


def test_a_consequence_of_two_causes_is_under_both() -> None:
    assert ranking(row("q"), row("rate"), row("rewards")) == [("rewards", ["q"]), ("rate", ["q"])]


def test_fail_comes_before_warn_and_then_the_order_of_the_table_counts() -> None:
    assert ranking(row("rewards", "warn"), row("rate"), row("new")) == [
        ("rate", []),
        ("new", []),
        ("rewards", []),
    ]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_of_checks_that_explain_each_other_the_first_is_the_cause(n: int) -> None:
    names = [f"c{i}" for i in range(n)]
    table = tuple(Known(name, (names[(i + 1) % n],)) for i, name in enumerate(names))
    for order in itertools.permutations([row(name) for name in names]):
        assert ranking(*order, table=table) == [("c0", names[1:])]


def raised_by(fields: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Causes and what follows, of a healthy run whose policy has other figures."""
    of = change("policies.0", fields)
    return ranking(*(check.run(of, ChecksConfig()) for check in CHECKS), table=CHECKS)


def test_an_environment_that_goes_on_across_resets_explains_what_it_runs_away_to() -> None:
    ends = {"at_once": 300, "over_soon": 0}
    unreset = {"resets_unchanged": 400, "observation_size": 9.97e3}
    assert raised_by(unreset | ends) == [("resets", ["observations", "episode_ends"])]


def test_a_clock_that_goes_on_across_resets_is_told_beside_how_large_it_is() -> None:
    clock = {"resets_kept_share": 1.0, "observation_size": 9.97e3}
    assert raised_by(clock) == [("resets", []), ("observations", [])]
    of = change("policies.0.resets_kept_share", 1.0)
    assert "a part" in headline(BY_ID["resets"].run(of, ChecksConfig()))


def test_nothing_is_raised() -> None:
    found = diagnose([row("q", "ok"), row("rate", "n/a", advice="it waits")], TABLE)
    assert found.wrong == ()
    assert lines(found) == [
        "Nothing is wrong: 1 check ok, 1 not measured.",
        "Not measured: rate (it waits).",
    ]


def test_what_is_wrong_is_told_with_evidence_moment_consequences_and_what_to_change() -> None:
    raised = [
        row("rewards", catalogue_id="7.1", advice="set reward.scale"),
        row("q", "warn"),
        row("rate", "ok"),
    ]
    text = "\n".join(lines(diagnose(raised, TABLE, {"rewards": Since(1_000_000_000.0, 3200)})))
    for said in ("FAIL", "rewards 7 (limit 1)", "environment step 3,200 (2001-09-09",
                 "q 7 (warn)", "set reward.scale", "7.1", "1 check ok"):  # fmt: skip
        assert said in text
    assert max(map(len, text.splitlines())) <= 96


def test_every_check_has_a_sentence_and_every_sentence_its_check() -> None:
    assert {check.id for check in CHECKS} <= set(HEADLINES)
    assert all(text.endswith(".") for text in HEADLINES.values())


def test_of_a_network_it_is_said_what_it_does() -> None:
    check = row("network", "fail").model_copy(update={"value": "looks at 1 of 4 frames"})
    assert headline(check) == "The network looks at 1 of 4 frames."


@pytest.mark.parametrize(
    ("changed", "said"),
    [("most_epsilon", "never explores"), ("final_epsilon", "acts at random to its end")],
)
def test_the_headline_of_exploration_says_which_end_of_it_is_wrong(changed: str, said: str) -> None:
    of = change(f"policies.0.{changed}", 0.0 if changed == "most_epsilon" else 1.0)
    assert said in headline(BY_ID["exploration"].run(of, ChecksConfig()))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"observation_size": 9.97e3}, "of a size that networks do not learn from"),
        ({"observation_size": 2e-5, "observation_abs_max": 2e-5}, "so small"),
        ({"changes_within": 0}, "do not change within an episode"),
    ],
)
def test_the_headline_of_observations_says_how_they_are(fields: dict[str, Any], said: str) -> None:
    of = change("policies.0", EARLY | fields)
    assert said in headline(BY_ID["observations"].run(of, ChecksConfig()))


def test_observations_that_stand_still_explain_that_actions_seem_to_have_no_effect() -> None:
    still = EARLY | {"changes_within": 0, "action_effect_p": 1.0}
    assert raised_by(still) == [("observations", ["action_effect"])]


NO_FIT = "NetworkError: mat1 and mat2 shapes cannot be multiplied (nets.py:7 in forward)"


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        (  # of a run that has ended
            f"probe: exit code 1: {NO_FIT}; its traceback and log: `tuitrain logs t-0001 probe`",
            f"probe has failed: {NO_FIT}",
        ),
        (f"a0: a0 (actor) failed, exit code 1: {NO_FIT}", f"a0 has failed: {NO_FIT}"),
        ("a0: a0 (actor) failed, killed by SIGKILL", "a0 has failed: killed by SIGKILL"),
        (
            "a0: a0 (actor) failed, exit code 3",
            "a0 has failed: exit code 3, without an error: does something in it call exit()?",
        ),
        ("a0: see its log", "A worker has failed."),
        ("", "A worker has failed."),
    ],
)
def test_the_headline_of_a_failed_worker_says_of_what(advice: str, said: str) -> None:
    (wrong,) = diagnose([row("processes", advice=advice)], TABLE).wrong
    assert wrong.headline == said


def test_a_long_error_is_cut() -> None:
    (wrong,) = diagnose([row("processes", advice="a0: KeyError: " + "x " * 500)], TABLE).wrong
    assert wrong.headline.startswith("a0 has failed: KeyError: x x")
    assert wrong.headline.endswith("x…")
    assert len(wrong.headline) <= 160


def test_a_long_error_is_cut_between_words_and_its_folders_are_left_out() -> None:
    """▣ Of a path with no end nobody knows which file is meant."""
    place = "environment '/home/somebody/work/of/this/year/and/the/next/far/away/mazes.py:make'"
    told = f"BadObservation: {place}, step(), lane 1: an observation holds NaN. Make"
    (wrong,) = diagnose([row("processes", advice=f"a0: {told} the environment end")], TABLE).wrong
    said = "a0 has failed: BadObservation: environment 'mazes.py:make', step(), lane 1: an "
    assert wrong.headline == f"{said}observation holds NaN. Make the environment end"
    (wrong,) = diagnose([row("processes", advice="a0: " + "word; " * 40)], TABLE).wrong
    assert wrong.headline.endswith(" word…")


def problems(**tables: dict[str, object]) -> Diagnosis:
    try:
        resolve(config_from(tables))
    except ConfigError as error:
        return refused(error.problems)
    return Diagnosis()


def test_a_config_that_is_refused_says_what_for() -> None:
    late = problems(run={"total_steps": 1000}, replay={"learning_starts": 2000})
    assert late.wrong[0].check.catalogue_id == "5.1"
    assert "replay.learning_starts = 2000 must be less than run.total_steps" in (
        late.wrong[0].headline
    )
    (far,) = problems(learner={"lr": 10.0}).wrong
    assert far.check.name == "learner.lr"
    assert "above 0 and at most 1" in far.headline
    assert not problems().wrong


def test_a_note_that_asks_ends_as_a_question() -> None:
    asked, told = notes(Diagnosis(notes=("is it kept across reset()?", "it is another game")))
    assert asked == ["Note: is it kept across reset()?"]
    assert told == ["Note: it is another game."]
