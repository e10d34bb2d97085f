"""What can be wrong with a network by construction, in words; ``network_probe`` looks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SHOWN = 3
"""Parts of an observation that are named at most."""

State = Literal["refused", "fail", "warn"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a network.

    Attributes:
        kind: stable name.
        state: "refused" where what is learned could not be right, "fail" where nothing could be
            learned, "warn" where it may be meant.
        says: what it does, as in "it mixes the rows of a batch".
        advice: what that leads to, and what to change.
    """

    kind: str
    state: State
    says: str
    advice: str


STATE = Fault(
    "state",
    "refused",
    "remembers what it was asked before",
    "the same input gives other values after other inputs. Rows come from replay in any order, and "
    "every process asks otherwise: keep nothing between calls (no hidden state, no running sums), "
    "and let env.n_frames show it the past",
)
CHANGING = Fault(
    "changing",
    "warn",
    "gives other values each time",
    "in evaluation mode the same input must give the same values: does it draw from a generator of "
    "its own, or count its calls?",
)
RANDOM = Fault(
    "random",
    "warn",
    "is random in evaluation mode, too",
    "greedy play, evaluations and targets are as random: give functional.dropout "
    "training=self.training, or use nn.Dropout; for noisy layers there is algorithm.noisy",
)
BUFFER = Fault(
    "buffer",
    "warn",
    "writes to its buffers in evaluation mode",
    "each process changes its own, so what acts is not what was published: write to them only "
    "while self.training",
)
BEGINS = Fault(
    "begins",
    "warn",
    "begins otherwise each time",
    "built twice from one seed its weights differ, so runs do not repeat: draw from torch, "
    "numpy.random or random, which are seeded, and not from a generator of its own",
)
OUTSIDE = Fault(
    "outside",
    "refused",
    "depends on more than its weights",
    "built twice and given the same weights, it gives other values, and so it would in every "
    "process: make what it draws an nn.Parameter, or a buffer (register_buffer)",
)
ROWS_MIXED = Fault(
    "rows",
    "refused",
    "mixes the rows of a batch",
    "the values of a row change with the rows beside it, and acting asks for other rows than "
    "learning: does forward take a mean over dimension 0, or reshape [B, n_frames, ...] so that "
    "rows and frames change places?",
)
BLIND = Fault(
    "blind",
    "fail",
    "does not look at the observation",
    "whatever it is given, it gives the same values: what does forward do with its input?",
)
NO_GRADIENT = Fault(
    "no_gradient",
    "refused",
    "passes no gradient to its weights",
    "no weight takes part in what it says, so none can be trained: does forward run under "
    "torch.no_grad, or end in .detach() or .data?",
)
SAME_ACTIONS = Fault(
    "actions",
    "fail",
    "gives all actions the same value",
    "there is nothing to choose by: does its last layer have one output for each action?",
)


def batch_size(rows: int, why: str) -> Fault:
    """It cannot answer so many rows at once; `why` it cannot."""
    return Fault(
        "batch",
        "refused",
        f"cannot answer a batch of {rows}",
        f"{why}. Acting and learning ask for batches of any size: leave the first dimension as it "
        "is (no squeeze(), no fixed size)",
    )


def unregistered(names: Sequence[str]) -> Fault:
    """It computes with these weights, which torch does not know to be its own."""
    return Fault(
        "unregistered",
        "refused",
        "has weights that nobody trains",
        f"it computes with {_named(names)}, which {'is' if len(names) == 1 else 'are'} not among "
        "its parameters: neither trained, nor sent to actors, nor saved. Modules in a list, tuple "
        "or dict belong in nn.ModuleList or nn.ModuleDict, tensors in nn.Parameter (what is meant "
        "to stay as it is: requires_grad_(False))",
    )


def made_anew(shapes: Sequence[str]) -> Fault:
    """Its ``forward`` makes weights of these shapes at each call."""
    return Fault(
        "anew",
        "refused",
        "makes weights anew at each call",
        f"forward builds a layer (weights {_named(shapes)}), so they are random each time and "
        "never trained: build all layers in __init__ and only call them in forward",
    )


def dead(low: float | None, high: float | None) -> Fault:
    """It would look at the observation, with other weights; where its values end, if they do."""
    same = "whatever it is shown, it gives the same values and gets no gradient: "
    if low is None and high is None:
        return Fault(
            "dead",
            "fail",
            "is dead with its first weights",
            f"{same}are all units of a layer off (a ReLU after biases far below 0), or is an "
            "activation saturated? Look at how its weights are initialised",
        )
    ends = " and ".join(
        f"no value {where} {value:.3g}"
        for where, value in (("below", low), ("above", high))
        if value is not None
    )
    return Fault(
        "dead",
        "fail",
        f"gives {ends}, and is there from the start",
        f"{same}it ends in a ReLU, sigmoid, tanh or clamp. Leave its last layer linear: values "
        "are sums of rewards, of any size and sign",
    )


def made_frames(made: int, shown: int, *, zeros: bool) -> Fault:
    """A layer of it takes so many frames, of which only these are shown."""
    how = "zeros" if zeros else "the same again"
    return Fault(
        "made_frames",
        "warn",
        f"is made for {made} frames and is shown {shown}",
        f"it fills up with {how}, so it sees no more of the past than env.n_frames = {shown} shows "
        f"it: set env.n_frames = {made}",
    )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def one_frame(frame: int, frames: int) -> Fault:
    """Of so many frames it looks at this one alone."""
    which = {0: "oldest", frames - 1: "newest"}.get(frame, f"{frame + 1}th")
    return Fault(
        "frames",
        "warn",
        f"looks at 1 of {frames} frames",
        f"of env.n_frames = {frames} it takes the {which} frame alone: input is [B, n_frames, "
        "*observation], oldest first. If one frame is enough, set env.n_frames = 1",
    )


def parts_unseen(unseen: Sequence[str]) -> Fault:
    """It does not look at these parts of an observation."""
    return Fault(
        "parts",
        "warn",
        "does not look at all of the observation",
        f"whatever is in {_named(unseen)}, it gives the same values (no fault, if "
        "it is meant); how observations are laid out is said at the start",
    )
