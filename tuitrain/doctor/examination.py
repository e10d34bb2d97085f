"""From all facts to all findings, in groups. Pure: whole reports can be made from literal facts."""

from __future__ import annotations

from dataclasses import dataclass, field

from tuitrain.doctor import learning, machine, needs, places, setup, smoke, terminal
from tuitrain.doctor.facts import (
    Built,
    Clock,
    Machine,
    Package,
    Place,
    Smoke,
    Terminal,
    Torch,
    Wants,
)
from tuitrain.doctor.finding import Finding, Group
from tuitrain.doctor.learning import Learned
from tuitrain.supervisor.house.surroundings import Login


@dataclass(frozen=True)
class Subject:
    """The config that is examined.

    Attributes:
        problems: what is wrong with it; if anything is, there is nothing else to know.
        wants: what it asks for, where it can be read.
        smoke: its smoke run; `no_smoke` is why there was none.
        learned: whether it learns; None where nobody has asked.
    """

    source: str
    problems: tuple[str, ...] = ()
    env_id: str = ""
    network: str = ""
    wants: Wants | None = None
    packages: tuple[Package, ...] = ()
    built: Built | None = None
    smoke: Smoke | None = None
    no_smoke: str = "not tried"
    learned: Learned | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that was found out. Without a `subject` the machine alone is examined."""

    machine: Machine
    clock: Clock
    place: Place
    login: Login
    terminal: Terminal
    torch: Torch
    subject: Subject | None = field(default=None)


def groups(facts: Facts) -> list[Group]:
    """Every check, in the order in which it is shown."""
    subject = facts.subject
    found = [
        Group("Machine", _machine(facts)),
        Group("Places", _places(facts)),
        Group("Terminal", _terminal(facts.terminal)),
    ]
    if subject is not None:
        found.append(Group("Config", _config(subject)))
        if not subject.problems:
            found.append(Group("Smoke run", _smoke(subject)))
        if subject.learned is not None:
            found.append(Group("Learning", learning.findings(subject.learned)))
    return found


def blockers(facts: Facts) -> list[str]:
    """Names of the checks that must not fail before a run is tried."""
    parts = [*_machine(facts), *_places(facts)]
    if facts.subject is not None:
        parts += _config(facts.subject)
    return [finding.name for finding in parts if finding.state == "fail"]


def _machine(facts: Facts) -> tuple[Finding, ...]:
    wants = None if facts.subject is None else facts.subject.wants
    built = None if facts.subject is None else facts.subject.built
    return (
        machine.cores(facts.machine, wants),
        machine.threads(facts.machine, wants),
        machine.memory(facts.machine, wants, built),
        machine.shared_memory(facts.machine, built),
        machine.files(facts.machine, wants),
        machine.processes(facts.machine, wants),
        setup.torch(facts.torch, wants),
        machine.clock(facts.clock),
    )


def _places(facts: Facts) -> tuple[Finding, ...]:
    return (
        places.runtime_dir(facts.place),
        places.disk(facts.place, _disk_bytes(facts.subject)),
        places.logout(facts.login),
    )


def _disk_bytes(subject: Subject | None) -> int:
    """What the run folder will take; 0 where that is not known."""
    if subject is None or subject.wants is None:
        return 0
    one = 0 if subject.built is None else needs.checkpoint_bytes(subject.built)
    if subject.smoke is not None:
        # a smoke run's replay is short: its checkpoint may be smaller than those to come
        one = max(one, subject.smoke.checkpoint_bytes or 0)
    return needs.disk_needed(subject.wants, one) if one else 0


def _terminal(there: Terminal) -> tuple[Finding, ...]:
    checks = (terminal.size, terminal.colours, terminal.unicode, terminal.tmux)
    return tuple(check(there) for check in checks)


def _config(subject: Subject) -> tuple[Finding, ...]:
    read = setup.config(subject.problems, subject.source)
    if subject.problems:
        return (read,)
    return (
        read,
        setup.packages(subject.packages),
        setup.environment(subject.built, subject.env_id),
        setup.network(subject.built, subject.network),
        setup.evaluations(subject.built),
        setup.randomness(subject.built),
    )


def _smoke(subject: Subject) -> tuple[Finding, ...]:
    tried = subject.smoke
    first = smoke.training(tried, subject.no_smoke)
    if tried is None or tried.error:
        return (first,)
    total = 0 if subject.wants is None else subject.wants.total_steps
    return (
        first,
        smoke.ratio(tried),
        smoke.evaluator(tried),
        smoke.checkpoint(tried),
        smoke.duration(tried, total),
    )
