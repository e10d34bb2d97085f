"""What a raised check means, in a sentence for somebody whose run does not learn. Pure."""

from __future__ import annotations

import re

from tuitrain.protocol import CheckView

OF_THE_NETWORK = "the network's own"
"""Ends the value of `non_finite` where what is no number comes of the network, not of learning."""

KEEP_A_PART = "keep a part"
"""Ends the value of `resets` where some of the state goes on from episode to episode, not all."""

STAND_STILL = "the same all episode"
"""The value of `observations` where each is the first of its episode again."""

LOST_UPDATES = "updates were lost when the learner died"
"""What is said first of evaluations that are bad since a learner's successor has begun again."""

HEADLINES: dict[str, str] = {
    "processes": "A worker has failed.",
    "heartbeat": "A worker has fallen silent.",
    "progress": "A worker gets nothing done.",
    "standstill": "Everybody waits for somebody else: nothing moves.",
    "row_checksums": "Rows of the replay are not what was written: its memory is damaged.",
    "stack_agreement": "What is learned from is not what the actors saw: frames are stacked "
    "differently.",
    "cross_episode": "Stacked frames reach from one episode into another.",
    "overwritten": "Transitions are overwritten before learning starts.",
    "spec": "Processes have built different environments.",
    "weights_hash": "Processes hold different weights under one version.",
    "provenance": "Code of the run has been edited while it runs.",
    "resets": "Episodes begin where the last one ended: reset does not reset.",
    "observations": "Observations tell nothing: they are (nearly) always the same.",
    "episode_ends": "Episodes end in the wrong way: the environment's done flags look wrong.",
    "action_effect": "What is done makes no difference to what happens.",
    "reward_signal": "There is no reward to learn from.",
    "reward_scale": "Rewards are of a size that this network and loss cannot learn.",
    "evaluation_env": "Evaluations play another game than training.",
    "network": "The network is not sound.",
    "epsilon": "Actors explore with another epsilon than planned.",
    "exploration": "By its plan the run acts at random to its end.",
    "lr": "The learning rate is not one that learns.",
    "evaluations": "Evaluations cannot say whether it learns.",
    "discount": "The discount does not fit the task.",
    "value_range": "Returns are beyond what c51 can say.",
    "target_network": "By its plan the target network keeps its first weights to the end.",
    "target_updates": "The target network is not updated as often as the config says.",
    "warm_up": "Learning does not start when it should.",
    "left_behind": "A policy is never updated.",
    "replay_ratio": "Updates per transition are not what the config asks for.",
    "policy_lag": "What is learned from was acted with old weights.",
    "device": "A process computes on another device than the config asks for.",
    "lock_wait": "Processes wait long for each other's locks.",
    "phase_time": "Most of the time goes into something other than learning.",
    "grad_flow": "No gradient reaches a part of the network.",
    "grad_norm": "Gradients are too large to learn from.",
    "q_bound": "Action values are beyond what any reward could pay.",
    "non_finite": "Loss, action values or gradients are no numbers any more.",
    "lost_lines": "Part of what was measured could not be written.",
    "learning": "Greedy play does not get better.",
}
"""By a check's id."""


_OF_THE_ENVIRONMENT = re.compile(r" in (step|reset)\)$")
"""Where something was raised, if the line of the user's own is in one of these."""

_LONGEST = 160
"""Characters of a headline that quotes an error."""


_TOLD_BEFORE = "; its traceback and log: "
_AT_A_LINE = re.compile(r"\((\S+:\d+) in [^()]*\)$")
_FOLDERS = re.compile(r"(?<![\w.~])/(?:[^/\s'\":;,()]+/)+(?=[^/\s])")


def to_be_read(run: str, worker: str, why: str) -> str:
    """What to do about a worker that has died, after why it did: a clause."""
    line = _AT_A_LINE.search(why.strip())
    mend = f"; mend {line[1]}" if line else ""
    return f"{_TOLD_BEFORE}`tuitrain logs {run} {worker}`{mend}"


def headline(check: CheckView) -> str:
    """One sentence; of a check that has none here, that it is raised."""
    if check.id == "processes" and check.state == "fail":
        return _failed(check) or HEADLINES[check.id]
    if check.id == "processes":
        return _again(check) or HEADLINES[check.id]
    if check.id == "exploration" and check.value.startswith("at most"):
        return "By its plan the run never explores."
    if check.id == "observations" and check.value == STAND_STILL:
        return "Observations do not change within an episode."
    if check.id == "observations" and check.value.startswith("as small as"):
        return "Observations are so small that networks see nothing of them."
    if check.id == "observations" and check.state == "warn":
        return "Observations are of a size that networks do not learn from."
    if in_part(check):
        return "Episodes begin with a part of where the last one ended: reset does not reset all."
    if check.id == "non_finite" and check.value.endswith(OF_THE_NETWORK):
        return "The network gives no numbers (NaN) for some observations."
    if lost := lost_updates(check):
        return f"The learner died, and {lost} updates were lost with it."
    if check.id == "learning" and check.value in ("FALLING", "BELOW BEST"):
        return "Greedy play has fallen from its best."
    if check.id == "network":
        return f"The network {check.value}."
    return HEADLINES.get(check.id, f"{check.name}: {check.value} (limit {check.limit}).")


def lost_updates(check: CheckView) -> str:
    """How many updates a raised `learning` says to be lost with learners; empty if it is not so."""
    if check.id != "learning":
        return ""
    found = re.match(rf"(?:\S+: )?([\d,]+) {LOST_UPDATES}", check.advice)
    return "" if found is None else found[1]


def in_part(check: CheckView) -> bool:
    """Whether a raised `resets` is of a part of the state: it may be a clock, and meant."""
    return check.id == "resets" and check.value.endswith(KEEP_A_PART)


def _again(check: CheckView) -> str:
    """Who is started again, and of what it died; empty if nobody has said."""
    name, told, why = check.advice.partition(" is started again: ")
    why = why.partition(_TOLD_BEFORE)[0]
    return shortened(f"{name} had to be started again: {' '.join(why.split())}.") if told else ""


def _failed(check: CheckView) -> str:
    """Who has failed, and of what, without how its process ended; empty if nobody has said."""
    name, _, why = check.advice.partition(": ")
    why = why.partition(_TOLD_BEFORE)[0]
    why = why.partition("; it is not started again: ")[0]
    why = re.sub(rf"^{re.escape(name)} \([^)]*\) failed, ", "", why)
    why = re.sub(r"^exit code \d+: (?=\w)", "", " ".join(why.split()))
    if not why or why == "see its log":
        return ""
    if re.fullmatch(r"exit code \d+", why):
        why += ", without an error: does something in it call exit()?"
    if _OF_THE_ENVIRONMENT.search(why):
        return shortened(f"The environment raised, in {name}: {why}")
    return shortened(f"{name} has failed: {why}")


def shortened(said: str) -> str:
    """What was said, as far as a headline goes: files without folders, no word in part."""
    if len(said) > _LONGEST:
        said = _FOLDERS.sub("", said)
    if len(said) <= _LONGEST:
        return said
    cut, more, _ = said[: _LONGEST - 1].rpartition(" ")
    return f"{cut.rstrip(' ,;:(') if more else said[: _LONGEST - 1]}…"
