"""From curves to answers, and from answers to text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.experiments.finals import SEEDS, concluded, curve, finished, plan
from tuitrain.experiments.analysis import analyse
from tuitrain.experiments.plan import Cell, PlanError
from tuitrain.experiments.store import Result
from tuitrain.experiments.table import lines_of
from tuitrain.metrics.sinks import to_json


def test_arms_are_described_by_final_return_and_area() -> None:
    found, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4])
    of = {(s.arm, s.measure): s for s in found.summaries}
    assert of["new", "final"].iqm == 7
    assert of["new", "final"].mean == 12
    # a straight line from 0 has half its final height on average
    assert of["new", "area"].scores == (2, 4, 3, 15)
    assert found.spans == {"": (100, 300)}
    low, high = of["new", "final"].interval or (0, 0)
    assert 4 <= low < 7 < high <= 30


def test_the_final_return_is_the_last_not_the_best() -> None:
    results = finished("base", [1, 2, 3, 4])
    for seed in SEEDS:
        cell = Cell("base", "", seed)
        fallen = curve(0, 9, seed)
        results[cell] = Result(cell, "finished", "", "r", 300, 1.0, {"default": fallen})
    found = analyse(plan("base"), results, resamples=50)
    assert found.summaries[0].scores == (1, 2, 3, 4)


def test_areas_are_over_what_all_runs_cover() -> None:
    results = finished("base", [1, 1, 1, 1]) | finished("new", [2, 2, 2, 2])
    cell = Cell("new", "", 1)
    early = curve(0, 10, 10, steps=(50, 150, 250))
    results[cell] = Result(cell, "finished", "", "r", 250, 1.0, {"default": early})
    found = analyse(plan("base", "new"), results, resamples=100)
    assert found.spans == {"": (100, 250)}
    area = next(s for s in found.summaries if (s.arm, s.measure) == ("new", "area"))
    # from 5 at 100 to 10 at 150, then flat to 250
    assert area.scores[0] == pytest.approx((50 * 7.5 + 100 * 10) / 150)


@pytest.mark.parametrize(
    ("ours", "theirs", "margin", "answer"),
    [
        ([10.0, 10.2, 9.8, 10.1], [10.1, 9.9, 10.0, 10.2], 1.0, "equivalent"),
        ([10.0, 10.2, 9.8, 10.1], [10.1, 9.9, 10.0, 10.2], None, "inconclusive"),
        ([20.0, 20.2, 19.8, 20.1], [10.1, 9.9, 10.0, 10.2], 1.0, "different"),
        ([0.0, 20.0, 10.0, 5.0], [1.0, 22.0, 9.0, 4.0], 1.0, "inconclusive"),
    ],
)
def test_answers(ours: list[float], theirs: list[float], margin: float | None, answer: str) -> None:
    found, given = concluded(ours, theirs, margin)
    assert given == answer
    assert answer in "\n".join(lines_of(found))


def test_the_same_number_for_every_seed_is_no_coincidence() -> None:
    found, answer = concluded([1, 50, 9, 30], [1, 50, 9, 30])
    assert answer == "equivalent"
    assert found.comparisons[0].interval == (0, 0)
    assert "exactly 0" in "\n".join(lines_of(found))
    # the same numbers of other seeds are
    _, answer = concluded([50, 1, 9, 30], [1, 50, 9, 30])
    assert answer == "inconclusive"


def test_a_ceiling_is_pointed_out() -> None:
    found, _ = concluded([500] * 4, [500] * 4, margin=5)
    assert "a ceiling?" in "\n".join(lines_of(found))


def test_an_inconclusive_answer_says_how_many_seeds_would_do() -> None:
    found, _ = concluded([0, 20, 10, 5], [1, 22, 9, 4], margin=10)
    needed = found.comparisons[0].seeds_needed
    assert needed is not None
    assert 8 < needed < 40
    assert f"about {needed} seeds" in "\n".join(lines_of(found))
    assert concluded([0, 20, 10, 5], [1, 22, 9, 4])[0].comparisons[0].seeds_needed is None


def test_a_margin_set_after_the_runs_is_named_so() -> None:
    results = finished("base", [1, 2, 3, 4]) | finished("new", [1, 2, 4, 3])
    late = analyse(plan("base", "new", margin=1.0), results, late_margin=50, resamples=50)
    assert "SET AFTER THE RUNS" in "\n".join(lines_of(late))
    assert late.to_json()["margin_is_late"] is True
    same = analyse(plan("base", "new", margin=1.0), results, late_margin=1.0, resamples=50)
    assert "AFTER" not in "\n".join(lines_of(same))


def test_only_finished_runs_count_and_the_others_are_named() -> None:
    results = finished("base", [1, 2, 3, 4]) | finished("new", [9, 9, 9, 9])
    failed = Cell("new", "", 2)
    ended = Result(failed, "failed", "boom", "r9", 10, 1.0, {"default": curve(0, 0, -999)})
    results[failed] = ended
    del results[Cell("base", "", 4)]
    found = analyse(plan("base", "new"), results, resamples=50)
    assert {(s.arm, s.n) for s in found.summaries} == {("base", 3), ("new", 3)}
    text = "\n".join(lines_of(found))
    assert "2 runs missing" in text
    assert "new seed 2: failed: boom (runs/r9)" in text
    assert "base seed 4: has not been run" in text


def test_runs_of_different_source_are_not_taken_together_silently() -> None:
    results = finished("base", [1, 2, 3, 4]) | finished("new", [9, 9, 9, 9])
    same = {"tuitrain": "t", "sources": "s"}
    coded = {cell: replace(result, code=same) for cell, result in results.items()}
    assert analyse(plan("base", "new"), coded, resamples=50).mixed == ()
    # another network for all of an arm's runs is what makes it an arm
    for seed in SEEDS:
        coded[Cell("new", "", seed)] = replace(
            coded[Cell("new", "", seed)], code=same | {"sources": "other"}
        )
    assert analyse(plan("base", "new"), coded, resamples=50).mixed == ()
    changed = Cell("base", "", 3)
    coded[changed] = replace(coded[changed], code={"tuitrain": "u", "sources": "z"})
    text = "\n".join(lines_of(analyse(plan("base", "new"), coded, resamples=50)))
    assert "2 different sources of tuitrain" in text
    assert "base: files of its environment or network changed" in text
    assert "new: files" not in text


def test_one_run_an_arm_is_described_but_not_compared() -> None:
    results = {c: r for c, r in finished("base", [1, 2, 3, 4]).items() if c.seed == 1}
    found = analyse(plan("base", "new"), results)
    assert (found.summaries[0].interval, found.comparisons) == (None, ())
    assert lines_of(found)


def test_runs_without_common_evaluations_have_no_area() -> None:
    results = finished("base", [1, 2, 3, 4])
    once = curve(5, steps=(300,))
    cell = Cell("base", "", 2)
    results[cell] = Result(cell, "finished", "", "r", 300, 1.0, {"default": once})
    found = analyse(plan("base"), results, resamples=50)
    assert {s.measure for s in found.summaries} == {"final"}
    assert "eval.every_steps" in "\n".join(lines_of(found))


def test_tasks_are_compared_one_by_one_and_together() -> None:
    tasks = ("easy", "hard")
    results = finished("base", [1, 2, 3, 4], "easy") | finished("new", [5, 6, 7, 8], "easy")
    results |= finished("base", [100, 300, 200, 400], "hard")
    results |= finished("new", [50, 60, 70, 80], "hard")
    found = analyse(plan("base", "new", tasks=tasks), results, resamples=50)
    final = [c for c in found.comparisons if c.measure == "final"]
    assert [(c.task, c.improvement) for c in final] == [("easy", 1.0), ("hard", 0.0)]
    base, new = found.overall[:2]
    assert (base.arm, base.improvement, base.iqm) == ("base", None, None)
    assert (new.arm, new.improvement, new.iqm) == ("new", 0.5, None)
    text = "\n".join(lines_of(found))
    assert "easy: final return" in text
    assert "over all tasks" in text

    scales = {"easy": (0.0, 10.0), "hard": (0.0, 1000.0)}
    scaled = analyse(plan("base", "new", tasks=tasks), results, scales=scales, resamples=500)
    base, new = scaled.overall[:2]
    # 0.1 to 0.4 on both tasks: the middle four of eight are 0.2, 0.2, 0.3, 0.3
    assert base.iqm == pytest.approx(0.25)
    # 0.05 to 0.08 and 0.5 to 0.8: the middle four are 0.07, 0.08, 0.5, 0.6
    assert new.iqm == pytest.approx((0.07 + 0.08 + 0.5 + 0.6) / 4)
    # each task keeps its four runs: never more than half of them are of one
    assert new.interval is not None
    assert new.interval[0] > (0.05 * 2 + 0.5 * 2) / 4 - 1e-9
    assert "scaled" in "\n".join(lines_of(scaled))
    for wrong in ({"easy": (0.0, 1.0)}, {**scales, "other": (0.0, 1.0)}):
        with pytest.raises(PlanError, match="--scale"):
            analyse(plan("base", "new", tasks=tasks), results, scales=wrong)


def test_policies_of_one_run_are_described_apart() -> None:
    results = {}
    for seed in SEEDS:
        cell = Cell("base", "", seed)
        curves = {"scout": curve(0, 1, 2), "digger": curve(0, 5, 9)}
        results[cell] = Result(cell, "finished", "", "r", 300, 1.0, curves)
    found = analyse(plan("base"), results, resamples=50)
    assert found.tasks == ("all agents", "scout", "digger")
    assert found.overall == ()


def dealt(arm: str, finals: dict[str, float], agents: dict[str, int], task: str = "") -> dict:
    """Runs whose policies end at `finals`, a little more with each seed."""
    return {
        (cell := Cell(arm, task, seed)): Result(
            *(cell, "finished", "", f"r{seed}", 300, 1.0),
            {policy: curve(0, end / 2, end + seed / 10) for policy, end in finals.items()},
            agents=agents,
        )
        for seed in SEEDS
    }


def test_arms_without_a_common_policy_are_compared_by_all_their_agents() -> None:
    results = dealt("each", {"a": 1, "b": 2, "c": 6}, {"a": 1, "b": 1, "c": 1})
    results |= dealt("shared", {"shared": 5}, {"shared": 3})
    found = analyse(plan("each", "shared"), results, resamples=50)
    assert found.tasks == ("all agents",)
    (final,) = (c for c in found.comparisons if c.measure == "final")
    assert final.difference == pytest.approx(2)
    text = "\n".join(lines_of(found))
    assert "all agents: final return" in text
    assert "of one arm alone, and compared only among all agents: policies a, b, c, shared" in text


def test_policies_that_arms_share_have_tables_of_their_own() -> None:
    results = dealt("each", {"scout_0": 1, "scout_1": 3, "tank": 8}, {})
    results |= dealt("teams", {"scouts": 4, "tank": 10}, {"scouts": 2, "tank": 1})
    found = analyse(plan("each", "teams"), results, resamples=50)
    assert found.tasks == ("all agents", "tank")
    differences = {c.task: c.difference for c in found.comparisons if c.measure == "final"}
    assert differences == {"all agents": pytest.approx(2), "tank": pytest.approx(2)}
    assert found.apart == ("scout_0", "scout_1", "scouts")
    # one arm has ended so far: nobody knows yet what is shared
    alone = {cell: result for cell, result in results.items() if cell.arm == "each"}
    early = analyse(plan("each", "teams"), alone, resamples=50)
    assert early.tasks == ("all agents", "scout_0", "scout_1", "tank")


def test_one_policy_for_one_agent_or_many_needs_no_second_table() -> None:
    results = dealt("base", {"shared": 1}, {"shared": 5}) | dealt("new", {"shared": 2}, {})
    assert analyse(plan("base", "new"), results, resamples=50).tasks == ("",)


def test_over_tasks_all_agents_are_taken_together() -> None:
    results = {}
    for task in ("easy", "hard"):
        results |= dealt("each", {"a": 1, "b": 3}, {}, task) | dealt("one", {"shared": 9}, {}, task)
    found = analyse(plan("each", "one", tasks=("easy", "hard")), results, resamples=50)
    assert found.tasks == ("easy all agents", "hard all agents")
    assert [(o.arm, o.improvement) for o in found.overall[:2]] == [("each", None), ("one", 1.0)]


def test_few_runs_have_a_footnote() -> None:
    few, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4])
    assert "only 4 runs an arm" in "\n".join(lines_of(few))
    seeds = (*SEEDS, 5)
    results = {
        (cell := Cell(arm, "", seed)): replace(
            next(iter(finished(arm, [seed] * 4).values())), cell=cell
        )
        for arm in ("base", "new")
        for seed in seeds
    }
    enough = analyse(replace(plan("base", "new"), seeds=seeds), results, resamples=50)
    assert enough.summaries[0].n == 5
    assert "only" not in "\n".join(lines_of(enough))


def test_the_same_results_give_the_same_numbers() -> None:
    one, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4], margin=3)
    two, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4], margin=3)
    assert to_json(one.to_json()) == to_json(two.to_json())
    assert json.loads(to_json(one.to_json()))["comparisons"][0]["baseline"] == "base"
