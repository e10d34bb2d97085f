"""What `doctor --learn` concludes: literal facts of a config that learns, one broken at a time."""

from __future__ import annotations

from dataclasses import replace

from tuitrain.doctor.finding import Finding
from tuitrain.doctor.learning import Learned, Practice, Rehearsed, Score, Tried, findings
from tuitrain.protocol import CheckView

TRIED = Tried(1e-3, 500, 1.0, 0.05, 0.0, (), 6, learned=True)
NOTHING = replace(TRIED, after=0.99, learned=False)
TARGETS = CheckView(
    id="target_updates", name="target updates", value="0 off", limit="0", state="ok"
)
REHEARSED = Rehearsed(Score(20.0, 4.0), rewarded_share=1.0, still_share=0.0, tried=(TRIED,))
SEQUENTIAL = Practice(
    "sequential", ran_s=20.0, updates=8000, checks=(TARGETS,), evaluated={"p": Score(120.0, 30.0)}
)
ASYNC = replace(SEQUENTIAL, schedule="async")
LEARNED = Learned({"p": REHEARSED}, (SEQUENTIAL, ASYNC))
NEAR = {"p": Score(24.0, 4.0)}
"""No better than random play."""


def rows(learned: Learned) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings(learned)}


def rehearsed(**changes: object) -> Learned:
    return replace(LEARNED, rehearsed={"p": replace(REHEARSED, **changes)})  # type: ignore[arg-type]


def test_a_config_that_learns() -> None:
    found = rows(LEARNED)
    assert {finding.state for finding in found.values()} == {"ok"}
    assert "it learns" in found["verdict"].found
    assert list(found)[-1] == "verdict"


def test_a_learning_rate_that_does_not_learn() -> None:
    slow = replace(NOTHING, lr=1e-12, unmoved=("a", "b"))
    found = rows(rehearsed(tried=(slow, TRIED)))
    assert found["one_batch"].state == "fail"
    assert found["one_batch"].commands == ("--set learner.lr=0.001",)
    assert found["gradients"].state == "ok", "the other rate moves them all"
    assert "it does not learn like this: one batch" in found["verdict"].found


def test_a_usual_learning_rate_is_not_blamed_by_its_own_range() -> None:
    """On a busy machine few updates are made; then another rate, too, says nothing of it."""
    slow = replace(NOTHING, lr=2.5e-4, updates=163)
    found = rows(rehearsed(tried=(slow, replace(TRIED, updates=163))))["one_batch"]
    assert (found.state, found.advice) == ("n/a", "")
    assert "in 163 updates: only so many in the time" in found.found
    for lr in (1e-5, 2.5e-4):
        found = rows(rehearsed(tried=(replace(slow, lr=lr, updates=500), TRIED)))["one_batch"]
        assert found.state == "warn"
        assert "between" not in found.advice
    found = rows(rehearsed(tried=(replace(NOTHING, lr=10.0), TRIED)))["one_batch"]
    assert (found.state, found.advice[-34:]) == ("fail", "learner.lr between 1e-5 and 0.001:")


def test_observations_that_stand_still() -> None:
    found = rows(rehearsed(still_share=0.995))["observations"]
    assert (found.state, found.found[:5]) == ("warn", "99.5%")
    assert "step()" in found.advice
    assert rows(rehearsed(still_share=0.98))["observations"].state == "ok"
    assert rows(rehearsed(still_share=None))["observations"].state == "n/a"


def test_a_network_that_learns_no_batch() -> None:
    found = rows(rehearsed(tried=(NOTHING, NOTHING)))
    assert found["one_batch"].state == "fail"
    assert "Not even the same batch" in found["one_batch"].advice


def test_a_layer_that_no_gradient_reaches() -> None:
    found = rows(rehearsed(tried=(replace(TRIED, unmoved=("body.0.weight", "body.0.bias")),)))
    assert found["verdict"].state == "warn", "it learns without them"
    found = rows(
        replace(
            rehearsed(tried=(replace(TRIED, unmoved=("body.0.weight", "body.0.bias")),)),
            practices=(replace(ASYNC, evaluated=NEAR),),
        )
    )
    assert found["gradients"].state == "fail"
    assert "2 of 6 weight tensors never move: body.0.weight" in found["gradients"].found
    assert found["verdict"].state == "fail"


