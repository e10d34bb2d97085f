"""Every panel drawn at every size, for every kind of run: pure, so all of them can be tried."""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path

import pytest

from tests.tui.fixtures import (
    START_S,
    actor,
    events,
    failed,
    paused,
    policy,
    processes,
    records,
    several,
    snapshot,
    write_run,
)
from tuitrain.protocol import EventLine, LearningView, ProcessView
from tuitrain.tui.marks import Mark
from tuitrain.tui.store import Store
from tuitrain.tui.text import DARK, wrap
from tuitrain.tui.view import ChartChoices, Compared, Draw, Notice, View
from tuitrain.tui.widgets.cause import draw_cause
from tuitrain.tui.widgets.charts import LEARNING, RETURN
from tuitrain.tui.widgets.checks import draw_checks
from tuitrain.tui.widgets.curves import drawer
from tuitrain.tui.widgets.header import draw_header
from tuitrain.tui.widgets.keys import draw_keys
from tuitrain.tui.widgets.logs import draw_log
from tuitrain.tui.widgets.messages import draw_events, draw_notice
from tuitrain.tui.widgets.pipeline import draw_pipeline, pipeline_title
from tuitrain.tui.widgets.policies import draw_policy_table
from tuitrain.tui.widgets.processes import draw_glyphs, draw_process_details, draw_processes
from tuitrain.tui.widgets.replay import draw_policies
from tuitrain.tui.widgets.shards import draw_shards
from tuitrain.tui.widgets.told import draw_told

TOLD = {"default": {"coverage": 0.8312, "[b]" * 30: math.nan, "wide 名前": 1e300} | {
    f"name {i}": float(i) for i in range(9)
}}  # fmt: skip

PANELS: dict[str, Draw] = {
    "header": draw_header,
    "pipeline": draw_pipeline,
    "processes": draw_processes,
    "process details": draw_process_details,
    "checks": draw_checks,
    "policies": draw_policies,
    "events": draw_events,
    "notice": draw_notice,
    "log": draw_log,
    "keys": draw_keys,
    "told": draw_told,
    "shards": draw_shards,
    "policy table": draw_policy_table,
    "cause": draw_cause,
    **{chart.title: drawer(chart) for chart in LEARNING},
}


@functools.cache
def views() -> dict[str, View]:
    store = Store()
    for record in records(60):
        store.add_record(record)
    curves = store.curves()
    unruly = Store()
    for i, bad in enumerate((math.nan, math.inf, -1.0)):
        for j, record in enumerate(records(20 * i + 1, f"agent_{i}")):
            odd = {"loss": bad, "return_mean": bad, "lr": 0.0, "q_mean": 1e308 * (-1) ** j}
            unruly.add_record(record | odd)
    awkward, times = unruly.curves(), unruly.times()
    said = tuple(events())
    return {
        "nothing": View(),
        "running": View(
            snapshot=snapshot(), link="live", age_s=0.3, curves=curves, events=said, told=TOLD
        ),
        "paused": View(snapshot=paused(), link="stale", age_s=99.0, supervisor_gone=True),
        "failed": View(
            snapshot=failed(), link="recorded", curves=curves, charts=ChartChoices(log_y=True)
        ),
        "policies": View(
            snapshot=snapshot(policies=[policy("a"), policy("b" * 50)], processes=[], checks=[]),
            policy_index=7,
            charts=ChartChoices(x_axis="wall_s"),
        ),
        "compared": View(
            snapshot=several(3),
            curves=awkward,
            times=times,
            marks=(Mark("resync", START_S + 60), Mark("resume", math.nan), Mark("rewind", 1e18)),
            compared=Compared("名前" * 30, {k: v for k, v in awkward.items() if "_1" in k[0]}),
            charts=ChartChoices(all_policies=True, zoom=1, at=-1e9),
        ),
        "several": View(snapshot=several(), policy_index=11, compact=True, curves=curves),
        "asked": View(snapshot=snapshot(), notice=Notice("resync", "pending", 3.0), frozen_s=None),
        "frozen": View(snapshot=snapshot(), frozen_s=12.0, ascii_only=True, curves=curves),
    }


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("name", views())
def test_no_line_is_ever_too_wide(panel: str, name: str, tmp_path: Path) -> None:
    write_run(tmp_path)
    view = views()[name]
    if panel == "log":
        view = View(run_dir=tmp_path, log="learner")
    # where there is room for all, less changes from one width to the next
    wide = (*range(200, 60, -4), *range(60, -1, -1))
    if panel == "log":  # which reads its file each time
        wide = wide[::10]
    for width in wide:
        for height in (0, 1, 2, 3, 5, 12, 50) if width % 40 == 0 or width < 5 else (1, 4):
            for line in PANELS[panel](view, width, height):
                assert line.cell_len <= width
                assert "\n" not in line.plain


