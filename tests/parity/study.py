"""The long proof that `async` learns what `sequential` learns: `make parity`.

Each study compares the two schedules on one task by ``tuitrain compare``'s own analysis, with a
margin and a number of seeds that were fixed before it ran (docs/parity.md says by which pilot).
Then it runs trainers with the learning taken out, in `async`, through the same analysis: a proof
that calls them equivalent too would prove nothing. It can be stopped at any time and goes on where
it was.

Knows no statistics and starts no worker itself: plan, runs and answers are `tuitrain.experiments`'.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tuitrain.config.resolve import available_cores
from tuitrain.config.runs import RunFolder
from tuitrain.experiments.analysis import POWER, analyse
from tuitrain.experiments.curves import mean_over_agents
from tuitrain.experiments.findings import Analysis
from tuitrain.experiments.plan import Cell, Plan, PlanError, grown, make_plan
from tuitrain.experiments.running import Process, Told, run_cells, start_run
from tuitrain.experiments.statistics import seeds_for_power
from tuitrain.experiments.store import Result, Store
from tuitrain.experiments.table import lines_of
from tuitrain.metrics.sinks import read_jsonl

ROOT = Path(__file__).parents[2]
SCHEDULES = ("sequential", "async")
PILOT_SEEDS = tuple(range(1001, 1011))
"""Others than the proof's, which must not be looked at before margin and number are fixed."""

CONTROLS = ("learner_off", "publishing_frozen", "rewards_shuffled")
"""Learner processes of ``tests.learning.doubles``, one part of the learning taken out of each."""
CONTROL_SEEDS = (1, 2, 3)
LAGS = ("lag_updates_p50", "lag_updates_p95")


@dataclass(frozen=True)
class Study:
    """One task, and what was decided about it before its proof ran.

    Attributes:
        config: a file of configs/.
        overrides: as `--set`.
        seeds: how many, from 1 on, in each schedule.
        margin: largest difference of mean return that does not matter.
        together: look at the mean return over the policies. Where agents compete for the same gems,
            one's good fortune is another's bad, and each alone varies too much to say anything.
    """

    config: str
    overrides: tuple[str, ...]
    seeds: int
    margin: float
    together: bool = False

    def proof(self) -> Plan:
        """`sequential` against `async`."""
        return self._plan(SCHEDULES, range(1, self.seeds + 1))

    def pilot(self) -> Plan:
        """`sequential` alone: how much returns differ from seed to seed."""
        return self._plan(SCHEDULES[:1], PILOT_SEEDS)

    def controls(self) -> Plan:
        """`sequential` against every control in `async`."""
        proof = self._plan(SCHEDULES, CONTROL_SEEDS)
        honest, free = (proof.configs[schedule, ""] for schedule in SCHEDULES)
        configs = {("sequential", ""): honest} | {(name, ""): free for name in CONTROLS}
        return dataclasses.replace(proof, arms=("sequential", *CONTROLS), configs=configs)

    def _plan(self, schedules: Sequence[str], seeds: Sequence[int]) -> Plan:
        listed = ",".join(map(str, seeds)) + ","
        path = ROOT / "configs" / self.config
        return make_plan(path, self.overrides, schedules, seeds=listed, margin=self.margin)


STUDIES = {
    "cartpole": Study(
        "cartpole.toml",
        ("actors.count=1", "eval.episodes=50"),
        seeds=24,
        margin=25.0,
    ),
    "treasurehunt": Study(
        "treasurehunt.toml",
        ("actors.count=1", "eval.every_steps=5000", "eval.episodes=64"),
        seeds=12,
        margin=2.0,
    ),
    "treasurehunt-iqn": Study(
        "treasurehunt.toml",
        (
            "actors.count=1",
            "policies.map=each",
            "algorithm.name=iqn",
            "algorithm.quantiles=8",
            "algorithm.target_quantiles=8",
            "algorithm.acting_quantiles=8",
            "algorithm.cosines=32",
            "algorithm.noisy=true",
            "learner.network_kwargs={hidden=[64,64],input_scale=1.0}",
            "learner.dueling=true",
            "learner.batch_size=64",
            "run.total_steps=40000",
            "exploration.epsilon_decay_steps=10000",
            "replay.learning_starts=2000",
            "eval.every_steps=4000",
            "eval.episodes=32",
        ),
        seeds=6,
        margin=6.0,
        together=True,
    ),
    "minatar": Study(
        "minatar-breakout.toml",
        (
            "actors.count=1",
            "run.total_steps=60000",
            "exploration.epsilon_decay_steps=20000",
            "exploration.epsilon_end=0.02",
            "learner.n_step=3",
            "learner.double=true",
            "learner.lr=1e-3",
            "learner.lr_schedule=linear",
            "eval.every_steps=5000",
            "eval.episodes=100",
            "eval.max_episode_steps=1000",
        ),
        seeds=18,
        margin=0.6,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        The exit code: 0 if every schedule is equivalent and every control different, 1 if not,
        2 if a folder cannot be used, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.parity.study", description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--out", type=Path, default=ROOT / "comparisons" / "parity")
    parser.add_argument("--pilot", action="store_true", help="run the pilots instead")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.studies) - set(STUDIES))
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}, there are {', '.join(STUDIES)}")
    proven = True
    try:
        for name in options.studies or STUDIES:
            print(f"=== {name}", flush=True)
            if options.pilot:
                pilot(STUDIES[name], options.out / f"{name}-pilot")
            else:
                proven &= prove(STUDIES[name], options.out / name)
    except PlanError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0 if proven else 1


