"""What a resolved config needs of the machine. Pure, and rough where it has to be."""

from __future__ import annotations

from tuitrain.config.schema import Config
from tuitrain.doctor.facts import Built, Wants

SPARE_CHECKPOINTS = 1
"""The one being written, before the oldest is removed."""

SPARE_DISK_BYTES = 256 * 2**20
"""For metrics, events and logs."""

_OPTIMIZER_COPIES = 4
"""Weights, target and Adam's two moments."""


def wants_of(config: Config, policies: int = 1) -> Wants:
    """The parts of a config that ask something of the machine.

    Args:
        config: resolved.
        policies: how many learn; settles `learner.processes = "per-policy"`.
    """
    actors, learners = config.actors.count, config.learner.processes
    assert isinstance(actors, int), "the config must be resolved"
    if not isinstance(learners, int):
        learners = policies
    sequential = config.run.schedule == "sequential"
    busy = 1 if sequential else actors + learners
    return Wants(
        schedule=config.run.schedule,
        busy=busy,
        processes=busy + (config.eval.enabled and not sequential),
        threads=config.run.threads_per_process,
        actors=actors,
        learner_device=config.learner.device,
        actor_device=config.actors.device,
        keep_checkpoints=config.run.keep_checkpoints,
        total_steps=config.run.total_steps,
        policies=policies,
    )


def memory_needed(wants: Wants, built: Built) -> int:
    """Bytes of all processes and their shared memory, without what learning itself takes."""
    return built.shm_bytes + (wants.processes + 1) * built.process_bytes


def checkpoint_bytes(built: Built) -> int:
    """Bytes of one checkpoint: all that an optimizer keeps, and the replay that is saved.

    That is compressed; how well is not known before there is any.
    """
    return _OPTIMIZER_COPIES * built.weights_bytes + built.saved_bytes


def disk_needed(wants: Wants, one_checkpoint_bytes: int) -> int:
    """Bytes in the run folder."""
    kept = wants.keep_checkpoints + SPARE_CHECKPOINTS
    return kept * one_checkpoint_bytes + SPARE_DISK_BYTES
