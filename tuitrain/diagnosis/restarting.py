"""What it costs to start a worker again, in words, for whoever is asked whether to. Pure."""

from __future__ import annotations

from tuitrain.protocol import Snapshot

_OF_ONE = {
    "actor": "its episodes begin anew; the rows that it has committed stay",
    "evaluator": "an evaluation that is under way is made again",
}


def cost_of_restart(snapshot: Snapshot, worker: str) -> str:
    """What is lost or made again if this worker of a living run is started again."""
    roles = {process.name: process.role for process in snapshot.processes}
    age_s = snapshot.last_checkpoint_age_s
    since = "the newest checkpoint" + ("" if age_s is None else f" ({age_s:,.0f} s old)")
    if snapshot.schedule != "async":
        start = "where this session began" if snapshot.last_checkpoint is None else since
        return f"all workers go back together, to {start}: what came after is made again"
    if roles.get(worker) != "learner":
        return _OF_ONE.get(roles.get(worker, ""), "")
    start = "the weights that this session began with"
    if snapshot.last_checkpoint is not None:
        start = since
    return f"it goes on from {start}: its updates since are lost, and not made again"