def prove(study: Study, out: Path) -> bool:
    """Run a study's proof and its controls; whether both came out as they must."""
    with running(study.proof(), out, study.together) as (store, analysis):
        known = store.results()
        for line in (*lines_of(analysis), *lag_lines(store, known.values())):
            print(line)
    same = [c.answer == "equivalent" for c in analysis.comparisons]
    beside = out.with_name(f"{out.name}-controls")
    with running(study.controls(), beside, study.together, known) as (_, analysis):
        for line in lines_of(analysis):
            print(line)
    caught = [c.answer == "different" for c in analysis.comparisons]
    print(f"equivalent in {sum(same)} of {len(same)} answers, controls different in", end=" ")
    print(f"{sum(caught)} of {len(caught)}\n", flush=True)
    return len(same) == 2 and len(caught) == 2 * len(CONTROLS) and all(same + caught)


def pilot(study: Study, out: Path) -> None:
    """Run a study's pilot and say how many seeds its margin would need."""
    with running(study.pilot(), out, study.together) as (_, analysis):
        for summary in analysis.summaries:
            sd = summary.sd or 0.0
            needed = seeds_for_power(sd, study.margin, POWER)
            print(
                f"{summary.measure}: mean {summary.mean:.4g}, SD {sd:.4g} of {summary.n} runs; "
                f"a margin of {study.margin:g} needs {needed} seeds for a power of {POWER:g}"
            )


@contextmanager
def running(
    plan: Plan, out: Path, together: bool, known: Mapping[Cell, Result] | None = None
) -> Iterator[tuple[Store, Analysis]]:
    """Run what is missing of a plan, and analyse it.

    Args:
        together: see ``Study``.
        known: results of another comparison; those of this plan's cells are taken as they are.

    Raises:
        PlanError: the folder holds another comparison.
    """
    store = Store(out)
    with store.only_user():
        before = store.read_plan()
        try:
            plan = plan if before is None else grown(before, plan)
        except PlanError as error:
            raise PlanError(f"{out} holds another study:\n{error}\nGive another --out.") from error
        store.write_plan(plan, sys.argv)
        have = store.results()
        for cell in plan.cells():
            if cell not in have and known is not None and cell in known:
                store.add(known[cell])
        told = Told(ended=lambda result: print(f"{result.cell}: {result.state}", flush=True))
        run_cells(plan, store, cores=available_cores(), told=told, start=start)
        results = store.results()
        if together:
            results = {cell: pooled(result) for cell, result in results.items()}
        yield store, analyse(plan, results)


def pooled(result: Result) -> Result:
    """A result with one curve, the mean over its agents, whose policies are evaluated together."""
    mean = mean_over_agents(result.curves, result.agents)
    if mean is None or len(result.curves) < 2:
        return result
    return dataclasses.replace(result, curves={"all": mean})


def start(folder: RunFolder) -> Process:
    """Start a run; one that is named after a control with that control's learner."""
    for name in CONTROLS:
        if folder.name.startswith(name):
            command = (sys.executable, "-m", "tests.parity.control", str(folder.path), name)
            return start_run(folder, command)
    return start_run(folder)


def lag_lines(store: Store, results: Iterable[Result]) -> list[str]:
    """Policy lag beside it: each schedule's median over runs, of the second half of each run."""
    found: dict[str, list[list[float]]] = {}
    for result in results:
        records = [
            r
            for r in read_jsonl(store.runs / result.run / "metrics.jsonl")
            if r["kind"] == "learner" and r["steps"] > result.steps / 2 and LAGS[0] in r
        ]
        medians = [statistics.median(r[key] for r in records) for key in LAGS if records]
        found.setdefault(result.cell.arm, []).append([*medians, result.wall_s])
    lines = ["updates between acting and learning of sampled transitions (second half of the run)"]
    for arm, runs in found.items():
        p50, p95, wall_s = map(statistics.median, zip(*runs, strict=True))
        lines.append(f"  {arm}: p50 {p50:.0f}, p95 {p95:.0f}; {wall_s:.0f} s a run")
    return [*lines, ""]


if __name__ == "__main__":
    raise SystemExit(main())