def test_few_updates_say_nothing() -> None:
    few = replace(NOTHING, updates=3)
    assert rows(rehearsed(tried=(few, few)))["one_batch"].state == "n/a"
    assert rows(rehearsed(tried=()))["one_batch"].state == "n/a"
    assert rows(rehearsed(tried=()))["gradients"].state == "n/a"


def test_without_any_reward_there_is_no_batch_to_learn_and_the_rewards_are_the_verdict() -> None:
    """Its targets are what a random network says, which few networks learn well: no fault."""
    same = {"p": Score(0.0, 0.0)}
    practices = tuple(replace(p, evaluated=same) for p in LEARNED.practices)
    silent = rehearsed(rewarded_share=0.0, transitions=1024, random=same["p"], tried=(NOTHING,))
    found = rows(replace(silent, practices=practices))
    assert (found["one_batch"].state, found["gradients"].state) == ("n/a", "ok")
    assert found["verdict"].state == "warn"
    assert found["verdict"].found == (
        "nothing to learn from: no reward other than 0 in 1,024 transitions of random play: does "
        "step() return it?"
    )


def test_what_is_chance_is_an_estimate() -> None:
    lucky = replace(TRIED, before=4.38, after=0.723, floor=0.87)
    said = rows(rehearsed(tried=(lucky,)))["one_batch"].found
    assert said == "TD error 4.38 → 0.723 (about 0.87 is chance) in 500 updates"


def test_no_reward_at_random() -> None:
    found = rows(rehearsed(rewarded_share=0.0))
    assert found["rewards"].state == "warn"
    assert found["verdict"].state == "ok", "it was learned all the same"


def test_too_early() -> None:
    practices = (replace(SEQUENTIAL, evaluated=NEAR), replace(ASYNC, evaluated=NEAR))
    found = rows(replace(LEARNED, practices=practices))
    assert found["beats_random_async"].state == "n/a"
    assert found["verdict"].state == "n/a"
    assert found["verdict"].found.startswith("TOO EARLY")


def test_worse_than_random() -> None:
    corner = {"p": Score(9.3, 0.4)}
    practices = (replace(SEQUENTIAL, evaluated=corner), replace(ASYNC, evaluated=corner))
    found = rows(replace(LEARNED, practices=practices))
    told = found["beats_random_async"]
    assert (told.state, told.found[-17:]) == ("warn", "WORSE THAN RANDOM")
    assert "last layer" in told.advice
    assert found["verdict"].state == "warn"
    assert found["verdict"].found.startswith("WORSE THAN RANDOM")
    assert found["verdict"].found.endswith("look at beats random")
    near = {"p": Score(15.0, 1.5)}
    found = rows(replace(LEARNED, practices=(replace(ASYNC, evaluated=near),)))
    assert found["beats_random_async"].state == "n/a", "intervals meet"
    alone = (SEQUENTIAL, replace(ASYNC, evaluated=corner))
    found = rows(replace(LEARNED, practices=alone))
    assert "it learns in sequential alone so far; look at beats random" in found["verdict"].found


def test_a_greedy_policy_of_few_updates_may_be_worse_than_random() -> None:
    early = replace(ASYNC, updates=499, evaluated={"p": Score(9.3, 0.4)})
    found = rows(replace(LEARNED, practices=(early,)))
    assert found["beats_random_async"].state == "n/a"
    assert found["verdict"].found.startswith("TOO EARLY")


def test_of_rivals_one_is_worse_than_random() -> None:
    both = {"p": REHEARSED, "q": REHEARSED}
    rivals = replace(ASYNC, evaluated={"p": Score(9.3, 0.4), "q": Score(25.0, 4.0)})
    assert rows(Learned(both, (rivals,)))["beats_random_async"].state == "n/a"


