"""Commands end when everyone has done them, or with the names of those who have not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tuitrain.supervisor.clients.commands import Commands, Outcome, resync_report
from tuitrain.workers.messages import Ack, ToWorker


class Team:
    """Workers that remember what they were told."""

    def __init__(self, *names: str, full: tuple[str, ...] = ()) -> None:
        self.told: dict[str, ToWorker] = {}
        self.senders: dict[str, Callable[[ToWorker], bool]] = {
            name: self._sender(name, name not in full) for name in names
        }

    def _sender(self, name: str, takes: bool) -> Callable[[ToWorker], bool]:
        def send(message: ToWorker) -> bool:
            if takes:
                self.told[name] = message
            return takes

        return send

    def ack(self, name: str, ok: bool = True, **result: object) -> Ack:
        return Ack(command_id=self.told[name].command_id, ok=ok, result=result)


async def test_done_when_the_last_one_has_acknowledged() -> None:
    commands, team = Commands(), Team("learner", "a0")
    done = commands.issue("pause", team.senders, now=0.0)
    commands.on_ack("learner", team.ack("learner"))
    assert not done.done()
    commands.on_ack("a0", team.ack("a0"))
    outcome = await done
    assert outcome.ok
    assert set(outcome.acks) == {"learner", "a0"}


async def test_the_deadline_names_who_has_not_answered() -> None:
    commands, team = Commands(), Team("learner", "a0", "a1")
    done = commands.issue("pause", team.senders, now=0.0, deadline_s=30.0)
    commands.on_ack("a0", team.ack("a0"))
    commands.tick(30.0)
    assert not done.done()
    commands.tick(30.1)
    outcome = await done
    assert not outcome.ok
    assert outcome.missing == ["a1", "learner"]
    assert outcome.trouble() == "no answer from a1, learner within 30 s"
    commands.on_ack("a1", team.ack("a1"))  # too late: nothing happens


async def test_a_gap_of_the_supervisor_renews_the_deadline() -> None:
    commands, team = Commands(), Team("a0")
    done = commands.issue("pause", team.senders, now=0.0, deadline_s=30.0)
    commands.renew(500.0)
    commands.tick(529.0)
    assert not done.done()
    commands.on_ack("a0", team.ack("a0"))
    assert (await done).ok


async def test_a_worker_that_ends_or_cannot_be_told_is_not_waited_for() -> None:
    commands, team = Commands(), Team("learner", "a0", "a1", full=("a1",))
    done = commands.issue("checkpoint", team.senders, now=0.0)
    commands.on_end("learner")
    commands.on_ack("a0", team.ack("a0", ok=False, error="OSError: no space"))
    outcome = await done
    assert not outcome.ok
    assert outcome.ended == ["learner"]
    assert outcome.unreachable == ["a1"]
    assert outcome.trouble() == (
        "learner ended before answering; a1 cannot be reached; a0: OSError: no space"
    )


async def test_a_command_to_nobody_is_done_at_once() -> None:
    outcome = await asyncio.wait_for(Commands().issue("pause", {}, now=0.0), 1.0)
    assert outcome.ok


async def test_an_ack_counts_for_its_own_command_only() -> None:
    commands, team = Commands(), Team("a0")
    first = commands.issue("pause", team.senders, now=0.0)
    first_ack = team.ack("a0")
    second = commands.issue("unpause", team.senders, now=0.0)
    commands.on_ack("a0", first_ack)
    assert first.done()
    assert not second.done()


def held(**hashes: tuple[int, str]) -> Outcome:
    acks = {
        name: Ack(command_id=1, result={"default": {"version": version, "sha256": sha}})
        for name, (version, sha) in hashes.items()
    }
    return Outcome("resync", 30.0, acks=acks)


def test_resync_with_equal_bytes_under_each_version() -> None:
    ok, text, result = resync_report(held(learner=(7, "aa"), a0=(7, "aa"), a1=(6, "bb")))
    assert ok
    assert text == (
        "compared 3 workers: equal versions are equal bytes; default v7 in learner, a0, v6 in a1; "
        "who holds an older one takes newer ones in its own time"
    )
    assert result["equal"] is True


def test_resync_says_what_was_sent_and_counts_many_holders() -> None:
    many = {f"a{i}": (7, "aa") for i in range(6)}
    _, text, _ = resync_report(held(**many), sent=True)
    assert text == (
        "compared 6 workers: equal versions are equal bytes; default v7 in 6 workers; "
        "actors had taken the newest first"
    )


def test_resync_of_versions_that_nobody_shares_compares_nothing() -> None:
    _, text, _ = resync_report(held(learner=(7, "aa"), a0=(6, "bb")))
    assert text.startswith("nothing to compare: no two workers hold the same version; default v7")


def test_resync_with_other_bytes_under_an_equal_version() -> None:
    ok, text, result = resync_report(held(learner=(7, "aa"), a0=(7, "cc"), a1=(6, "aa")))
    assert not ok
    assert "DIFFERENT BYTES under one version: default v7 (a0, learner)" in text
    assert result["equal"] is False


def test_resync_without_any_report_claims_nothing() -> None:
    outcome = Outcome("resync", 30.0, acks={"a0": Ack(command_id=1)})
    _, text, result = resync_report(outcome)
    assert text == "nobody reported weights"
    assert result["equal"] is None