def test_glyphs_name_the_dead() -> None:
    workers = processes(3)
    workers[2] = actor(1, state="failed")
    assert draw_glyphs(workers, 60, DARK).plain == "L● 0● 1✖ 2● E◌ a1 failed"
    narrow = draw_glyphs(workers, 12, DARK).plain
    assert "1✖" in narrow


def test_glyphs_say_who_has_died_before() -> None:
    learner, first, *others = processes(2)
    again = first.model_copy(update={"restarts": 2, "died_of": "killed by SIGSEGV"})
    assert "0●↻2 1●" in draw_glyphs([learner, again, *others], 60, DARK).plain
    view = View(snapshot=snapshot(processes=[learner, again, *others]))
    details = "\n".join(line.plain for line in draw_process_details(view, 100, 20))
    assert details.count("↻") == 1
    assert "↻ 2, last: killed by SIGSEGV" in details


def test_glyphs_tell_several_learners_apart() -> None:
    first, *others = processes(1)
    learners = [first.model_copy(update={"name": f"learner{i}"}) for i in range(2)]
    assert draw_glyphs([*learners, *others], 60, DARK).plain == "L0● L1● 0● E◌"


def test_a_policy_is_shown_with_the_learner_that_has_it() -> None:
    first, *others = processes(1)
    shown = View(snapshot=snapshot()).policy_name()
    learners = [
        first.model_copy(
            update={"counters": {f"updates/{policy}": 1.0}, "phase_share": {"wait": share}}
        )
        for policy, share in (("another", 0.11), (shown, 0.77))
    ]
    view = View(snapshot=snapshot(processes=[*learners, *others]))
    assert "wait 77%" in draw_pipeline(view, 160, 2)[0].plain


def test_what_is_not_finite_of_a_process_is_marked() -> None:
    odd = actor(0, epsilon=math.nan, cpu_percent=math.inf, lag_s=math.nan, beat_age_s=-math.inf)
    row = draw_processes(View(snapshot=snapshot(processes=[odd])), 120, 5)[1].plain
    assert [word for word in row.split() if "✖" in word] == ["✖-inf", "✖nan", "✖nan", "✖inf"]


def test_a_beat_that_is_late_is_a_warning() -> None:
    late = ProcessView(name="a0", role="actor", state="running", beat_age_s=12.0)
    view = View(snapshot=snapshot(processes=[late]))
    assert "▲ running" in draw_processes(view, 100, 5)[1].plain
    fresh = late.model_copy(update={"beat_age_s": 0.5})
    view = View(snapshot=snapshot(processes=[fresh]))
    assert "● running" in draw_processes(view, 100, 5)[1].plain


def test_the_trainer_of_a_sequential_run_is_actor_and_learner() -> None:
    trainer = ProcessView(
        name="trainer", role="trainer", state="running", phase_share={"wait": 0.25}, epsilon=0.3
    )
    view = View(snapshot=snapshot(schedule="sequential", processes=[trainer]))
    above, below = (line.plain for line in draw_pipeline(view, 120, 2))
    assert "ACTORS 1/1" in above
    assert "wait 25%" in above
    assert "ε 0.30" in below


