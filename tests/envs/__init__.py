"""Environments for tests, by `tests.envs:Name`; each exists for one purpose."""

from tests.envs.awkward import ClosingEnv, GlobalRandomEnv, dropout_network
from tests.envs.learned import Catch, Chain, Relay, TwoPolicies
from tests.envs.tagged import (
    SequenceAgents,
    SequenceEnv,
    TurnTag,
    TurnTags,
    decode,
    sequence_reward,
)

__all__ = [
    "Catch",
    "Chain",
    "ClosingEnv",
    "GlobalRandomEnv",
    "Relay",
    "SequenceAgents",
    "SequenceEnv",
    "TurnTag",
    "TurnTags",
    "TwoPolicies",
    "decode",
    "dropout_network",
    "sequence_reward",
]
