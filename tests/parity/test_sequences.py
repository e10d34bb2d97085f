"""What the learner samples is what one environment did, in every schedule.

Observations say which environment, episode and step they are, so every stack, action, reward and
discount of a batch can be checked against what must have happened: nothing spans two episodes,
actors, lanes or the wrap of the ring.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.envs import decode, sequence_reward
from tests.fleet import Fleet
from tests.parity.cases import config
from tuitrain.config.schema import Config
from tuitrain.replay.buffer import Batch
from tuitrain.workers.stores import Stores

pytestmark = pytest.mark.xdist_group("fleet")

N_FRAMES, N_STEP, GAMMA = 4, 3, 0.5


def _case(schedule: str, *, image: bool) -> Config:
    network = {"network": "minatar", "network_kwargs": {}} if image else {}
    return config(
        "cartpole",
        schedule,
        actors=3,
        n_frames=N_FRAMES,
        n_step=N_STEP,
        env={
            "id": "tests.envs:SequenceEnv",
            "kwargs": {"image": image, "p_terminate": 0.06, "p_truncate": 0.06},
            "n_frames": N_FRAMES,
        },
        learner={"gamma": GAMMA, **network},
    )


def _check(batch: Batch) -> tuple[int, int]:
    """Assert that every sample is right; how many ended, and how many began an episode."""
    ended = began = 0
    for i in range(len(batch.rows)):
        frames = [decode(frame) for frame in batch.state[i]]
        instance, episode, step = frames[-1]
        assert frames == [
            (instance, episode, max(0, step - back)) for back in range(N_FRAMES - 1, -1, -1)
        ]
        after = [decode(frame) for frame in batch.next_state[i]]
        taken = after[-1][2] - step
        assert 1 <= taken <= N_STEP
        assert after == [
            (instance, episode, max(0, step + taken - back)) for back in range(N_FRAMES - 1, -1, -1)
        ]
        # the actions after the first are not in the batch; each adds less than one step's 8
        known = sum(GAMMA**k * sequence_reward(episode, step + k, 0) for k in range(taken))
        unknown = batch.returns[i] - known - int(batch.action[i])
        assert 0 <= unknown <= sum(GAMMA**k * 2 for k in range(1, taken))
        assert batch.discount[i] in (0.0, GAMMA**taken)
        if taken < N_STEP or batch.discount[i] == 0.0:
            ended += 1
        began += step == 0
    return ended, began


@pytest.mark.parametrize(
    ("schedule", "image"),
    [
        *((schedule, False) for schedule in ("sequential", "lockstep", "async")),
        ("async", True),
        *(pytest.param(s, True, marks=pytest.mark.long) for s in ("sequential", "lockstep")),
    ],
)
def test_every_sample_is_one_environments_own_past(
    fleet: Fleet, schedule: str, image: bool
) -> None:
    seen: list[tuple[int, int, set[int]]] = []

    def look(shared: Stores) -> None:
        reader = shared.replays["default"].reader(0, GAMMA)
        window = reader.pin()
        assert (window.low > 0).any(), "no ring has wrapped"
        batch = reader.sample(window, 1500, np.random.default_rng(0))
        instances = {decode(frames[-1])[0] for frames in batch.state}
        seen.append((*_check(batch), instances))
        reader.unpin()

    fleet.run(_case(schedule, image=image), look=look)
    ((ended, began, instances),) = seen
    assert ended > 50, "too few ends to prove anything about them"
    assert began > 50
    # in `async` a fast actor may do nearly everything
    assert len(instances) == 12 or schedule == "async"


def test_a_stack_across_episodes_would_be_seen(fleet: Fleet) -> None:
    """The check can fail: ages that don't restart give stacks across episodes."""

    def look(shared: Stores) -> None:
        replay = shared.replays["default"]
        replay.columns.age[:] = 100
        reader = replay.reader(0, GAMMA)
        window = reader.pin()
        batch = reader.sample(window, 1500, np.random.default_rng(0))
        with pytest.raises(AssertionError):
            _check(batch)

    fleet.run(_case("sequential", image=False), look=look)