def test_dead_actors_are_counted() -> None:
    workers = [actor(0), actor(1, state="failed"), actor(2, state="paused")]
    view = View(snapshot=snapshot(processes=workers))
    assert "ACTORS 1/3" in draw_pipeline(view, 120, 2)[0].plain


def test_a_phase_that_was_not_measured_is_not_shown_as_zero() -> None:
    view = View(snapshot=snapshot(processes=[actor(0, phase_share={})]))
    assert "phase time n/a" in draw_process_details(view, 100, 5)[1].plain


def test_pending_says_for_how_long() -> None:
    shown = draw_notice(View(notice=Notice("resync", "pending", 3.2)), 80, 1)[0].plain
    assert shown == "◌ resync … pending 3.2s"


def test_the_run_is_called_what_commands_call_it() -> None:
    now = snapshot(name="cartpole")
    for folder, name in (("runs/cartpole-0003", "cartpole-0003"), ("elsewhere", "cartpole")):
        line = draw_header(View(run_dir=Path(folder), snapshot=now), 120, 3)[0].plain
        assert f" {name} " in line


def plain(draw: Draw, view: View, width: int, height: int) -> list[str]:
    return [line.plain for line in draw(view, width, height)]


def test_a_verdict_among_several_is_always_named() -> None:
    """That of the chosen policy, and the worst one where it is another."""
    for width in (38, 80, 120):
        for i, verdict in enumerate(("↑ IMPROVING", "↓ FALLING", "→ FLAT")):
            shown = plain(draw_header, View(snapshot=several(3), policy_index=i), width, 3)[2]
            assert f"agent_{i} ({i + 1}/3)  {verdict}" in shown
            worse = "worst: agent_1 ↓ FALLING" in shown
            assert worse == (width > 38 and i != 1)
    one = plain(draw_header, View(snapshot=snapshot()), 120, 3)[2]
    assert one.startswith("LEARNING  ↑ IMPROVING")


def collapsed() -> LearningView:
    return LearningView(
        verdict="BELOW BEST", mean=81.9, ci95=20.5, best=500.0, n_evals=183, skipped=57,
        slope_per_1m_steps=-10.0, slope_ci95=400.0, reason="mean of the last 4 82.1",
    )  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_collapse_is_no_good_news_and_says_both_numbers(width: int) -> None:
    view = View(snapshot=snapshot(learning=collapsed()))
    line = draw_header(view, width, 3)[2]
    assert "▼ BELOW BEST  eval 81.9 ± 20.5  best 500.0" in line.plain
    assert DARK.ok not in {str(span.style) for span in line.spans}
    assert "per 1M steps" not in line.plain, "a slope that is no trend is no news"
    assert ("183 evaluations, 57 skipped" in line.plain) == (width >= 120)
    assert ("mean of the last 4 82.1" in line.plain) == (width >= 120)


def test_flat_at_its_best_is_good_news() -> None:
    well = collapsed().model_copy(update={"verdict": "FLAT AT BEST", "mean": 500.0})
    line = draw_header(View(snapshot=snapshot(learning=well)), 120, 3)[2]
    assert DARK.ok in {str(span.style) for span in line.spans}
    assert "→ FLAT AT BEST  eval 500.0" in line.plain
    low = well.model_copy(update={"mean": 43.1, "newest_alone": "FLAT"})
    line = draw_header(View(snapshot=snapshot(learning=low)), 120, 3)[2]
    assert "→ FLAT AT BEST  but for the newest  eval 43.1 ± 20.5  best 500.0" in line.plain


def test_a_paused_run_has_no_rates_and_no_end() -> None:
    view = View(snapshot=snapshot(state="paused"))  # as it was measured last
    shown = "\n".join(plain(draw_header, view, 120, 3) + plain(draw_pipeline, view, 120, 2))
    for words in ("ETA", "st/s", "u/s"):
        assert words not in shown