def test_too_early_with_a_doubt() -> None:
    early = replace(rehearsed(rewarded_share=0.0), practices=(replace(ASYNC, evaluated={}),))
    found = rows(early)
    assert found["beats_random_async"].found == "async: not measured"
    assert found["verdict"].state == "warn"
    warned = replace(SEQUENTIAL, evaluated={}, wrong=(("warn", "Slow."),))
    assert rows(replace(LEARNED, practices=(warned,)))["verdict"].found.endswith(
        "look at sequential"
    )


def test_one_schedule_alone_learns() -> None:
    behind = replace(ASYNC, evaluated={"p": Score(21.0, 3.0)})
    found = rows(replace(LEARNED, practices=(SEQUENTIAL, behind)))
    assert "it learns in sequential alone so far" in found["verdict"].found


def test_a_run_whose_checks_are_raised() -> None:
    off = TARGETS.model_copy(update={"state": "fail", "value": "+40", "advice": "two owners"})
    bad = replace(ASYNC, wrong=(("fail", "The target network …"),), checks=(off,), evaluated=NEAR)
    found = rows(replace(LEARNED, practices=(SEQUENTIAL, bad)))
    assert (found["run_sequential"].state, found["run_async"].state) == ("ok", "fail")
    assert found["run_async"].advice == "Causes first: 1. The target network …"
    assert found["target_updates"].found == "+40 (limit 0)"
    assert found["verdict"].found == "it does not learn like this: The target network …"
    warned = replace(ASYNC, wrong=(("warn", "…"),))
    assert rows(replace(LEARNED, practices=(warned,)))["run_async"].state == "warn"


def test_what_beats_random_play_is_not_said_to_learn_nothing() -> None:
    raised = tuple(replace(p, wrong=(("fail", "Resets …"),)) for p in (SEQUENTIAL, ASYNC))
    found = rows(replace(LEARNED, practices=raised))
    assert found["run_async"].state == "fail"
    assert found["verdict"].state == "warn"
    assert found["verdict"].found == "it learns all the same, but look at sequential, async"


def test_what_a_run_was_diagnosed_with_is_the_cause() -> None:
    """Observations that are always the same leave no batch to learn, and weights without input."""
    blind = replace(
        ASYNC, wrong=(("warn", "Slow."), ("fail", "Observations tell nothing.")), evaluated=NEAR
    )
    still = replace(NOTHING, unmoved=("body.0.weight",))
    found = rows(replace(rehearsed(tried=(still,)), practices=(blind,)))
    assert {found[name].state for name in ("one_batch", "gradients", "run_async")} == {"fail"}
    assert found["verdict"].found == "it does not learn like this: Observations tell nothing."


def test_a_run_that_does_not_come_up() -> None:
    found = rows(replace(LEARNED, practices=(Practice("async", error="no room\n  trace"),)))
    assert (found["run_async"].state, found["run_async"].found) == ("fail", "no room")
    assert found["run_async"].commands == ("  trace",)


def test_a_run_that_has_not_begun_to_learn() -> None:
    found = rows(replace(LEARNED, practices=(Practice("async", ran_s=9.0),)))
    assert found["run_async"].state == "n/a"
    assert found["verdict"].found.startswith("TOO EARLY")


def test_no_rehearsal() -> None:
    found = rows(Learned(error="it crashed\n  Traceback"))
    assert (found["one_batch"].state, found["one_batch"].found) == ("fail", "it crashed")
    assert found["verdict"].state == "fail"


def test_of_several_policies_the_worst_is_told() -> None:
    found = rows(
        replace(LEARNED, rehearsed={"p": REHEARSED, "q": replace(REHEARSED, tried=(NOTHING,))})
    )
    assert found["one_batch"].found.startswith("q: ")
    found = rows(
        replace(LEARNED, rehearsed={"p": REHEARSED, "q": replace(REHEARSED, rewarded_share=0.0)})
    )
    assert found["rewards"].found.startswith("q: ")


def test_scores_that_nobody_could_measure() -> None:
    assert Score.of(None, 1.0) is None
    assert Score.of(float("nan"), 1.0) is None
    assert not Score(10.0, 4.0).beats(Score(5.0, 2.0))
    assert Score(10.0, 2.0).beats(Score(5.0, 2.0))