def test_the_sum_over_policies_is_told_from_one_of_them() -> None:
    view = View(snapshot=several(5), policy_index=2)
    assert pipeline_title(view, 114) == "Pipeline · agent_2 (3/5)"
    wide = plain(draw_pipeline, view, 200, 2)
    assert "LEARNER agent_2 97k u 77 u/s" in wide[0]
    assert "all 5: 385 u/s" in wide[1]
    assert plain(draw_pipeline, view, 80, 3)[2].startswith("LEARNER  agent_2  97k u")
    assert "5 agents" in plain(draw_header, view, 120, 3)[0]
    learner = processes(0)[0]
    learner.counters = {f"updates/agent_{i}": 1.0 for i in range(5)}
    table = plain(draw_processes, View(snapshot=snapshot(processes=[learner])), 80, 5)
    assert "all 5: 77 u/s" in table[1]


def test_five_policies_have_patterns_of_their_own() -> None:
    view = View(snapshot=several(5), charts=ChartChoices(all_policies=True))
    legend = " ".join(plain(drawer(RETURN), view, 120, 20)[:3])
    marks = [re.search(rf"(\S+) agent_{i}\b", legend) for i in range(5)]
    assert len({mark[1] for mark in marks if mark}) == 5


@pytest.mark.parametrize("width", [20, 38, 78, 118])
def test_the_policy_table_keeps_policy_evaluation_and_verdict_longest(width: int) -> None:
    lines = plain(draw_policy_table, View(snapshot=several(), policy_index=10), width, 5)
    assert len(lines) == 13
    assert lines[11].startswith("▸agent_10")
    assert [line[0] for line in lines[1:]].count("▸") == 1
    assert ("90.0 ± 4.20" in lines[11]) == (width > 20)
    assert ("↓ FALLING" in lines[2]) == (width > 20)
    assert ("97k" in lines[1]) == (width > 60)


def test_the_chosen_policy_is_never_left_out_of_the_buffer_tab() -> None:
    for i in (0, 5, 11):
        head = plain(draw_policies, View(snapshot=several(), policy_index=i), 60, 20)[0]
        assert f"agent_{i}" in head.split()
        assert len(head.split()) < 12


def test_a_chart_without_a_title_names_its_policy() -> None:
    view = View(snapshot=several(3), policy_index=2, compact=True)
    assert plain(drawer(RETURN), view, 80, 8)[0].startswith("agent_2 (3/3)  ── train")
    assert plain(drawer(RETURN), view, 40, 8)[0].startswith("agent_2  ── train")
    titled = View(snapshot=several(3), policy_index=2)
    assert plain(drawer(RETURN), titled, 80, 8)[0].startswith("── train")
    alone = View(snapshot=snapshot(), compact=True)
    assert plain(drawer(RETURN), alone, 80, 8)[0].startswith("Return  ── train")
    assert plain(drawer(RETURN), alone, 40, 8)[0].startswith("── train")


def test_an_ended_run_has_no_rates() -> None:
    running = "\n".join(plain(draw_pipeline, View(snapshot=snapshot()), 120, 2))
    assert "0.4s ago" in running
    running = "\n".join(plain(draw_pipeline, View(snapshot=snapshot()), 80, 3))
    assert "9.8k st/s" in running
    assert "77 u/s" in running
    ended = "\n".join(plain(draw_pipeline, View(snapshot=snapshot(state="finished")), 80, 3))
    assert "st/s" not in ended
    assert "u/s" not in ended
    assert "wait n/a" in ended
    assert "0.4s ago" not in "\n".join(
        plain(draw_pipeline, View(snapshot=snapshot(state="finished")), 120, 2)
    )
    assert "wait n/a" in ended


def test_a_cause_is_shown_whole() -> None:
    words = "EnvError: environment x: the licence server did not answer, start it again"
    worker = processes()[0].model_copy(update={"state": "failed", "error": f"Traceback\n{words}"})
    now = snapshot(state="failed", processes=[worker], checks=[])
    shown = plain(draw_cause, View(snapshot=now), 30, 9)
    assert len(shown) > 3
    assert " ".join(line.strip() for line in shown).startswith(f"✖ learner failed: {words}")
    said = View(snapshot=now.model_copy(update={"processes": []}), events=tuple(events()))
    assert plain(draw_cause, said, 80, 9) == ["! explains; 5 Logs has the rest"]
    assert plain(draw_cause, View(snapshot=snapshot()), 80, 9) == []
    assert "! why" in draw_keys(View(snapshot=now, link="live"), 80, 1)[0].plain
    assert "! why" not in draw_keys(View(snapshot=snapshot(), link="live"), 80, 1)[0].plain


def test_wrapped_lines_lose_no_word() -> None:
    text = "  File x.py: " + "wide 名前 " * 9 + "w" * 70
    for width in range(4, 90):
        lines = wrap(text, width)
        assert all(line.cell_len <= width for line in lines)
        assert "".join(line.plain for line in lines).replace(" ", "") == text.replace(" ", "")


def test_a_finished_run_says_what_to_try_next() -> None:
    now = snapshot(state="finished", name="breakout", total_steps=500, steps=504, checks=[])
    view = View(run_dir=Path("runs/breakout-0412"), snapshot=now, link="recorded")
    (line,) = plain(draw_notice, view, 120, 1)
    assert line == (
        "next: tuitrain eval breakout-0412  or longer: "
        "tuitrain resume breakout-0412 --set run.total_steps=1000"
    )
    assert plain(draw_notice, view, 80, 1)[0].startswith("next: tuitrain eval breakout-0412")
    stopped = View(snapshot=snapshot(state="stopped"), link="recorded")
    (line,) = plain(draw_notice, stopped, 120, 1)
    assert line.startswith("to go on: tuitrain resume breakout")
    assert "44s before the end" in line, "the newest checkpoint"
    raised = View(run_dir=view.run_dir, link="recorded", snapshot=snapshot(state="finished"))
    assert plain(draw_notice, raised, 80, 1)[0].startswith("next: tuitrain diagnose breakout")


def test_a_resumed_run_without_a_checkpoint_says_which_it_began_from() -> None:
    now = snapshot(last_checkpoint=None)
    assert plain(draw_notice, View(snapshot=now), 80, 1)[0].startswith(
        "no checkpoint yet in this session  "
    )
    data = {"mark": "resume", "start": "/r/checkpoints/ckpt-0000000090.pt"}
    event = EventLine(seq=1, time_s=1.0, level="info", source="supervisor", text="", data=data)
    (line,) = plain(draw_notice, View(snapshot=now, events=(event,)), 120, 1)
    assert "in this session; it began from ckpt-0000000090.pt" in line


def test_of_a_file_in_the_run_folder_the_folder_is_not_repeated() -> None:
    folder = Path("/home/somebody/with/a/long/path/runs/breakout-0412")
    text = f"checkpoint {folder}/checkpoints/ckpt-0000000090.pt"
    event = EventLine(seq=1, time_s=1.0, level="info", source="supervisor", text=text)
    view = View(run_dir=folder, snapshot=snapshot(), events=(event,), notice=Notice(text, "ok"))
    for draw in (draw_events, draw_notice):
        assert "checkpoint checkpoints/ckpt-0000000090.pt" in plain(draw, view, 80, 1)[0]


def test_there_is_no_rate_until_all_have_left_a_pause() -> None:
    now = snapshot(state="paused")
    some = now.model_copy(update={"state": "running"})
    some.processes[0].state = "paused"
    for shown in (now, some):
        view = View(snapshot=shown)
        table = plain(draw_processes, view, 160, 20)
        assert "st/s" not in "\n".join(table)
        assert "u/s" not in "\n".join(table)
        assert pipeline_title(view, 114) == "Pipeline"
    assert "st/s" in "\n".join(plain(draw_processes, View(snapshot=snapshot()), 160, 20))


def test_at_80_columns_the_key_that_explains_is_named() -> None:
    line = plain(draw_header, View(snapshot=snapshot()), 80, 3)[1]
    assert "worst: policy lag a5" in line
    assert line.endswith("! why")
